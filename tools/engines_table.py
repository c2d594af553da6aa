#!/usr/bin/env python3
"""Write the translation table of docs/engines.md anew, from what the engines declare: python tools/engines_table.py"""

from __future__ import annotations

from pathlib import Path

from membench.report.engines_table import inserted
from membench.storage import write_atomically

PAGE = Path(__file__).resolve().parent.parent / "docs" / "engines.md"


def main() -> None:
    write_atomically(PAGE, inserted(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
