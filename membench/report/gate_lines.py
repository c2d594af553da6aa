"""What a gate says at its end besides its table: whether the reference was compared with, and why it is open or closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from membench.outcome import Outcome
from membench.verdict import Status
from membench.words import counted


def comparison_lines(compared: Mapping[str, Outcome], reference: str, wanted: bool) -> list[str]:
    """A line on what was compared with the reference, and a warning for each reason why something was not.

    Args:
        compared: the outcome of each comparison, by the name of its case.
        reference: the engine compared with.
        wanted: whether a gate without any comparison is to be told.
    """
    if not compared:
        return [f"WARNING: no test compared the engine with {reference} (none takes membench_parity)."] if wanted else []
    ran = [name for name, outcome in compared.items() if outcome.verdict.status is not Status.SKIPPED]
    equal = sum(compared[name].verdict.green for name in ran)
    lines = [f"Equal to {reference}, layer by layer: {equal} of {counted(len(ran), 'case')} compared."] if ran else []
    skipped: dict[str, list[str]] = {}
    for name, outcome in compared.items():
        if name not in ran:
            skipped.setdefault(outcome.verdict.reason, []).append(name)
    what = f"WARNING: the comparison with {reference} did not run{' on every case' if ran else ''}"
    return [*lines, *(f"{what}: {', '.join(names)}: {reason}" for reason, names in skipped.items())]


def closing_line(cases: Sequence[Outcome], others: Sequence[Outcome], bad: Sequence[Outcome]) -> str:
    """Whether the gate is open, and why not.

    Args:
        cases: outcomes of the declared cases.
        others: of comparisons with the reference, and of tests that lacked their data.
        bad: those of both that close the gate.
    """
    if bad:
        wrong, beside = sum(one in bad for one in cases), sum(one in bad for one in others)
        parts = [f"{wrong} of {counted(len(cases), 'case')} {'is' if wrong == 1 else 'are'} not green"] if wrong else []
        parts += [f"{counted(beside, 'comparison or test', 'comparisons or tests')} beside them"] if beside and wrong else []
        parts += (
            [f"{counted(beside, 'comparison or test is', 'comparisons or tests are')} not green"]
            if beside and not wrong
            else []
        )
        return f"The gate is closed: {' and '.join(parts)}."
    excused = sum(bool(outcome.excused) for outcome in cases)
    skipped = sum(not outcome.verdict.green for outcome in cases) - excused
    notes = [f"{skipped} skipped, as --membench-allow-skip allows"] if skipped else []
    notes += [f"{counted(excused, 'known failure')} let through"] if excused else []
    note = f" ({'; '.join(notes)})" if notes else ""
    green = len(cases) - skipped - excused
    return f"The gate is open: {counted(green, 'case is', 'cases are')} green{note}."
