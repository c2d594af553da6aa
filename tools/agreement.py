#!/usr/bin/env python3
"""Measure the cases of benchmarks/versus on every simulator that is here, and write the tables of docs/agreement.md anew.

python tools/agreement.py [CASE ...]      measures these (all, unless named); what was measured is in docs/agreement/
python tools/agreement.py --tables        only writes the tables
"""

from __future__ import annotations

import sys
from pathlib import Path

from membench.comparison import Comparison
from membench.report.explained import interval
from membench.report.versus import contenders, pairs, verdict
from membench.storage import write_atomically
from membench.suite import load_suite
from membench.versus import versus
from membench.words import counted

ROOT = Path(__file__).resolve().parent.parent
PAGE, KEPT = ROOT / "docs" / "agreement.md", ROOT / "docs" / "agreement"
BEGIN, END = "<!-- made by tools/agreement.py -->", "<!-- end -->"


def measure(names: list[str]) -> None:
    suite = load_suite([ROOT / "benchmarks" / "versus"])
    for case in suite:
        if names and case.name not in names:
            continue
        print(case.name, flush=True)
        found = versus(case, progress=None)
        KEPT.mkdir(exist_ok=True)
        write_atomically(KEPT / f"{case.name}.json", found.model_dump_json(indent=1) + "\n")


def kept() -> list[Comparison]:
    """What was measured, in the order of the cases."""
    files = [KEPT / f"{case.name}.json" for case in load_suite([ROOT / "benchmarks" / "versus"])]
    return [Comparison.from_json(file.read_text(encoding="utf-8"), str(file)) for file in files if file.is_file()]


def overview(comparisons: list[Comparison]) -> str:
    """A row a case: loss of each engine, and the first layer at which two part."""
    names = list(dict.fromkeys(one.engine for found in comparisons for one in found.contenders))
    lines = [f"| case | digital % | {' | '.join(names)} | disagree | part |", "|---" * (len(names) + 4) + "|"]
    for found in comparisons:
        of = {one.engine: one.measured for one in found.contenders}
        cells = [interval(measured.loss) if (measured := of.get(name)) else "-" for name in names]
        apart = ", ".join(f"{pair.one}/{pair.other}" for pair in found.pairs if pair.disagree) or "none"
        parts = "; ".join(f"{pair.one}/{pair.other} at {pair.parting.layer}" for pair in found.pairs if pair.parting) or "none"
        lines.append(f"| {found.case} | {100 * found.digital_accuracy:.1f} | {' | '.join(cells)} | {apart} | {parts} |")
    return "\n".join(lines)


def tables(comparisons: list[Comparison]) -> str:
    """The overview, then each case by itself."""
    parts = [overview(comparisons)]
    for found in comparisons:
        refused = [line for one in found.contenders for line in one.refused.splitlines()]
        parts += [
            f"### {found.case}",
            f"{found.images} images, seeds {', '.join(map(str, found.seeds))}, {counted(found.threads, 'thread')}, {found.machine}.",
            contenders(found, "github"),
            pairs(found, "github"),
            *(["Refused: " + " ".join(refused)] if refused else []),
            verdict(found),
        ]
    return "\n\n".join(parts)


def inserted(page: str, comparisons: list[Comparison]) -> str:
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(comparisons)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    given = sys.argv[1:]
    if given != ["--tables"]:
        measure(given)
    write_atomically(PAGE, inserted(PAGE.read_text(encoding="utf-8"), kept()))


if __name__ == "__main__":
    main()
