"""Each device takes the nearest of a few conductances, and the proof knows which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from bars import (
    DEVICE,
    HIGH,
    LOW,
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
from conftest import make_case
from hypothesis import given
from hypothesis import strategies as st

from membench import VTEAM, Conversion, FiniteConductanceStates
from membench.errors import InputError

LEVELS = (1e-3, 2e-3, 5e-3)

# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, r"give either states \(how many\) or levels"),
        ({"states": 4, "levels": LEVELS}, r"give either states \(how many\) or levels"),
        ({"states": 1}, "states"),
        ({"states": 65_537}, "states"),
        ({"states": 4.0}, "states"),
        ({"states": True}, "states"),
        ({"levels": ()}, "levels"),
        ({"levels": (1e-3, 0.0)}, "levels"),
        ({"levels": (2e-3, 1e-3)}, r"levels must rise, each once; given: \(0\.002, 0\.001\)"),
        ({"levels": (1e-3, 2e-3, 2e-3)}, "levels must rise, each once"),
        ({"levels": 1e-3}, "levels"),
    ],
)
def test_states_that_are_none_are_refused(fields: dict[str, Any], said: str) -> None:
    refused(FiniteConductanceStates, fields, said)


@pytest.mark.parametrize("levels", [(0.9e-3, 2e-3), (2e-3, 1.1e-2), (1e-6,), (1.0,)])
def test_levels_beyond_the_device_are_refused_when_a_case_is_declared(levels: tuple[float, ...]) -> None:
    conversion = Conversion(device=DEVICE)
    with pytest.raises(
        InputError, match=r"'finite_conductance_states' does not fit: its levels, .* within the device's 0\.001 to"
    ):
        make_case(conversion=conversion, nonidealities=(FiniteConductanceStates(levels=levels),))


def test_levels_at_the_very_ends_and_any_number_of_states_fit() -> None:
    for effect in (
        FiniteConductanceStates(levels=(LOW * (1 - 1e-7), HIGH * (1 + 1e-7))),
        FiniteConductanceStates(levels=LEVELS),
        FiniteConductanceStates(states=65_536),
    ):
        assert effect.unfit(DEVICE, None) == effect.unfit(DEVICE, 0.3) == ""


# ---- how it acts --------------------------------------------------------------------------------------------------------


@given(
    states=st.integers(2, 300),
    conductances=st.lists(st.floats(LOW, HIGH), min_size=1, max_size=40),
    factor=st.floats(1.5, 1e5),
)
def test_n_states_give_at_most_n_levels_and_each_device_the_nearest(
    states: int, conductances: list[float], factor: float
) -> None:
    device = VTEAM(r_on=100.0, r_off=100.0 * factor)
    low, high = device.conductance_range
    wanted = np.array([conductances]).clip(low, high)
    bar = crossbar(wanted)
    bar = type(bar)(**{**vars(bar), "conductance_min": np.full_like(wanted, low), "device": device})
    effect = FiniteConductanceStates(states=states)
    now = effect.act(bar, rng())
    levels = [low + (high - low) * index / (states - 1) for index in range(states)]
    np.testing.assert_allclose(effect.of(device), levels, rtol=1e-9)
    assert len(np.unique(now)) <= states
    for old, new in zip(wanted.ravel(), now.ravel(), strict=True):
        assert min(abs(new - level) for level in levels) <= 1e-9 * new
        assert abs(new - old) <= min(abs(level - old) for level in levels) + 1e-12 * high
        assert abs(new - old) <= (high - low) / (states - 1) / 2 * (1 + 1e-9)
    again = effect.act(after(bar, now), rng())
    np.testing.assert_array_equal(again, now)


@given(
    levels=st.lists(st.floats(LOW, HIGH), min_size=1, max_size=12, unique=True),
    conductances=st.lists(st.floats(LOW, HIGH), min_size=1, max_size=40),
)
def test_levels_are_taken_as_given(levels: list[float], conductances: list[float]) -> None:
    levels = sorted(levels)
    effect, bar = FiniteConductanceStates(levels=tuple(levels)), crossbar(np.array([conductances]))
    assert effect.of(DEVICE).tolist() == levels
    for old, new in zip(conductances, effect.act(bar, rng()).ravel(), strict=True):
        assert new in levels
        assert abs(new - old) <= min(abs(level - old) for level in levels) * (1 + 1e-9) + 1e-15


def test_two_states_are_the_ends() -> None:
    now = FiniteConductanceStates(states=2).act(programmed(), rng())
    assert set(now.ravel()) == {LOW, HIGH}
    assert np.array_equal(now == HIGH, programmed().conductance > (LOW + HIGH) / 2)


@pytest.mark.parametrize("states", [2, 3, 16, 1000])
def test_both_ends_are_states(states: int) -> None:
    effect = FiniteConductanceStates(states=states)
    for end in (LOW, HIGH):
        np.testing.assert_allclose(effect.act(at(end), rng()), end, rtol=1e-12)


def test_many_states_leave_everything_as_it_was() -> None:
    worst = [
        np.abs(FiniteConductanceStates(states=states).act(programmed(), rng()) - programmed().conductance).max()
        for states in (2, 5, 17, 65, 257)
    ]
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < (HIGH - LOW) / 500


def test_a_device_cannot_go_where_its_own_range_does_not_reach() -> None:
    bar = varied(crossbar(np.where(rng().uniform(size=(40, 25)) < 0.5, LOW, HIGH)))
    now = FiniteConductanceStates(states=4).act(bar, rng())
    np.testing.assert_array_equal(now, bar.conductance.clip(bar.conductance_min, bar.conductance_max))


def test_states_are_the_device_model_s_even_where_devices_vary() -> None:
    bar = varied(programmed(), 0.01)
    np.testing.assert_array_equal(
        FiniteConductanceStates(levels=LEVELS[1:]).act(bar, rng()),
        FiniteConductanceStates(levels=LEVELS[1:]).act(programmed(), rng()),
    )


def test_no_chance_is_in_it() -> None:
    effect = FiniteConductanceStates(states=5)
    np.testing.assert_array_equal(effect.act(programmed(), rng(1)), effect.act(programmed(), rng(2)))


# ---- its proof ----------------------------------------------------------------------------------------------------------

EIGHT = FiniteConductanceStates(states=8)


def test_the_proof_counts_the_states_and_those_that_are_seen() -> None:
    details = prove(EIGHT, rounded(programmed()), single(EIGHT.act(rounded(programmed()), rng()))).details
    assert details == {"states": 8.0, "states_seen_inside": 6.0}  # and the two ends
    bar = crossbar(rng().uniform(LOW * 1.1, LOW * 2.8, (40, 25)))  # states every 1.29 mS: 1, 2.29 and 3.57
    assert prove(EIGHT, bar, EIGHT.act(bar, rng())).details["states_seen_inside"] == 1.0


@pytest.mark.parametrize("effect", [EIGHT, FiniteConductanceStates(levels=LEVELS), FiniteConductanceStates(states=500)])
def test_the_proof_holds_where_devices_vary_and_some_are_stuck(effect: FiniteConductanceStates) -> None:
    bar = rounded(holding(varied(programmed()), *[(row, 0) for row in range(40)]))
    now = rounded(acted(effect, bar))
    assert np.array_equal(now.conductance[:, 0], bar.conductance[:, 0])
    assert 0 < effect.prove([bar], [now]).moved <= 960


@pytest.mark.parametrize(
    "done",
    [
        FiniteConductanceStates(states=7),
        FiniteConductanceStates(states=9),
        FiniteConductanceStates(states=16),
        FiniteConductanceStates(states=15),
        FiniteConductanceStates(levels=LEVELS),
    ],
    ids=["one less", "one more", "double", "twice as fine", "levels"],
)
def test_other_states_are_found_out(done: FiniteConductanceStates) -> None:
    found_out(EIGHT, programmed(), acted(done, programmed()), "devices of 'conv' are not at their nearest state")


def test_the_state_below_instead_of_the_nearest_is_found_out() -> None:
    levels = EIGHT.of(DEVICE)
    for side in (-1, 0):
        index = (np.searchsorted(levels, programmed().conductance) + side).clip(0, 7)
        found_out(EIGHT, programmed(), after(programmed(), levels[index]), "are not at their nearest state")


def test_states_spaced_evenly_in_resistance_are_found_out() -> None:
    levels = np.sort(1 / np.linspace(100.0, 1000.0, 8))
    nearest = levels[np.abs(programmed().conductance[..., None] - levels).argmin(-1)]
    found_out(EIGHT, programmed(), after(programmed(), nearest), "are not at their nearest state")


@pytest.mark.parametrize("wrong", [2, 30])
def test_a_few_devices_elsewhere_are_found_out(wrong: int) -> None:
    now = EIGHT.act(programmed(), rng())
    now.ravel()[:wrong] = programmed().conductance.ravel()[:wrong]
    found_out(EIGHT, programmed(), after(programmed(), now), f"{wrong} devices of 'conv' are not at their nearest state")


def test_one_crossbar_of_two_is_found_out() -> None:
    bars = [programmed(), programmed(seed=2)]
    found_out(EIGHT, bars, [acted(EIGHT, bars[0]), bars[1]], "are not at their nearest state")


def test_a_device_beyond_its_own_range_is_found_out() -> None:
    bar = varied(programmed())
    found_out(
        FiniteConductanceStates(states=2), bar, acted(FiniteConductanceStates(states=2), programmed()), "not at their nearest"
    )


def test_a_stuck_device_that_is_no_state_is_right_and_free_ones_held_are_found_out() -> None:
    where = [(row, 0) for row in range(40)]
    held = holding(programmed(), *where)
    now = acted(EIGHT, held)
    assert EIGHT.prove([held], [now]).moved > 900
    found_out(EIGHT, programmed(), now, "40 devices of 'conv' are not at their nearest state")
    assert math.isclose(now.conductance[0, 0], programmed().conductance[0, 0])
