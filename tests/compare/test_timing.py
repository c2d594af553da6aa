"""Seconds on the same machine, ratios on another."""

from __future__ import annotations

import pytest
from records import make_record

from membench.compare.timing import compare_times
from membench.record import Record


def timed(factor: float = 1.0, digital: float = 1.0, spread: float = 0.0, machine: dict[str, str] | None = None) -> Record:
    """20 ms an image times `factor`, a digital millisecond times `digital`; the batches' times go up and down by `spread`."""
    record = make_record(images=40, seeds=(0, 1))
    signs = (1, -1, 1, -1)
    seeds = tuple(
        cost.replace(batches=tuple(t * factor * (1 + spread * sign) for t, sign in zip(cost.batches, signs, strict=True)))
        for cost in record.costs.seeds
    )
    costs = record.costs.replace(seeds=seeds, digital_batches=tuple(t * digital for t in record.costs.digital_batches))
    place = record.provenance.replace(machine={**record.provenance.machine, **(machine or {})})
    return record.replace(costs=costs, provenance=place)


def test_seconds_are_compared_on_the_same_machine() -> None:
    found = compare_times(timed(), timed(factor=1.5, digital=3.0))
    assert (found.unit, found.why_ratio) == ("s/image", "")
    assert (found.a, found.b, found.factor) == pytest.approx((0.02, 0.03, 1.5))
    assert found.apart


@pytest.mark.parametrize("field", ["processor", "cores", "memory", "system", "device"])
def test_the_ratio_to_digital_is_compared_between_machines(field: str) -> None:
    """A machine on which all takes three times as long: the simulation takes 1.5 times as long as it should."""
    found = compare_times(timed(), timed(factor=4.5, digital=3.0, machine={field: "another"}))
    assert found.unit == "x digital"
    assert (found.a, found.b, found.factor) == pytest.approx((20, 30, 1.5))
    assert field in found.why_ratio
    assert "another in B" in found.why_ratio


def test_other_threads_or_batches_are_another_machine() -> None:
    record = timed()
    threads = record.replace(costs=record.costs.replace(threads=2))
    assert compare_times(record, threads).why_ratio == "threads: 1 in A, 2 in B"
    batches = make_record(images=40, batch_size=20)
    assert compare_times(record, batches).why_ratio == "images a batch: 10 in A, 20 in B"


def test_the_kernel_is_not_the_machine() -> None:
    """Where the C++ kernel cannot be built any more, the seconds show it."""
    assert compare_times(timed(), timed(machine={"kernel": "plain torch"})).unit == "s/image"


@pytest.mark.parametrize(("factor", "apart"), [(1.1, False), (0.9, False), (1.5, True), (0.5, True)])
def test_times_are_apart_where_their_middle_halves_are(factor: float, apart: bool) -> None:
    """Times 10 % up and down: 0.9 to 1.1 against factor times that."""
    assert compare_times(timed(spread=0.1), timed(factor=factor, spread=0.1)).apart is apart
