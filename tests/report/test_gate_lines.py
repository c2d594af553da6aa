"""What a gate says at its end."""

from __future__ import annotations

import pytest

from membench.outcome import Outcome
from membench.report.gate_lines import closing_line, comparison_lines
from membench.verdict import Status, Verdict


def outcome(name: str, status: Status, reason: str = "why", excused: str = "") -> Outcome:
    return Outcome(name, "vectorized", Verdict(status, reason), excused=excused)


@pytest.mark.parametrize(
    ("statuses", "lines"),
    [
        ({}, ["WARNING: no test compared the engine with memtorch (none takes membench_parity)."]),
        ({"a": Status.PASS}, ["Equal to memtorch, layer by layer: 1 of 1 case compared."]),
        ({"a": Status.PASS, "b": Status.INVALID}, ["Equal to memtorch, layer by layer: 1 of 2 cases compared."]),
        ({"a": Status.SKIPPED, "b": Status.SKIPPED}, ["WARNING: the comparison with memtorch did not run: a, b: why"]),
        (
            {"a": Status.ERROR, "b": Status.SKIPPED},
            [
                "Equal to memtorch, layer by layer: 0 of 1 case compared.",
                "WARNING: the comparison with memtorch did not run on every case: b: why",
            ],
        ),
    ],
)
def test_what_is_said_of_the_comparison(statuses: dict[str, Status], lines: list[str]) -> None:
    compared = {name: outcome(name, status) for name, status in statuses.items()}
    assert comparison_lines(compared, "memtorch", wanted=True) == lines
    assert comparison_lines(compared, "memtorch", wanted=False) == (lines if statuses else [])


@pytest.mark.parametrize(
    ("cases", "others", "bad", "line"),
    [
        ("P", "", "", "The gate is open: 1 case is green."),
        ("PP", "P", "", "The gate is open: 2 cases are green."),
        ("PS", "", "", "The gate is open: 1 case is green (1 skipped, as --membench-allow-skip allows)."),
        ("PKK", "", "", "The gate is open: 1 case is green (2 known failures let through)."),
        ("PPP", "", "02", "The gate is closed: 2 of 3 cases are not green."),
        ("P", "", "0", "The gate is closed: 1 of 1 case is not green."),
        ("P", "S", "1", "The gate is closed: 1 comparison or test is not green."),
        ("PP", "SS", "023", "The gate is closed: 1 of 2 cases is not green and 2 comparisons or tests beside them."),
    ],
)
def test_the_last_line(cases: str, others: str, bad: str, line: str) -> None:
    made = {
        "P": lambda name: outcome(name, Status.PASS),
        "S": lambda name: outcome(name, Status.SKIPPED),
        "K": lambda name: outcome(name, Status.REGRESSED, excused="known"),
    }
    every = [made[kind](str(number)) for number, kind in enumerate(cases + others)]
    assert closing_line(every[: len(cases)], every[len(cases) :], [every[int(number)] for number in bad]) == line
