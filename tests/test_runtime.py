"""Randomness and threads are under the case's control while it runs, and given back as they were found."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch

from membench.runtime import derive_seed, isolated, pinned_threads


def draw() -> tuple[float, float, float]:
    """The next number of each of the three global generators."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_isolated_seeds_all_three_generators() -> None:
    with isolated(5):
        first = draw()
    draw()
    with isolated(5):
        assert draw() == first
    with isolated(6):
        assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_isolated_accepts_every_derived_seed() -> None:
    with isolated(2**63 - 1):
        large = draw()
    with isolated(2**63 - 1 - 2**32):  # numpy's part of the seed is the same, the others' are not
        other = draw()
    assert large[1] == other[1]
    assert large[0] != other[0]
    assert large[2] != other[2]


@pytest.mark.parametrize("fails", [False, True])
def test_isolated_gives_all_three_generators_back(fails: bool) -> None:
    with isolated(1):  # of the test's own
        draw()
        python, legacy, state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        try:
            with isolated(2):
                draw()
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert random.getstate() == python
        assert np.random.get_state()[1].tolist() == legacy[1].tolist()
        assert np.random.get_state()[2:] == legacy[2:]
        assert torch.random.get_rng_state().equal(state)


@pytest.mark.parametrize("fails", [False, True])
def test_isolated_gives_numpys_treatment_of_errors_back(fails: bool) -> None:
    before = np.geterr()
    assert before["divide"] != "raise"
    try:
        with isolated(0):
            np.seterr(all="raise")
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert np.geterr() == before


def test_isolated_nests() -> None:
    with isolated(1):
        draw()
        expected = draw()
    with isolated(1):
        draw()
        with isolated(2):
            draw()
        assert draw() == expected


def test_isolated_holds_against_another_thread() -> None:
    """The generators are global: a second thread must wait, or it moves the draws of the first."""
    with isolated(1):
        expected = draw(), draw()
    entered = threading.Event()

    def other() -> None:
        with isolated(2):
            entered.set()
            draw()

    thread = threading.Thread(target=other)
    with isolated(1):
        first = draw()
        thread.start()
        entered.wait(0.3)
        second = draw()
    thread.join(10)
    assert entered.is_set()
    assert (first, second) == expected


def test_derived_seeds_differ_by_root_and_axis() -> None:
    axes = [(), ("devices",), ("drift",), ("devices", "0"), ("devices", "1"), ("devices", 10), ("devices1", "0")]
    seeds = {derive_seed(root, *axis) for root in (0, 1, 2) for axis in axes}
    assert len(seeds) == 3 * len(axes)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_parts_of_an_axis_are_kept_apart() -> None:
    assert derive_seed(1, "2") != derive_seed(12)
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")


@pytest.mark.parametrize(
    ("root", "axes", "golden"),
    [
        (0, (), 3456079177858693020),
        (0, ("devices",), 7641782232863142038),
        (0, ("devices", "features.0"), 4847396272733918700),
        (1, ("devices",), 8653864224154784382),
    ],
)
def test_derived_seeds_never_change(root: int, axes: tuple[str, ...], golden: int) -> None:
    """Every baseline was measured with them."""
    assert derive_seed(root, *axes) == golden


@pytest.mark.parametrize("fails", [False, True])
def test_pinned_threads_are_given_back(fails: bool) -> None:
    before = torch.get_num_threads()
    try:
        with pinned_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert torch.get_num_threads() == before
