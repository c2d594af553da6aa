"""membench report: tables, figures and words for records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from membench.cli._app import app
from membench.cli._options import AsJson

if TYPE_CHECKING:
    from membench.report.study_report import Written


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What was given to --report or --out: it holds records/.")],
    as_json: AsJson = False,
) -> None:
    """Report records: tables, figures, and the answer in words, in that folder.

    Examples: membench report studies/paper; membench run mnist5k-ideal --report out && membench report out
    """
    from membench.report.study_report import write

    written = write(folder)
    print(json.dumps(written.listed, indent=2) if as_json else reported(written))


def reported(written: Written) -> str:
    return f"{written.words}\n\n{tabulate(written.parts, tablefmt='plain')}"
