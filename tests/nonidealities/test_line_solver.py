"""Crossbars with line resistance: against Kirchhoff's laws, exact arithmetic, perturbation theory, badcrossbar and MemTorch."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import brentq
from scipy.sparse.linalg import spsolve

from membench.nonidealities import _lines
from membench.nonidealities._lines import effective_conductances

Array = NDArray[np.float64]
LEAST, MOST = 1 / 50e6, 1 / 14e3  # the study's devices, in siemens


class Network:
    """Kirchhoff's current law, node by node, as one would write it by hand; `number` sets the arithmetic."""

    def __init__(self, conductance: Array, line: float, source: float, number: type = float) -> None:
        self.rows, self.columns = conductance.shape
        self.nodes: dict[tuple[object, ...], int] = {}
        self.entries: dict[tuple[int, int], float] = {}
        self.end = 1 / number(source if source else line)
        self.line = line
        self.heads = [self.node("word", row, 0) for row in range(self.rows)]
        self.feet = [self.node("bit", self.rows - 1, column) for column in range(self.columns)]
        for node in self.heads + self.feet:
            self.add(node, node, self.end)
        for row in range(self.rows):
            for column in range(self.columns):
                word, bit = self.node("word", row, column), self.node("bit", row, column)
                self.join(word, bit, number(float(conductance[row, column])))
                if line and column:
                    self.join(self.node("word", row, column - 1), word, 1 / number(line))
                if line and row:
                    self.join(self.node("bit", row - 1, column), bit, 1 / number(line))

    def node(self, kind: str, row: int, column: int) -> int:
        """A line without resistance is one node."""
        name = (kind, row, column) if self.line else (kind, row if kind == "word" else column)
        return self.nodes.setdefault(name, len(self.nodes))

    def add(self, one: int, other: int, value: float) -> None:
        self.entries[one, other] = self.entries.get((one, other), 0) + value

    def join(self, one: int, other: int, value: float) -> None:
        for here, there in ((one, other), (other, one)):
            self.add(here, here, value)
            self.add(here, there, -value)

    def currents(self, volts: Array) -> Array:
        """At the feet, in amperes, for one vector of inputs."""
        driven = np.zeros(len(self.nodes))
        driven[self.heads] = self.end * volts
        where = np.array(list(self.entries)).T
        matrix = sparse.csc_array((list(self.entries.values()), (where[0], where[1])))
        return self.end * np.atleast_1d(spsolve(matrix, driven))[self.feet]

    def effective(self) -> Array:
        return np.array([self.currents(unit) for unit in np.eye(self.rows)])

    def exact(self) -> Array:
        """The same by elimination in fractions."""
        size = len(self.nodes)
        matrix = [[Fraction(self.entries.get((one, other), 0)) for other in range(size)] for one in range(size)]
        for node, row in enumerate(matrix):
            row += [self.end * (node == head) for head in self.heads]
        for pivot in range(size):
            chosen = next(row for row in range(pivot, size) if matrix[row][pivot])
            matrix[pivot], matrix[chosen] = matrix[chosen], matrix[pivot]
            for row in range(size):
                factor = matrix[row][pivot] / matrix[pivot][pivot]
                if row != pivot and factor:
                    matrix[row] = [a - factor * b if b else a for a, b in zip(matrix[row], matrix[pivot], strict=True)]
        feet = [[matrix[foot][size + row] / matrix[foot][foot] * self.end for foot in self.feet] for row in range(self.rows)]
        return np.array(feet, dtype=np.float64)


def devices(rows: int, columns: int, seed: int = 0, least: float = LEAST, most: float = MOST) -> Array:
    """Conductances spread evenly on a logarithmic scale."""
    return np.exp(np.random.default_rng(seed).uniform(np.log(least), np.log(most), (rows, columns)))


def worst(found: Array, expected: Array) -> float:
    """The largest relative error of an element."""
    return float(np.abs(found / expected - 1).max())


resistances = st.floats(-2, 4).map(lambda power: 10.0**power)


@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 9),
    line=resistances,
    source=resistances,
    absent=st.sampled_from([None, "line", "source"]),
    most=st.sampled_from([MOST, 1e-3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150)
def test_kirchhoffs_law_holds(
    rows: int, columns: int, line: float, source: float, absent: str | None, most: float, seed: int
) -> None:
    conductance = devices(rows, columns, seed, most=most)
    line, source = 0 if absent == "line" else line, 0 if absent == "source" else source
    found = effective_conductances(conductance, line, source)
    assert worst(found, Network(conductance, line, source).effective()) < 1e-9


@pytest.mark.parametrize("source", [0.0, 5.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (40, 33), (33, 40), (90, 2), (2, 90), (70, 70)])
def test_arrays_of_every_shape_obey_it(shape: tuple[int, int], source: float) -> None:
    """Long ones are done in stretches, wide ones backwards, large ones by blocks."""
    conductance = devices(*shape)
    network, found = Network(conductance, 2.5, source), effective_conductances(conductance, 2.5, source)
    for row in {0, shape[0] // 2, shape[0] - 1}:
        assert worst(found[row], network.currents(np.eye(shape[0])[row])) < 1e-9


@pytest.mark.parametrize(
    ("line", "source"), [(1e-3, 0), (1e-2, 1e-3), (1, 0), (1, 5), (1e3, 1), (1e4, 1e4), (0, 1e-3), (0, 50)]
)
@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (1, 5), (5, 1)])
def test_it_is_exact_to_twelve_digits(shape: tuple[int, int], line: float, source: float) -> None:
    conductance = devices(*shape, most=1e-3)
    exact = Network(conductance, line, source, Fraction).exact()
    assert worst(effective_conductances(conductance, line, source), exact) < 1e-12


def first_order(conductance: Array, line: float, source: float) -> Array:
    """What the resistances take away where they are small: the drops that the currents without them would cause."""
    rows, columns = conductance.shape
    end = source if source else line
    shared_word = end + line * np.minimum.outer(np.arange(columns), np.arange(columns))
    shared_bit = end + line * (rows - 1 - np.maximum.outer(np.arange(rows), np.arange(rows)))
    return conductance * (conductance @ shared_word) + conductance * (shared_bit @ conductance)


@pytest.mark.parametrize(("line", "source"), [(1.0, 0.0), (1.0, 3.0), (0.0, 2.0)])
@pytest.mark.parametrize("shape", [(12, 9), (9, 12)])
def test_small_resistances_take_what_perturbation_theory_says(shape: tuple[int, int], line: float, source: float) -> None:
    conductance = devices(*shape)
    for scale in (1e-2, 1e-4):
        lost = conductance - effective_conductances(conductance, scale * line, scale * source)
        expected = first_order(conductance, scale * line, scale * source)
        assert worst(lost, expected) < 0.4 * scale + 1e-5  # the second order, and the digits that the difference leaves


@pytest.mark.parametrize(("line", "source"), [(1e-2, 0), (1, 1), (10, 0), (100, 5), (0, 20)])
def test_the_difference_of_two_crossbars_obeys_it_too(line: float, source: float) -> None:
    for seed in range(5):
        difference = devices(6, 5, seed) - devices(6, 5, seed + 100)
        expected = Network(difference, line, source).effective()
        assert np.abs(effective_conductances(difference, line, source) - expected).max() < 1e-11 * np.abs(expected).max()


@pytest.mark.parametrize(("line", "source"), [(1e4, 1e4), (1e4, 0), (0, 1e4)])
def test_where_a_part_is_not_passive_the_whole_is_still_exact(
    line: float, source: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative conductance as large as a line's: a stretch of it may amplify without bounds though the whole does not."""
    calls = []
    nodal = _lines._nodal
    monkeypatch.setattr(_lines, "_nodal", lambda *given: calls.append(given) or nodal(*given))
    for seed in range(4):
        difference = devices(3, 4, seed, 1e-5, 1e-3) - devices(3, 4, seed + 100, 1e-5, 1e-3)
        found, exact = effective_conductances(difference, line, source), Network(difference, line, source, Fraction).exact()
        assert np.abs(found - exact).max() < 1e-11 * np.abs(exact).max()
    assert calls


@pytest.mark.parametrize("aside", [-1e-9, 1e-9])
def test_bit_lines_that_are_nearly_singular_half_way_down_are_exact(aside: float) -> None:
    """The top row and the ohms below it cancel but for one part in a billion: what follows must not lose nine digits."""
    conductance = devices(4, 3, least=1e-2, most=1)
    paths = np.eye(3) + 1 + np.minimum.outer(np.arange(3), np.arange(3))  # ohms that two devices of the top row share

    def determinant(first: float) -> float:
        top = np.array([first, *conductance[0, 1:]])
        return float(np.linalg.det(np.eye(3) + top[:, None] * paths))

    conductance[0, 0] = brentq(determinant, -0.99, 0, xtol=1e-15) + aside
    exact = Network(conductance, 1, 1, Fraction).exact()
    assert np.abs(effective_conductances(conductance, 1, 1) - exact).max() < 1e-11 * np.abs(exact).max()


def test_one_tile_that_is_not_passive_does_not_change_the_others() -> None:
    good, bad = devices(5, 4), -devices(5, 4, 1, 1e-4, 1e-3)
    found = effective_conductances(np.stack([good, bad, good]), 1e3, 1e3)
    np.testing.assert_array_equal(found[[0, 2]], effective_conductances(np.stack([good, good]), 1e3, 1e3))
    np.testing.assert_allclose(found[1], Network(bad, 1e3, 1e3).effective(), rtol=1e-9)


def test_a_pivot_of_zero_is_not_the_end() -> None:
    """-1 S behind 1 ohm is a singular word line, but 1 ohm more makes it +1 S as a whole."""
    np.testing.assert_allclose(effective_conductances(np.array([[-1.0]]), 0, 1), [[1.0]])


def test_a_singular_network_is_an_error() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        effective_conductances(np.array([[-0.5]]), 0, 1)


def test_without_resistance_nothing_changes() -> None:
    conductance = devices(4, 3)
    found = effective_conductances(conductance, 0, 0)
    np.testing.assert_array_equal(found, conductance)
    assert found is not conductance


def test_a_single_device_is_in_series_with_both_ends() -> None:
    assert effective_conductances(np.array([[1e-3]]), 7, 100)[0, 0] == pytest.approx(1 / 1200, rel=1e-15)
    assert effective_conductances(np.array([[1e-3]]), 7, 0)[0, 0] == pytest.approx(1 / 1014, rel=1e-15)


@pytest.mark.parametrize("shape", [(2, 3, 6, 4), (5, 4, 6), (3, 1, 1), (0, 4, 6), (4, 6)])
def test_leading_axes_are_crossbars_of_their_own(shape: tuple[int, ...]) -> None:
    conductance = devices(int(np.prod(shape[:-1])), shape[-1]).reshape(shape)
    before = conductance.copy()
    found = effective_conductances(conductance, 3, 2)
    assert found.shape == shape
    np.testing.assert_array_equal(conductance, before)
    for index in np.ndindex(shape[:-2]):
        np.testing.assert_allclose(found[index], effective_conductances(conductance[index], 3, 2), rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "value"), [("_BUDGET", 1), ("_BUDGET", 2**15), ("_BLOCK", 3), ("_STRETCH", 1), ("_MULTIPLICATIONS", 1)]
)
@pytest.mark.parametrize("shape", [(4, 30, 11), (4, 11, 30), (3, 100, 2)])
def test_how_the_work_is_cut_does_not_matter(
    name: str, value: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    conductance = devices(shape[0] * shape[1], shape[2]).reshape(shape)
    whole = effective_conductances(conductance, 20, 5)
    monkeypatch.setattr(_lines, name, value)
    np.testing.assert_allclose(effective_conductances(conductance, 20, 5), whole, rtol=1e-12)


@pytest.mark.parametrize("shape", [(40, 64, 64), (10000, 8, 8), (1, 160, 160), (3, 1568, 10), (2, 32, 288)])
def test_temporaries_stay_small(shape: tuple[int, ...]) -> None:
    conductance = devices(shape[0] * shape[1], shape[2]).reshape(shape)
    tracemalloc.start()
    try:
        effective_conductances(conductance, 2.5, 5)
        assert tracemalloc.get_traced_memory()[1] - 3 * conductance.nbytes < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_a_crossbar_read_backwards_is_the_same_crossbar() -> None:
    conductance = devices(8, 8)
    backwards = effective_conductances(conductance[::-1, ::-1].T, 30, 4)
    np.testing.assert_allclose(backwards[::-1, ::-1].T, effective_conductances(conductance, 30, 4), rtol=1e-12)


@given(
    line=resistances,
    source=resistances,
    more=st.floats(1.001, 10),
    where=st.sampled_from(["line", "source"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_more_resistance_never_gives_more_current(line: float, source: float, more: float, where: str, seed: int) -> None:
    """All inputs at 1 V make the crossbar one resistor, which Rayleigh's law of monotonicity holds for."""
    conductance = devices(5, 6, seed)
    before = effective_conductances(conductance, line, source).sum()
    line, source = (line * more, source) if where == "line" else (line, source * more)
    assert effective_conductances(conductance, line, source).sum() < before


def test_the_far_corner_loses_most_and_the_near_one_least() -> None:
    kept = effective_conductances(np.full((12, 10), MOST), 5, 2) / MOST
    assert np.unravel_index(kept.argmin(), kept.shape) == (0, 9)
    assert np.unravel_index(kept.argmax(), kept.shape) == (11, 0)
    assert (np.diff(kept, axis=0) > 0).all()
    assert (np.diff(kept, axis=1) < 0).all()


def test_currents_add_up() -> None:
    conductance, volts = devices(6, 7), np.random.default_rng(1).uniform(-1, 1, 6)
    expected = Network(conductance, 50, 20).currents(volts)
    np.testing.assert_allclose(volts @ effective_conductances(conductance, 50, 20), expected, rtol=1e-10)


@pytest.mark.parametrize("line", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (9, 6), (6, 9), (32, 32)])
def test_badcrossbar_says_the_same(shape: tuple[int, int], line: float) -> None:
    """badcrossbar 1.1.0 has one resistance, of all pieces of line, the first ones included."""
    pytest.importorskip("pathvalidate")  # badcrossbar only warns without it, and then lacks `compute`
    badcrossbar = pytest.importorskip("badcrossbar")
    conductance, volts = devices(*shape), np.random.default_rng(1).uniform(0, 1, (shape[0], 3))
    expected = badcrossbar.compute(volts, 1 / conductance, r_i=line).currents.output
    np.testing.assert_allclose(volts.T @ effective_conductances(conductance, line, 0), expected, rtol=1e-6)


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize(("line", "source"), [(1.0, 1.0), (2.5, 10.0), (10.0, 20.0)])
@pytest.mark.parametrize("shape", [(2, 2), (9, 6), (6, 9), (16, 16)])
def test_memtorchs_solver_says_the_same(shape: tuple[int, int], line: float, source: float, difference: bool) -> None:
    """In single precision; it solves one system for the difference of two crossbars, which is no physical network."""
    import torch

    bindings = pytest.importorskip("memtorch_bindings")
    conductance = devices(*shape) - (devices(*shape, seed=1) if difference else 0)
    volts = np.random.default_rng(2).uniform(0, 1, (3, shape[0]))
    arguments = (torch.tensor(conductance).float(), torch.tensor(volts).float(), torch.zeros(3, shape[1]))
    expected = bindings.solve_passive(*arguments, source, line, n_input_batches=3).double().numpy()
    found = volts @ effective_conductances(conductance, line, source)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    ideal = volts @ conductance
    assert np.abs(found - ideal).max() > 10 * np.abs(found - expected).max()
