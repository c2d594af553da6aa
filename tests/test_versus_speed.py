"""`make versus`: who is timed, in turns, and what counts as slower."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scripts import loaded

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded("versus_speed", monkeypatch)


def test_networks_take_turns(speed: ModuleType) -> None:
    called: list[str] = []
    networks = {name: lambda images, name=name: called.append(name) for name in ("digital", "vectorized", "other")}
    times = speed.in_turns(networks, torch.zeros(1), 5)
    assert {name: len(taken) for name, taken in times.items()} == {"digital": 5, "vectorized": 5, "other": 5}
    assert called == ["digital", "vectorized", "other"] * (5 + speed.WARM)


def test_another_simulator_with_an_adc_that_is_as_fast_is_told(speed: ModuleType) -> None:
    def row(setting: str, engine: str, ratio: float) -> object:
        return speed.Row("mnist5k", setting, engine, (ratio, ratio, 9.0), 1.0, 0.0)

    rows = [row("no ADC", "vectorized", 2.0), row("no ADC", "aihwkit", 1.0)]
    rows += [row("8-bit ADC", "vectorized", 2.0), row("8-bit ADC", "digital", 1.0), row("8-bit ADC", "crosssim", 2.1)]
    assert speed.slower(rows) == []
    rows += [row("8-bit ADC", "aihwkit", 2.0)]
    assert speed.slower(rows) == ["aihwkit takes 2 x digital on mnist5k, vectorized 2 x"]


@pytest.mark.slow
def test_a_run_writes_its_table_and_numbers(speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(speed, "NETWORK", {"mnist5k": "vgg-mnist"})
    monkeypatch.setattr(sys, "argv", ["versus_speed.py", "--rounds", "3", "--out", str(tmp_path)])
    assert speed.main() in (0, 1)
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert {row["engine"] for row in rows} >= {"digital", "vectorized"}
    assert all(row["ratio"] == 1 for row in rows if row["engine"] == "digital")
    assert len((tmp_path / "speed.md").read_text().splitlines()) == len(rows) + 4
