"""What became of a case, as it goes from a worker to the gate."""

from __future__ import annotations

import pytest

from membench.errors import DataMissingError, EnvironmentProblemError, InputError
from membench.outcome import Outcome, exit_code
from membench.verdict import Status, Verdict, failed


@pytest.mark.parametrize("error", [InputError("a"), EnvironmentProblemError("b"), DataMissingError("c"), ValueError("d")])
def test_an_outcome_survives_the_way_to_another_process(error: Exception) -> None:
    outcome = Outcome("small", "vectorized", failed(error), excused="known")
    assert Outcome.unpacked(outcome.packed()) == outcome


@pytest.mark.parametrize(("codes", "found"), [((), 0), ((3,), 3), ((2, 3), 2), ((3, 1, 2), 1)])
def test_a_command_ends_with_the_smallest_code(codes: tuple[int, ...], found: int) -> None:
    assert exit_code([Outcome("a", "vectorized", Verdict(Status.ERROR, "why", code)) for code in codes]) == found
