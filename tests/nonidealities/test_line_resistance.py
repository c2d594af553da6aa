"""Line resistance reads each crossbar as a network of resistors does; MemTorch solves one of the differences."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from bars import (
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
)

from membench import LineResistance
from membench.effect import Crossbar
from membench.nonidealities._lines import effective_conductances

LINES = LineResistance(line_resistance=0.5, source_resistance=20.0)
PAIR = [programmed(), programmed(seed=2, index=1)]


def both(effect: LineResistance, bars: list[Crossbar] = PAIR) -> list[Crossbar]:
    return effect.act_on(bars, rng())


def nodal(conductance: Array, line: float, source: float) -> Array:
    """Kirchhoff's law at every node, solved as it stands: currents at the feet for 1 V at each word line in turn."""
    rows, columns = conductance.shape
    word = np.arange(rows * columns).reshape(rows, columns)
    bit = word + rows * columns
    matrix = np.zeros((2 * rows * columns, 2 * rows * columns))

    def join(one: int, other: int, admittance: float) -> None:
        matrix[one, one] += admittance
        matrix[other, other] += admittance
        matrix[one, other] -= admittance
        matrix[other, one] -= admittance

    end = 1 / (source or line)
    for row in range(rows):
        for column in range(columns):
            join(word[row, column], bit[row, column], conductance[row, column])
            if column and line:
                join(word[row, column - 1], word[row, column], 1 / line)
            if row and line:
                join(bit[row - 1, column], bit[row, column], 1 / line)
        matrix[word[row, 0], word[row, 0]] += end
    for column in range(columns):
        matrix[bit[-1, column], bit[-1, column]] += end
    drive = np.zeros((2 * rows * columns, rows))
    drive[word[:, 0], np.arange(rows)] = end
    return (np.linalg.solve(matrix, drive)[bit[-1]] * end).T


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "line_resistance: Field required"),
        ({"line_resistance": 0.0}, "both resistances are 0: no voltage would be lost"),
        ({"line_resistance": 0, "source_resistance": 0}, "both resistances are 0"),
        ({"line_resistance": -1.0}, "line_resistance"),
        ({"line_resistance": 1.0, "source_resistance": -1.0}, "source_resistance"),
        ({"line_resistance": True}, "line_resistance"),
        ({"line_resistance": math.inf}, "line_resistance"),
        ({"line_resistance": 1.0, "memtorch_compatible": "no way"}, "memtorch_compatible"),
    ],
)
def test_resistances_that_would_do_nothing_or_are_none_are_refused(fields: dict[str, Any], said: str) -> None:
    refused(LineResistance, fields, said)


def test_it_fits_any_hardware() -> None:
    assert LINES.unfit(PAIR[0].device, None) == ""


# ---- how it acts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "source", "series"), [(0.0, 20.0, 40.0), (3.0, 0.0, 6.0), (3.0, 20.0, 40.0)])
def test_one_device_is_in_series_with_its_ends(line: float, source: float, series: float) -> None:
    """A line between neighbours there is none of; without sources a segment of line is at either end."""
    effect = LineResistance(line_resistance=line, source_resistance=source)
    np.testing.assert_allclose(effect.act(at(1 / 300, (1, 1)), rng()), [[1 / (300 + series)]], rtol=1e-12)


@pytest.mark.parametrize(("line", "source"), [(0.5, 20.0), (2.0, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize("shape", [(1, 5), (6, 1), (3, 4), (6, 3)])
def test_each_crossbar_reads_what_kirchhoffs_law_says(line: float, source: float, shape: tuple[int, int]) -> None:
    effect, bar = LineResistance(line_resistance=line, source_resistance=source), programmed(shape)
    np.testing.assert_allclose(effect.act(bar, rng()), nodal(bar.conductance, line, source), rtol=1e-9)


def test_it_is_the_solver_on_each_crossbar_and_each_tile() -> None:
    tiles = [programmed((3, 8, 6)), programmed((3, 8, 6), seed=2)]
    for bar, now in zip(tiles, both(LINES, tiles), strict=True):
        np.testing.assert_array_equal(now.conductance, effective_conductances(bar.conductance, 0.5, 20.0))
        for index in range(3):
            np.testing.assert_allclose(now.conductance[index], LINES.act(crossbar(bar.conductance[index]), rng()), rtol=1e-12)


def test_the_farther_a_device_is_the_less_is_read_of_it() -> None:
    """Word lines are driven at column 0 and bit lines read at the last row."""
    now = LineResistance(line_resistance=1.0).act(at(1 / 500, (12, 12)), rng())
    assert (np.diff(now, axis=1) < 0).all()
    assert (np.diff(now, axis=0) > 0).all()
    assert now.argmax() == 11 * 12


def test_more_resistance_reads_less_and_little_reads_nearly_all() -> None:
    kept = [LineResistance(line_resistance=ohms).act(PAIR[0], rng()).sum() for ohms in (1e-6, 0.01, 0.1, 1.0, 10.0)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == pytest.approx(PAIR[0].conductance.sum(), rel=1e-5)


def test_no_chance_is_in_it() -> None:
    np.testing.assert_array_equal(LINES.act(PAIR[0], rng(1)), LINES.act(PAIR[0], rng(2)))


def test_padding_is_there_at_hrs_and_takes_its_part() -> None:
    bar = programmed((8, 8), padding=True)
    bar.conductance[-1] = LOW
    alone = LINES.act(crossbar(bar.conductance[:-1]), rng())
    assert not np.allclose(LINES.act(bar, rng())[:-1], alone, rtol=1e-4)


def test_as_memtorch_has_it_one_network_of_the_differences_is_solved() -> None:
    compatible = LINES.replace(memtorch_compatible=True)
    bars = [programmed((12, 9)), programmed((12, 9), seed=2)]
    difference = bars[0].conductance - bars[1].conductance
    assert (difference < 0).any()
    positive, negative = (bar.conductance for bar in both(compatible, bars))
    np.testing.assert_allclose(positive - negative, effective_conductances(difference, 0.5, 20.0), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(positive - negative, nodal(difference, 0.5, 20.0), rtol=1e-7, atol=1e-12)
    assert min(positive.min(), negative.min()) >= LOW  # no device has a conductance below 0 S
    assert np.minimum(positive, negative) == pytest.approx(LOW)
    separate = [bar.conductance for bar in both(LINES, bars)]
    assert not np.allclose(positive - negative, separate[0] - separate[1], rtol=1e-3)


def test_one_column_a_weight_is_one_network_in_either_mode() -> None:
    np.testing.assert_array_equal(
        acted(LINES.replace(memtorch_compatible=True), PAIR[0]).conductance, acted(LINES, PAIR[0]).conductance
    )


@pytest.mark.parametrize("compatible", [False, True])
def test_everything_but_the_conductance_stays(compatible: bool) -> None:
    bars = [holding(bar, (0, 0)) for bar in PAIR]
    for bar, now in zip(bars, both(LINES.replace(memtorch_compatible=compatible), bars), strict=True):
        assert now.conductance[0, 0] != bar.conductance[0, 0]
        for name in (field.name for field in dataclasses.fields(Crossbar)):
            if name != "conductance":
                assert getattr(now, name) is getattr(bar, name)


# ---- its proof ----------------------------------------------------------------------------------------------------------


def test_the_proof_says_how_much_is_read() -> None:
    bars = [rounded(bar) for bar in PAIR]
    proof = LINES.prove(bars, [rounded(bar) for bar in both(LINES, bars)])
    shares = [LINES.act(bar, rng()).sum() / bar.conductance.sum() for bar in bars]
    assert proof.moved == proof.devices == 2000
    assert proof.details["mean_kept"] == pytest.approx(np.mean(shares), rel=1e-6)
    assert proof.details["least_kept"] == pytest.approx(min(shares), rel=1e-6)
    assert 0 < proof.details["least_kept"] < proof.details["mean_kept"] < 1


def test_the_proof_of_a_network_of_differences() -> None:
    """It may read more than without lines; what it reads must be what its network gives."""
    compatible = LINES.replace(memtorch_compatible=True)
    bars = [rounded(bar) for bar in PAIR]
    compatible.prove(bars, [rounded(bar) for bar in both(compatible, bars)])
    found_out(compatible, bars, bars, "changed none of 2000 devices")
    found_out(compatible, bars, both(LINES, bars), "does not read what its network gives")
    found_out(LINES, bars, both(compatible, bars), "does not read what its network gives")


@pytest.mark.parametrize("field", ["line_resistance", "source_resistance"])
def test_another_resistance_is_found_out(field: str) -> None:
    bars = [rounded(bar) for bar in PAIR]
    other = LINES.replace(**{field: 1.01 * getattr(LINES, field)})
    found_out(LINES, bars, both(other, bars), "does not read what its network gives")


def test_one_crossbar_of_two_is_found_out() -> None:
    found_out(LINES, PAIR, [acted(LINES, PAIR[0]), PAIR[1]], "a crossbar of 'conv' does not read what its network gives")


def test_more_current_than_without_lines_is_found_out() -> None:
    bar = PAIR[0]
    found_out(LINES, bar, after(bar, bar.conductance**2 / LINES.act(bar, rng())), "does not read what its network gives")


def test_lines_with_a_gain_in_one_tile_only_are_no_lines() -> None:
    bar = programmed((2, 8, 8))
    now = LINES.act(bar, rng())
    now[1] *= 3.0
    found_out(LINES, bar, after(bar, now), "less than 1 is needed")


@pytest.mark.parametrize("value", [-1e-3, 0.0, math.nan, math.inf])
def test_a_conductance_that_no_network_has_is_found_out(value: float) -> None:
    now = LINES.act(PAIR[0], rng())
    now[3, 3] = value
    found_out(LINES, PAIR[0], after(PAIR[0], now), "not all finite and above 0 S")


def test_lines_that_single_precision_cannot_tell_are_found_out() -> None:
    effect = LineResistance(line_resistance=1e-9)
    found_out(effect, rounded(PAIR[0]), rounded(acted(effect, rounded(PAIR[0]))), "changed none of 1000 devices")
    assert prove(LINES, rounded(PAIR[0]), single(LINES.act(rounded(PAIR[0]), rng()))).moved == 1000
