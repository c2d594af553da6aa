"""Programming errors have the mean and the spread asked for, with and without write-verify, within each device's own range."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from bars import (
    HIGH,
    LOW,
    Array,
    acted,
    after,
    at,
    crossbar,
    found_out,
    holding,
    programmed,
    prove,
    refused,
    rng,
    rounded,
    single,
    varied,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from membench import ProgrammingError, WriteVerify
from membench.effect import Crossbar
from membench.errors import EffectDidNothingError, InputError

MANY = (200, 200)
RANGE = HIGH - LOW
UNITS = pytest.mark.parametrize("relative_to", ["conductance", "range"])


def central(shape: tuple[int, ...] = MANY, seed: int = 1) -> Crossbar:
    """Devices far from either end: 200 to 400 ohm."""
    return crossbar(1 / rng(seed).uniform(200.0, 400.0, shape))


def verified(sigma: float, tolerance: float, attempts: int = 5, **fields: Any) -> ProgrammingError:
    return ProgrammingError(sigma=sigma, write_verify=WriteVerify(tolerance=tolerance, attempts=attempts), **fields)


def errors(effect: ProgrammingError, bar: Crossbar, now: Array) -> Array:
    unit = bar.conductance if effect.relative_to == "conductance" else RANGE
    return (now - bar.conductance) / unit


def simulated(sigma: float, tolerance: float, attempts: int, devices: int = 5_000) -> Array:
    """Device by device: program, read, and program again while the error is too large."""
    draw = iter(np.random.default_rng(11).normal(0.0, sigma, devices * attempts).tolist())
    found = []
    for _ in range(devices):
        for _ in range(attempts):
            error = next(draw)
            if abs(error) <= tolerance:
                break
        found.append(error)
    return np.array(found)


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "sigma: Field required"),
        ({"sigma": 0}, "sigma is 0: nothing would move"),
        ({"sigma": 0.0}, "sigma is 0: nothing would move"),
        ({"sigma": -0.1}, "sigma"),
        ({"sigma": True}, "sigma"),
        ({"sigma": math.inf}, "sigma"),
        ({"sigma": 0.1, "relative_to": "r_on"}, "relative_to"),
        ({"sigma": 0.1, "write_verify": 0.1}, "write_verify"),
        (
            {"sigma": 0.1, "write_verify": WriteVerify(tolerance=0.41)},
            r"tolerance \(0\.41\) is beyond 4 sigma \(0\.4\): no pulse would be repeated",
        ),
    ],
)
def test_an_error_that_would_do_nothing_or_is_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    refused(ProgrammingError, fields, said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "tolerance: Field required"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": 0.1, "attempts": 1}, "attempts"),
        ({"tolerance": 0.1, "attempts": 1001}, "attempts"),
        ({"tolerance": 0.1, "attempts": 2.0}, "attempts"),
        ({"tolerance": 0.1, "attempts": True}, "attempts"),
    ],
)
def test_a_write_verify_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"\n  {said}"):
        WriteVerify(**fields)


def test_the_bounds_themselves_are_accepted() -> None:
    assert verified(0.1, 0.4, 2).write_verify == WriteVerify(tolerance=0.4, attempts=2)
    assert WriteVerify(tolerance=1.0, attempts=1000).attempts == 1000


# ---- how it acts --------------------------------------------------------------------------------------------------------


@UNITS
@pytest.mark.parametrize("sigma", [0.001, 0.02, 0.1])
def test_the_error_is_normal_with_this_spread(relative_to: Any, sigma: float) -> None:
    effect = ProgrammingError(sigma=sigma, relative_to=relative_to)
    bar = central()
    bar = dataclasses.replace(bar, conductance_min=bar.conductance * 1e-6, conductance_max=bar.conductance * 1e6)
    found = errors(effect, bar, effect.act(bar, rng())) / sigma
    assert effect.spread == sigma
    assert found.mean() == pytest.approx(0.0, abs=5 / 200)
    assert found.std() == pytest.approx(1.0, rel=5 / 200 / math.sqrt(2))
    within = [np.mean(np.abs(found) < times) for times in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)
    assert abs(np.corrcoef(found.ravel(), bar.conductance.ravel())[0, 1]) < 0.025


@pytest.mark.parametrize(("relative_to", "unit"), [("conductance", [2e-3, 5e-3]), ("range", [RANGE, RANGE])])
def test_the_unit_is_the_device_s_own_target_or_the_range_of_all(relative_to: Any, unit: list[float]) -> None:
    effect = ProgrammingError(sigma=0.01, relative_to=relative_to)
    for conductance, one in zip((2e-3, 5e-3), unit, strict=True):
        moved = effect.act(at(conductance, MANY), rng()) - conductance
        assert moved.std() == pytest.approx(0.01 * one, rel=0.02)


def test_the_range_is_the_device_model_s_even_where_devices_vary() -> None:
    effect, bar = ProgrammingError(sigma=0.01, relative_to="range"), central()
    np.testing.assert_array_equal(effect.act(varied(bar), rng()), effect.act(bar, rng()))


@UNITS
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_no_device_leaves_its_own_range(relative_to: Any, spread: float) -> None:
    bar = varied(programmed(), spread)
    now = ProgrammingError(sigma=0.5, relative_to=relative_to).act(bar, rng())
    assert (now >= bar.conductance_min).all()
    assert (now <= bar.conductance_max).all()
    assert (now == bar.conductance_min).any()
    assert (now == bar.conductance_max).any()


@UNITS
def test_a_device_at_its_end_can_only_move_inwards(relative_to: Any) -> None:
    effect = ProgrammingError(sigma=0.01, relative_to=relative_to)
    for end, free in ((LOW, np.greater), (HIGH, np.less)):
        now = effect.act(at(end, MANY), rng())
        assert np.mean(now == end) == pytest.approx(0.5, abs=0.02)
        assert free(now, end).sum() + (now == end).sum() == now.size


@pytest.mark.parametrize(
    ("sigma", "tolerance", "attempts"),
    [
        (0.02, 0.02, 2),
        (0.02, 0.02, 5),
        (0.02, 0.01, 3),
        (0.02, 0.005, 2),
        (0.05, 0.002, 20),
        (0.02, 0.08, 2),
        (0.1, 0.01, 1000),
    ],
)
def test_write_verify_has_the_spread_of_its_closed_form_and_of_a_simulation(
    sigma: float, tolerance: float, attempts: int
) -> None:
    effect = verified(sigma, tolerance, attempts)
    bar = central()
    bar = dataclasses.replace(bar, conductance_min=bar.conductance * 0, conductance_max=bar.conductance * 10)
    found, expected = errors(effect, bar, effect.act(bar, rng())).ravel(), simulated(sigma, tolerance, attempts)
    kurtosis = np.mean(found**4) / np.mean(found**2) ** 2
    margin = 6 * math.sqrt(max(kurtosis - 1, 1) / 4 / len(expected))
    assert found.std() == pytest.approx(effect.spread, rel=margin)
    assert expected.std() == pytest.approx(effect.spread, rel=margin)
    assert found.mean() == pytest.approx(0.0, abs=6 * effect.spread / 200)
    missed = math.erfc(tolerance / sigma / math.sqrt(2)) ** attempts
    for share in (np.mean(np.abs(found) > tolerance * (1 + 1e-9)), np.mean(np.abs(expected) > tolerance)):
        assert share == pytest.approx(missed, abs=5 * math.sqrt(missed * (1 - missed) / len(expected)) + 1e-9)


@settings(max_examples=50)
@given(st.floats(1e-4, 1.0), st.floats(1e-5, 4.0), st.integers(2, 1000))
def test_more_pulses_never_widen_and_a_wide_tolerance_changes_nothing(sigma: float, limit: float, attempts: int) -> None:
    spread = verified(sigma, limit * sigma, attempts).spread
    assert 0 < spread <= sigma
    assert verified(sigma, limit * sigma, max(attempts - 1, 2)).spread >= spread * (1 - 1e-9)
    assert verified(sigma, 4 * sigma, attempts).spread == pytest.approx(sigma, rel=1e-3)


@pytest.mark.parametrize("limit", [1e-6, 9e-4, 1.1e-3, 1e-2])
def test_a_narrow_tolerance_leaves_a_uniform_error(limit: float) -> None:
    """limit / sqrt(3), where all devices come within it in the end."""
    from membench.nonidealities.programming_error import _cut

    kept, variance = _cut(limit)
    assert kept == pytest.approx(limit * math.sqrt(2 / math.pi), rel=1e-4)
    assert variance == pytest.approx(limit**2 / 3, rel=1e-4)


def test_the_seed_draws_the_errors() -> None:
    for effect in (ProgrammingError(sigma=0.02), verified(0.02, 0.01)):
        assert np.array_equal(effect.act(programmed(), rng(1)), effect.act(programmed(), rng(1)))
        assert not np.array_equal(effect.act(programmed(), rng(1)), effect.act(programmed(), rng(2)))


def test_no_two_devices_get_the_same_error() -> None:
    found = errors(verified(0.02, 0.01), central(), verified(0.02, 0.01).act(central(), rng()))
    assert len(np.unique(np.round(found, 12))) > 0.999 * found.size


# ---- its proof ----------------------------------------------------------------------------------------------------------

PLAIN = ProgrammingError(sigma=0.02)
VERIFIED = verified(0.02, 0.01)
BOTH = pytest.mark.parametrize("effect", [PLAIN, VERIFIED], ids=["one pulse", "write-verify"])


@BOTH
@UNITS
def test_the_proof_measures_mean_and_spread(effect: ProgrammingError, relative_to: Any) -> None:
    effect, bar = effect.replace(relative_to=relative_to), rounded(central())
    details = prove(effect, bar, single(effect.act(bar, rng()))).details
    assert details["free_devices"] > 30_000
    assert details["spread"] == pytest.approx(details["expected_spread"], rel=0.02)
    assert details["mean_error"] == pytest.approx(0.0, abs=0.0005)
    if effect.write_verify is not None:
        assert details["within_tolerance"] == pytest.approx(1 - math.erfc(0.5 / math.sqrt(2)) ** 5, abs=0.01)


@settings(max_examples=100)
@given(
    sigma=st.sampled_from([1e-4, 1e-3, 0.02, 0.1]),
    limit=st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0, 4.0]),
    attempts=st.sampled_from([2, 5, 20, 50, 1000]),
    relative_to=st.sampled_from(["conductance", "range"]),
    size=st.sampled_from([4, 11, 40, 100]),
    seed=st.integers(0, 10_000),
)
def test_the_proof_holds_whatever_chance_brings(
    sigma: float, limit: float, attempts: int, relative_to: Any, size: int, seed: int
) -> None:
    """Where few devices stay beyond the tolerance, they alone decide the spread of all: a dozen of them or none."""
    effect = verified(sigma, limit * sigma, attempts, relative_to=relative_to)
    bar = rounded(central((size, size), seed))
    assert prove(effect, bar, single(effect.act(bar, rng(seed)))).moved > 0


def test_devices_near_an_end_are_not_counted() -> None:
    bar = programmed(MANY)
    bar.conductance[:100], bar.conductance[100:120] = LOW, HIGH
    details = prove(PLAIN, bar, PLAIN.act(bar, rng())).details
    assert 10_000 < details["free_devices"] <= 16_000
    assert details["spread"] == pytest.approx(0.02, rel=0.03)


def test_few_devices_prove_no_spread() -> None:
    details = prove(PLAIN, central((9, 11)), PLAIN.act(central((9, 11)), rng())).details
    assert details == {"free_devices": 99.0, "expected_spread": 0.02}


@UNITS
@pytest.mark.parametrize(
    "changes",
    [{"sigma": 0.018}, {"sigma": 0.022}, {"sigma": 0.04}, {"sigma": 0.01}],
    ids=["a little less", "a little more", "double", "half"],
)
def test_another_sigma_is_found_out(relative_to: Any, changes: dict[str, Any]) -> None:
    asked = PLAIN.replace(relative_to=relative_to)
    found_out(asked, central(), acted(asked.replace(**changes), central()), "standard deviation .*; 0 and 0.02 were asked for")


def test_the_other_unit_is_found_out() -> None:
    for one, other in (("conductance", "range"), ("range", "conductance")):
        found_out(PLAIN.replace(relative_to=one), central(), acted(PLAIN.replace(relative_to=other), central()), "asked for")


@BOTH
def test_an_error_with_a_mean_is_found_out(effect: ProgrammingError) -> None:
    bar = central()
    now = effect.act(bar, rng())
    found_out(effect, bar, after(bar, now + 0.005 * bar.conductance), "programming_error")
    found_out(effect, bar, after(bar, np.maximum(now, bar.conductance)), "programming_error")


def test_errors_of_half_of_the_devices_are_found_out() -> None:
    bar = central()
    now = PLAIN.act(bar, rng())
    now[::2] = bar.conductance[::2]
    found_out(PLAIN, bar, after(bar, now), "standard deviation")


def test_errors_of_one_crossbar_of_two_are_found_out() -> None:
    bars = [central(), central(seed=2)]
    found_out(PLAIN, bars, [acted(PLAIN, bars[0]), bars[1]], "standard deviation")


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (PLAIN, "are beyond the tolerance"),
        (verified(0.02, 0.01, 4), "are beyond the tolerance"),
        (verified(0.02, 0.01, 6), "are beyond the tolerance"),
        (verified(0.02, 0.012), "are beyond the tolerance"),
        (verified(0.02, 0.008), "standard deviation|are beyond the tolerance"),
        (verified(0.025, 0.01), "standard deviation|are beyond the tolerance"),
        (verified(0.02, 0.01, relative_to="range"), "programming_error"),
    ],
    ids=["none", "one pulse less", "one pulse more", "a wider tolerance", "a narrower one", "wider pulses", "another unit"],
)
def test_another_write_verify_is_found_out(done: ProgrammingError, said: str) -> None:
    found_out(VERIFIED, central(), acted(done, central()), said)


def test_write_verify_where_none_was_asked_for_is_found_out() -> None:
    found_out(PLAIN, central(), acted(VERIFIED, central()), "standard deviation")


def test_devices_that_never_came_within_the_tolerance_and_were_put_at_the_target_are_found_out() -> None:
    bar = central()
    now = VERIFIED.act(bar, rng())
    missed = np.abs(now / bar.conductance - 1) > 0.01
    found_out(VERIFIED, bar, after(bar, np.where(missed, bar.conductance, now)), r"0 of 40000 devices are beyond the tolerance")
    clipped = bar.conductance * (1 + (now / bar.conductance - 1).clip(-0.01, 0.01))
    found_out(VERIFIED, bar, after(bar, clipped), "are beyond the tolerance")


def test_devices_beyond_the_tolerance_must_be_so_as_pulses_are() -> None:
    """An engine that leaves those that never came within the tolerance just outside of it."""
    bar = central()
    now = VERIFIED.act(bar, rng())
    error = now / bar.conductance - 1
    nudged = np.where(np.abs(error) > 0.01, np.sign(error) * 0.0101, error)
    found_out(VERIFIED, bar, after(bar, bar.conductance * (1 + nudged)), "standard deviation")


@pytest.mark.parametrize("factor", [0.9, 0.5])
def test_devices_within_the_tolerance_must_be_so_as_pulses_are(factor: float) -> None:
    """As many as asked for stay beyond it, but the others are nearer to their targets than pulses bring them."""
    bar = central()
    error = VERIFIED.act(bar, rng()) / bar.conductance - 1
    nearer = np.where(np.abs(error) > 0.01, error, factor * error)
    found_out(VERIFIED, bar, after(bar, bar.conductance * (1 + nearer)), "standard deviation")


@BOTH
def test_stuck_devices_stay_and_are_no_evidence(effect: ProgrammingError) -> None:
    bar = rounded(holding(central(), *[(row, column) for row in range(100) for column in range(200)]))
    now = rounded(acted(effect, bar))
    assert np.array_equal(now.conductance[:100], bar.conductance[:100])
    proof = effect.prove([bar], [now])
    assert proof.moved <= 20_000
    assert proof.details["free_devices"] == 20_000
    assert proof.details["spread"] == pytest.approx(effect.spread, rel=0.03)


def test_nothing_moved_is_found_out_before_anything_else() -> None:
    with pytest.raises(EffectDidNothingError, match="changed none of 40000 devices"):
        prove(VERIFIED, central(), central().conductance)
