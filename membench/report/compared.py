"""A comparison for a terminal, and in Markdown for a pull request."""

from __future__ import annotations

from tabulate import tabulate

from membench.compare.comparison import CaseChange, Comparison, Finding, summary
from membench.compare.timing import OTHER, SAME
from membench.statistics import Interval

HEADERS = ("case", "images x seeds", "loss A", "loss B", "change, points [95 %]", "p (Holm)", "time B / A", "finding")
ALIGNED = ("left", *["right"] * 6, "left")


def compared(comparison: Comparison) -> str:
    """Title, table, and a line for each case that is not identical."""
    parts = [_title(comparison), _table(comparison, "simple"), "\n".join(_lines(comparison)), _footnotes(comparison)]
    return "\n\n".join(part for part in parts if part)


def compared_markdown(comparison: Comparison) -> str:
    """The same in Markdown."""
    lines = [line.replace("\n", "\n  ") for line in _lines(comparison)]
    parts = [
        f"# membench compare\n\n{_title(comparison)}",
        _table(comparison, "github"),
        "\n".join(f"- {line}" for line in lines),
        _footnotes(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(comparison: Comparison) -> str:
    counted = ", ".join(f"{n} {finding}" for finding, n in summary(comparison))
    return f"A: {comparison.a}\nB: {comparison.b}\n\n{counted}".replace("\nB:", "  \nB:")


def _table(comparison: Comparison, style: str) -> str:
    several = len({case.engine for case in comparison.cases}) > 1
    rows = [_row(case, several) for case in comparison.cases]
    return tabulate(rows, headers=HEADERS, tablefmt=style, colalign=ALIGNED, disable_numparse=True) if rows else ""


def _row(case: CaseChange, several_engines: bool) -> tuple[str, ...]:
    return (
        f"{case.case} ({case.engine})" if several_engines or "->" in case.engine else case.case,
        f"{case.images} x {case.seeds}" if case.images else "-",
        "-" if case.loss_a is None else f"{case.loss_a:.2f}",
        "-" if case.loss_b is None else f"{case.loss_b:.2f}",
        "-" if case.change is None else _interval(case.change),
        "-" if case.p_holm is None else _probability(case.p_holm),
        _time(case),
        str(case.finding),
    )


def _interval(change: Interval) -> str:
    return f"{change.estimate:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"


def _probability(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _time(case: CaseChange) -> str:
    timing = case.timing
    if timing is None or case.same_record:
        return "-"
    mark = "" if timing.unit == SAME else "*"
    return f"{timing.factor:.2f}{mark}" if timing.apart else f"({timing.factor:.2f}){mark}"


def _lines(comparison: Comparison) -> list[str]:
    lines = []
    for case in comparison.cases:
        if case.finding is Finding.IDENTICAL and not case.notes:
            continue
        weaker = [case.test] if "weaker" in case.test else []
        lines.append(f"{case.case}: {case.finding}: {'; '.join([case.words, *weaker, *case.notes])}")
    return [*lines, *(f"not read: {said}" for said in comparison.unreadable)]


def _footnotes(comparison: Comparison) -> str:
    timings = [case.timing for case in comparison.cases if case.timing is not None]
    if not timings:
        return ""
    notes = [
        "Change is B's loss minus A's, on the images and seeds that both have; its interval is that of the case alone. Time is the "
        "median of the simulated inference; in brackets, the middle halves of the batches' times overlap."
    ]
    if why := sorted({timing.why_ratio for timing in timings if timing.unit == OTHER}):
        notes.append(
            f"* Not the same machine ({'; '.join(why)}): the ratio to the digital network of the same run is compared."
        )
    if versions := dict.fromkeys(version for case in comparison.cases for version in case.versions):
        notes.append(f"Other versions: {'; '.join(versions)}.")
    if copies := sum(case.same_record for case in comparison.cases):
        notes.append(
            f"{copies} of the {comparison.compared} cases compared are one and the same record on both sides: nothing was measured in "
            "between. --fresh measures commits anew."
        )
    return "\n\n".join(notes)
