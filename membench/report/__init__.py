"""Reports: the table for terminals, Markdown, and the records as JSON."""

from membench.report.markdown import markdown
from membench.report.table import table
from membench.report.write import write_report

__all__ = ["markdown", "table", "write_report"]
