"""A case joined from its points is the case measured at once, byte for byte; grounds are shared and change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import make_case
from records import make_record

from membench import ADC, Case, ConductanceDrift, Conversion, DeviceFaults, ReadNoise, Variability, pipeline, run_case
from membench.campaign._points import joined, points_of
from membench.errors import MeasurementError
from membench.pipeline import Grounds
from membench.record import Record

EFFECTS = (Variability(r_on_sigma=5.0, r_off_sigma=100.0), DeviceFaults(hrs_proportion=0.02), ConductanceDrift(time=2.0))
CASES = {
    "plain": make_case(seeds=(0, 1, 2), images=30),
    "effects": make_case(seeds=(4, 0), nonidealities=EFFECTS, conversion=Conversion(tile_shape=(16, 16), adc=ADC(bits=6))),
    "read": make_case(seeds=(0, 1), nonidealities=(ReadNoise(sigma=0.1),), images=25),
    "calibrated": make_case(seeds=(0, 7), conversion=Conversion(adc=ADC(bits=8, range="calibrated"))),
}


def same(record: Record) -> dict[str, object]:
    """The record without times, machine and dates."""
    plain = json.loads(record.model_dump_json())
    costs = plain.pop("costs")
    del plain["provenance"]
    return {**plain, "threads": costs["threads"], "batch_sizes": costs["batch_sizes"]}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_points_joined_are_the_case_byte_for_byte(case: Case) -> None:
    grounds = Grounds()
    points = points_of(case)
    for other in points[::-1]:  # on a cluster they come in any order, after other points of the same process
        run_case(other, grounds=grounds)
    record = joined(case, [run_case(point, grounds=grounds) for point in points])
    whole = run_case(case)
    assert json.dumps(same(record)) == json.dumps(same(whole))
    assert record.measured.model_dump_json() == whole.measured.model_dump_json()


def test_points_have_fingerprints_of_their_own() -> None:
    case = make_case(seeds=(3, 1))
    assert [point.seeds for point in points_of(case)] == [(3,), (1,)]
    assert len({case.fingerprint, *(point.fingerprint for point in points_of(case))}) == 3
    assert points_of(case)[0].fingerprint == case.replace(seeds=(3,)).fingerprint
    assert points_of(make_case(seeds=(3,)))[0].fingerprint == make_case(seeds=(3,)).fingerprint


def test_the_digital_network_answers_once_for_cases_that_share_a_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    digital = pipeline._digital
    monkeypatch.setattr(pipeline, "_digital", lambda *given: asked.append(len(given[1])) or digital(*given))
    grounds = Grounds(most=2)
    for changes in ({}, {"seeds": (1,)}, {"conversion": Conversion(adc=ADC(bits=4))}):
        run_case(make_case(**changes), grounds=grounds)
    assert asked == [40]
    run_case(make_case(images=20), grounds=grounds)
    run_case(make_case(), grounds=grounds)
    assert asked == [40, 20]
    run_case(make_case(batch_size=5), grounds=grounds)  # the third: the one of 20 images is given up, used longest ago
    run_case(make_case(), grounds=grounds)
    assert asked == [40, 20, 40]
    run_case(make_case(images=20), grounds=grounds)
    assert asked == [40, 20, 40, 20]


def test_costs_and_provenance_are_those_of_all_points() -> None:
    case = make_record(seeds=(0, 1)).case
    one, two = make_record(seeds=(0,)), make_record(seeds=(1,))
    two = two.replace(
        costs=two.costs.replace(peak_memory=2**30),
        provenance=two.provenance.replace(created="2027-01-01T00:00:00+00:00", machine={"processor": "Another", "cores": "2"}),
    )
    record = joined(case, [one, two])
    assert [cost.seed for cost in record.costs.seeds] == [0, 1]
    assert record.costs.peak_memory == 2**30
    assert record.provenance.created == "2027-01-01T00:00:00+00:00"
    assert record.provenance.machine["processor"] == "A processor; Another"
    assert record.provenance.machine["cores"] == "2"


def power(record: Record, factor: float) -> Record:
    powers = tuple(factor * value for value in record.measured.digital_batch_power)
    return record.replace(measured=record.measured.replace(digital_batch_power=powers).again())


OTHERS: dict[str, Callable[[], Record]] = {
    "weights": lambda: make_record(seeds=(1,), weights="b" * 64),
    "images": lambda: make_record(seeds=(1,), image_prefix="another"),
    "labels": lambda: make_record(seeds=(1,), relabelled=(3,)),
    "digital_predictions": lambda: make_record(seeds=(1,), digital_wrong=(3,)),
    "digital_batch_power": lambda: power(make_record(seeds=(1,)), 1.001),
    "threads": lambda: (r := make_record(seeds=(1,))).replace(costs=r.costs.replace(threads=2)),
    "engine": lambda: make_record(seeds=(1,), engine="vectorized"),
}


@pytest.mark.parametrize(("what", "other"), OTHERS.items(), ids=OTHERS)
def test_points_that_do_not_fit_together_are_refused(what: str, other: Callable[[], Record]) -> None:
    with pytest.raises(MeasurementError, match=rf"seeds 0 and 1 do not fit together: they differ in .*{what}"):
        joined(make_record(seeds=(0, 1)).case, [make_record(seeds=(0,)), other()])


def test_points_of_processors_that_round_otherwise_fit_together() -> None:
    record = joined(make_record(seeds=(0, 1)).case, [make_record(seeds=(0,)), power(make_record(seeds=(1,)), 1 + 1e-7)])
    assert record.measured.digital_batch_power == make_record(seeds=(0,)).measured.digital_batch_power
