"""docs/agreement.md shows what was measured, of the cases as they are declared."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from scripts import loaded

from membench.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent
CASES = {case.name: case for case in load_suite([ROOT / "benchmarks" / "versus"])}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded("agreement", monkeypatch)


def test_the_tables_are_those_of_what_was_measured(tool: ModuleType) -> None:
    page = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")
    assert page == tool.inserted(page, tool.kept()), "run: python tools/agreement.py --tables"


def test_what_was_measured_is_what_is_declared(tool: ModuleType) -> None:
    kept = tool.kept()
    assert len(kept) == len(list((ROOT / "docs" / "agreement").glob("agree-*.json")))
    for found in kept:
        assert found.fingerprint == CASES[found.case].fingerprint, found.case
        assert found.digital_accuracy > 0.5


def test_ideal_profiles_agree_on_every_network(tool: ModuleType) -> None:
    ideal = [found for found in tool.kept() if found.case.endswith("-ideal")]
    assert {found.case for found in ideal} == {name for name in CASES if name.endswith("-ideal")}
    for found in ideal:
        assert all(pair.same_predictions == 1 and pair.parting is None for pair in found.pairs)
        assert len([one for one in found.contenders if one.measured]) == 4
