"""One row a case."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from membench.outcome import Outcome
from membench.record import Record

MARK = "*"  # beside an accuracy of weights that membench did not train

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
    accepted = f"{_accepted_loss(baseline.record, record):.2f}" if baseline else "-"
    if record is None:
        return (outcome.name, "-", "-", "-", accepted, "-", "-", "-", _verdict(outcome))
    measured, costs = record.measured, record.costs
    loss = measured.loss
    return (
        outcome.name,
        f"{record.case.images} x {len(record.case.seeds)}",
        f"{100 * measured.digital_accuracy:.1f}{MARK if record.weights.pretrained else ''}",
        f"{loss.estimate:.2f} [{loss.low:.2f}, {loss.high:.2f}]",
        accepted,
        f"{measured.logit_error:.2g}",
        f"{costs.seconds_per_image:.2g}",
        f"{costs.ratio:.3g}",
        _verdict(outcome),
    )


def _accepted_loss(baseline: Record, record: Record | None) -> float:
    """The baseline's loss in points: on the images and seeds of the run, where these are a part of its own."""
    old = baseline.measured
    if record is not None:
        seeds, images = record.case.seeds, record.case.images
        if set(seeds) <= set(baseline.case.seeds) and record.measured.images == old.images[:images]:
            return 100 * int(old.drops(seeds, images).sum()) / (len(seeds) * images)
    return old.loss.estimate


def _verdict(outcome: Outcome) -> str:
    return f"{outcome.verdict.status}{' (known)' if outcome.excused else ''}"


def table(outcomes: Sequence[Outcome], style: str = "simple") -> str:
    """A table of all outcomes, and below it which weights membench did not train; `style` is one of tabulate's."""
    aligned = ("left", "right", "right", "right", "right", "right", "right", "right", "left")
    rows = tabulate(
        [row(outcome) for outcome in outcomes], headers=HEADERS, tablefmt=style, colalign=aligned, disable_numparse=True
    )
    return "\n\n".join([rows, *_footnotes(outcomes)])


def _footnotes(outcomes: Sequence[Outcome]) -> list[str]:
    cases: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.record is not None and (pretrained := outcome.record.weights.pretrained):
            cases.setdefault(pretrained, []).append(outcome.name)
    return [
        f"Marked {MARK} ({', '.join(names)}): weights of {pretrained}. On which images they were trained is not known, so test images may "
        "be among them."
        for pretrained, names in cases.items()
    ]


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each case that is not green: what is wrong and what to do."""
    return [
        f"{_verdict(outcome)} {outcome.name}: {outcome.verdict.reason}{f'; {outcome.excused}' if outcome.excused else ''}"
        for outcome in outcomes
        if not outcome.verdict.green
    ]
