"""A point is a case with one of its seeds. It is measured alone, and a case's record is joined from the records of its points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from membench.case import Case
from membench.errors import MeasurementError
from membench.record import Costs, Measured, Provenance, Record

_SAME_POWER = 1e-5  # relative: processors of other kinds add in another order


def points_of(case: Case) -> tuple[Case, ...]:
    """The case once for each seed; each has a fingerprint of its own."""
    return tuple(case.model_copy(update={"seeds": (seed,)}) for seed in case.seeds)


def said(point: Case) -> str:
    """A point in words: its case's name, what was set, and the seed."""
    seeds = f"seed{'s' * (len(point.seeds) > 1)} {', '.join(map(str, point.seeds))}"
    return ", ".join(part for part in (point.name, point.description, seeds) if part)


def reasons(failed: Iterable[tuple[Case, str]]) -> dict[str, str]:
    """Why there is no record, by what there is none of; two of the same words are told apart by their fingerprints."""
    found: dict[str, str] = {}
    for case, reason in failed:
        words = said(case)
        found[f"{words} ({case.fingerprint[:8]})" if words in found else words] = reason
    return found


def joined(case: Case, points: Sequence[Record]) -> Record:
    """The record of a case. But for times, machine and dates it is the one that `run_case` gives for all seeds at once.

    Args:
        points: the records of `points_of(case)`, in that order.

    Raises:
        MeasurementError: when the points did not measure the same images with the same network; says what differs.
    """
    first = points[0]
    for other in points[1:]:
        if differing := _differing(first, other):
            raise MeasurementError(
                f"Case {case.name!r} ({case.description or 'no description'}): the points of seeds {first.case.seeds[0]} and "
                f"{other.case.seeds[0]} do not fit together: they differ in {', '.join(differing)}. They were measured on "
                f"{_machine(first)} and on {_machine(other)}. Measure on one kind of machine, and remove the points of the other."
            )
    measured = first.measured
    return Record(
        engine=first.engine,
        fingerprint=case.fingerprint,
        case=case,
        weights=first.weights,
        measured=Measured.of(
            images=measured.images,
            labels=measured.labels,
            digital_predictions=measured.digital_predictions,
            digital_batch_power=measured.digital_batch_power,
            seeds=tuple(result for point in points for result in point.measured.seeds),
            layers=measured.layers,
            digital_layers=measured.digital_layers,
        ),
        costs=Costs(
            threads=first.costs.threads,
            digital_batches=first.costs.digital_batches,
            seeds=tuple(cost for point in points for cost in point.costs.seeds),
            peak_memory=max(point.costs.peak_memory for point in points),
            batch_sizes=first.costs.batch_sizes,
        ),
        provenance=_provenance([point.provenance for point in points]),
    )


def _differing(one: Record, other: Record) -> list[str]:
    """In what two points of a case differ that they must share."""
    found = [name for name in ("engine", "weights") if getattr(one, name) != getattr(other, name)]
    if one.costs.threads != other.costs.threads:
        found.append("threads")
    shared = ("images", "labels", "digital_predictions", "layers", "digital_layers")
    found += [name for name in shared if getattr(one.measured, name) != getattr(other.measured, name)]
    powers = zip(one.measured.digital_batch_power, other.measured.digital_batch_power, strict=True)
    if not all(a == b or math.isclose(a, b, rel_tol=_SAME_POWER) or (a != a and b != b) for a, b in powers):
        found.append("digital_batch_power")
    return found


def _machine(record: Record) -> str:
    return record.provenance.machine.get("processor", "a machine without a name")


def _provenance(parts: Sequence[Provenance]) -> Provenance:
    """The last date, and every machine and version that took part."""
    return Provenance(
        created=max(part.created for part in parts),
        versions=_together(part.versions for part in parts),
        machine=_together(part.machine for part in parts),
    )


def _together(each: Iterable[dict[str, str]]) -> dict[str, str]:
    values: dict[str, dict[str, None]] = {}
    for one in each:
        for name, value in one.items():
            values.setdefault(name, {})[value] = None
    return {name: "; ".join(found) for name, found in values.items()}
