"""One row a case."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from membench.outcome import Outcome

HEADERS = (
    "case",
    "images x seeds",
    "digital %",
    "loss, points [95 %]",
    "baseline",
    "logit error",
    "s/image",
    "x digital",
    "verdict",
)


def row(outcome: Outcome) -> tuple[str, ...]:
    """The cells of one case; "-" where nothing was measured."""
    record, baseline = outcome.record, outcome.baseline
    accepted = f"{baseline.record.measured.loss.estimate:.2f}" if baseline else "-"
    if record is None:
        return (outcome.name, "-", "-", "-", accepted, "-", "-", "-", _verdict(outcome))
    measured, costs = record.measured, record.costs
    loss = measured.loss
    return (
        outcome.name,
        f"{record.case.images} x {len(record.case.seeds)}",
        f"{100 * measured.digital_accuracy:.1f}",
        f"{loss.estimate:.2f} [{loss.low:.2f}, {loss.high:.2f}]",
        accepted,
        f"{measured.logit_error:.2g}",
        f"{costs.seconds_per_image:.2g}",
        f"{costs.ratio:.3g}",
        _verdict(outcome),
    )


def _verdict(outcome: Outcome) -> str:
    return f"{outcome.verdict.status}{' (known)' if outcome.excused else ''}"


def table(outcomes: Sequence[Outcome], style: str = "simple") -> str:
    """A table of all outcomes; `style` is one of tabulate's."""
    aligned = ("left", "right", "right", "right", "right", "right", "right", "right", "left")
    return tabulate(
        [row(outcome) for outcome in outcomes], headers=HEADERS, tablefmt=style, colalign=aligned, disable_numparse=True
    )


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each case that is not green: what is wrong and what to do."""
    return [
        f"{_verdict(outcome)} {outcome.name}: {outcome.verdict.reason}{f'; {outcome.excused}' if outcome.excused else ''}"
        for outcome in outcomes
        if not outcome.verdict.green
    ]
