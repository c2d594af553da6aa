"""The gate: one test a declared case. `pytest benchmarks/`"""

from collections.abc import Callable

from membench import Case


def test_accuracy(membench_case: Case, membench_gate: Callable[[Case], None]) -> None:
    membench_gate(membench_case)
