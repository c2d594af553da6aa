"""Randomness and threads are under the case's control while it runs, and given back as they were found."""

from __future__ import annotations

import random
import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch

from membench.errors import InputError
from membench.runtime import derive_seed, isolated, pinned_threads


def draw() -> tuple[float, float, float]:
    """The next number of each of the three global generators."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


class Stop(BaseException):
    """As an interruption from the keyboard, which `except Exception` does not stop."""


def stop(fails: bool) -> None:
    if fails:
        raise Stop


def ending(fails: bool) -> AbstractContextManager[object]:
    """Expects the body to end by an exception, or not to."""
    return pytest.raises(Stop) if fails else nullcontext()


def test_isolated_seeds_all_three_generators() -> None:
    with isolated(5):
        first = draw()
    draw()
    with isolated(5):
        assert draw() == first
    with isolated(6):
        assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_isolated_accepts_every_derived_seed(seed: int) -> None:
    """numpy's own seeds end at 2^32 - 1; derived ones at 2^63 - 1."""
    with isolated(seed):
        first = draw()
    with isolated(seed):
        assert draw() == first


@pytest.mark.parametrize("fails", [False, True])
def test_isolated_gives_all_three_generators_back(fails: bool) -> None:
    with isolated(1):  # of the test's own
        draw()
        python, legacy, state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        with ending(fails), isolated(2):
            draw()
            stop(fails)
        assert random.getstate() == python
        assert np.random.get_state()[1].tolist() == legacy[1].tolist()
        assert np.random.get_state()[2:] == legacy[2:]
        assert torch.random.get_rng_state().equal(state)


@pytest.mark.parametrize("fails", [False, True])
def test_isolated_gives_numpys_treatment_of_errors_back(fails: bool) -> None:
    before = np.geterr()
    assert before["divide"] != "raise"
    with ending(fails), isolated(0):
        np.seterr(all="raise")
        stop(fails)
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
    with ending(fails), pinned_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        stop(fails)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", [0, -1, 1025, 100_000, 2**40])
def test_a_number_of_threads_that_would_end_the_process_is_refused(threads: int) -> None:
    before = torch.get_num_threads()
    with (
        pytest.raises(InputError, match=rf"threads: {threads} torch threads are not possible. Allowed: 1 to 1024"),
        pinned_threads(threads),
    ):
        pytest.fail("it ran")
    assert torch.get_num_threads() == before
