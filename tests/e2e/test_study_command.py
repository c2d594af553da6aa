"""`membench sweep` and `membench status`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_case
from repository import TINY, declare
from typer.testing import CliRunner

from membench import ADC, Conversion
from membench.cli import app


def call(*arguments: str) -> tuple[int, str]:
    """Exit code, and what was said on stdout and stderr."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, f"{result.stdout}\n{result.stderr}"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    declare(tmp_path, make_case(name="base", conversion=Conversion(adc=ADC(bits=8), max_input_voltage=6.0), seeds=(0, 1)))
    file = tmp_path / "benchmarks/cases/mine.py"
    file.write_text(TINY + file.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_is_measured_once_and_tabled(repository: Path, scheduler: str) -> None:
    wanted = (
        "sweep",
        "base",
        "--over",
        "adc.bits=4,6",
        "--over",
        "images=20,40",
        "--over",
        "tile_shape=none,16x16",
        "--out",
        "out",
    )
    code, said = call(*wanted, "--scheduler", scheduler)
    assert code == 0, said
    assert "Dask's dashboard: http://" in said
    assert "8 cases, 0 of them measured before" in said
    header = next(line for line in said.splitlines() if "loss, points [95 %]" in line)
    assert header.split()[:3] == ["adc.bits", "images", "tile_shape"]
    assert sum(line.startswith(("4 ", "6 ")) for line in said.splitlines()) == 8
    frame = pd.read_csv(repository / "out/results.csv")
    assert len(frame) == 8
    assert set(frame["images"]) == {20, 40}
    before = {file: file.stat().st_mtime_ns for file in (repository / "out/records").iterdir()}
    code, said = call(*wanted, "--scheduler", scheduler)
    assert code == 0, said
    assert "8 cases, 8 of them measured before" in said
    assert {file: file.stat().st_mtime_ns for file in (repository / "out/records").iterdir()} == before
    code, said = call("status", "out")
    assert code == 0
    assert "base-sweep: measured 8 of 8 cases, 16 of 16 points; 0 failed\nno one is measuring" in said
    assert json.loads(CliRunner().invoke(app, ("status", "out", "--json")).stdout)["points_done"] == 16


def test_a_point_that_fails_ends_the_sweep_with_1_and_its_reason(repository: Path, scheduler: str) -> None:
    over = ("--over", "adc.calibration_images=64,5000", "--over", "adc.range=calibrated")
    code, said = call("sweep", "base", *over, "--out", "out", "--scheduler", scheduler)
    assert code == 1, said
    assert "calibrates on 5000 images" in said
    assert "2 failed. The same command tries them again." in said
    assert any(line.startswith("5000") and "failed" in line for line in said.splitlines())
    code, said = call("status", "out")
    assert "measured 1 of 2 cases, 2 of 4 points; 2 failed" in said
    assert (
        "base, sweep: adc.calibration_images=5000, adc.range=calibrated, seed 1: Case 'base' calibrates on 5000 images" in said
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sweep", "nothing", "--over", "images=2"), "There is no case 'nothing'"),
        (("sweep", "base", "--over", "images"), "not of the form"),
        (
            ("sweep", "base", "--over", "images=20", "--scheduler", "tcp://x:1", "--workers", "2"),
            "--workers counts the processes",
        ),
        (("sweep", "base", "--over", "images=20", "--scheduler", "tcp://x:1", "--cluster", "x.py"), "exclude each other"),
        (("status", "."), "holds no study"),
    ],
)
def test_what_cannot_be_is_told(repository: Path, arguments: tuple[str, ...], words: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code != 0
    assert words in str(result.exception)


def test_a_cluster_file_starts_the_workers(repository: Path, scheduler: str) -> None:
    """Any object that Dask's client takes for a cluster will do: here one that stands for the workers of another."""
    (repository / "cluster.py").write_text(
        "from contextlib import contextmanager\n"
        "@contextmanager\n"
        f"def CLUSTER():\n    open('started', 'w').close()\n    yield {scheduler!r}\n    open('ended', 'w').close()\n"
    )
    code, said = call("sweep", "base", "--over", "images=20", "--out", "out", "--cluster", "cluster.py")
    assert code == 0, said
    assert (repository / "started").exists()
    assert (repository / "ended").exists()
    (repository / "cluster.py").write_text("CLUSTER = 3")
    result = CliRunner().invoke(app, ("sweep", "base", "--over", "images=20,30", "--out", "out", "--cluster", "cluster.py"))
    assert "must declare CLUSTER, a function" in str(result.exception)
    (repository / "cluster.py").write_text("def CLUSTER():\n    raise OSError('no queue')")
    result = CliRunner().invoke(app, ("sweep", "base", "--over", "images=20,30", "--out", "out", "--cluster", "cluster.py"))
    assert "could not start its cluster: OSError: no queue" in str(result.exception)
