"""`membench compare`: folders, records, baselines and commits, and the exit codes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commits import commit
from conftest import ROOT, make_case
from records import make_baseline, make_record
from repository import TINY, declare

from membench import ADC, Case, Conversion, cli
from membench.compare import Comparison, Finding
from membench.record import Record, save

FILE_A, FILE_B = "a/records/memtorch/small.json", "b/records/memtorch/small.json"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call `membench` in tmp_path: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["membench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def losing(lost: int, name: str = "small", **fields: object) -> Record:
    return make_record(name=name, images=1000, seeds=(0, 1, 2), batch_size=100, wrong=range(lost), **fields)  # type: ignore[arg-type]


def keep(folder: Path, *records: Record) -> None:
    for record in records:
        save(record, folder / "records" / record.engine / f"{record.case.name}.json")


def read(out: str) -> dict[str, Finding]:
    return {case.case: case.finding for case in Comparison.from_json(out, "stdout").cases}


def test_two_runs_of_a_case_are_identical_and_a_coarser_adc_is_worse(call: Any, tmp_path: Path, case: Case) -> None:
    """From the declaration to the exit code: real images, real records."""
    case = case.replace(conversion=Conversion(adc=ADC(bits=8)), images=100, seeds=(0, 1))
    declare(tmp_path, case)
    for folder in ("one", "two"):
        call("run", "small", "--report", folder, "--no-explain")
    code, out, _ = call("compare", "one", "two")
    assert code == 0
    assert "small: " not in out
    assert out.splitlines()[3] == "1 identical"
    declare(tmp_path, case.replace(conversion=Conversion(adc=ADC(bits=2))))
    call("run", "small", "--report", "coarse", "--no-explain")
    code, out, _ = call("compare", "one", "coarse")
    assert code == 1
    assert "small: worse: by " in out
    assert "the case is another one: conversion.adc.bits 8 -> 2" in out


def test_a_baseline_and_a_run(call: Any, tmp_path: Path) -> None:
    save(make_baseline(losing(5)), tmp_path / "baselines" / "memtorch" / "small.json")
    keep(tmp_path / "out", losing(40))
    code, out, _ = call("compare", "baselines", "out", "--json")
    assert (code, read(out)) == (1, {"small": Finding.WORSE})
    code, out, _ = call("compare", "out", "baselines", "--json")
    assert (code, read(out)) == (0, {"small": Finding.BETTER})
    assert call("compare", "baselines/memtorch/small.json", "out/records/memtorch/small.json")[0] == 1


def test_missing_cases_end_with_4_unless_they_are_allowed(call: Any, tmp_path: Path) -> None:
    keep(tmp_path / "a", losing(5), losing(5, "old"))
    keep(tmp_path / "b", losing(5))
    code, out, _ = call("compare", "a", "b")
    assert code == 4
    assert "old: only in A: a has it, b has not" in out
    assert call("compare", "a", "b", "--allow-missing")[0] == 0
    assert call("compare", "a", "b", "--case", "small")[0] == 0


def test_markdown_and_the_choice_of_an_engine(call: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        keep(tmp_path / folder, losing(5), losing(5, engine="digital"))
    code, out, _ = call("compare", "a", "b", "--engine", "digital", "--markdown")
    assert code == 0
    assert out.startswith("# membench compare")
    assert out.count("\n| ") == 2


def test_of_two_files_on_two_engines_one_may_be_chosen(call: Any, tmp_path: Path) -> None:
    keep(tmp_path / "a", losing(5))
    keep(tmp_path / "a", losing(5, engine="digital"))
    files = FILE_A, FILE_A.replace("memtorch", "digital")
    assert call("compare", *files)[0] == 0
    code, out, _ = call("compare", *files, "--engine", "memtorch", "--json")
    assert (code, read(out)) == (4, {"small": Finding.ONLY_A})
    code, out, _ = call("compare", *files, "--engine", "digital", "--json")
    assert (code, read(out)) == (4, {"small": Finding.ONLY_B})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "nowhere"), "'nowhere' is neither a file nor a folder"),
        (("a", "b", "--json", "--markdown"), "--markdown and --json exclude each other"),
        (("a", "b", "--case", "smal"), "Neither side has a record of smal"),
        (("a", "b", "--engine", "digital"), "Neither side has a record on engine digital"),
        (("empty", "empty"), "There is no record on either side"),
        ((FILE_A, FILE_B, "--case", "smal"), "Neither side has a record of smal"),
        ((FILE_A, FILE_B, "--engine", "digital"), "Neither side has a record on engine digital"),
        ((FILE_A, FILE_B, "--case", "small", "--engine", "digital"), "Neither side has a record of small on engine digital"),
        (("a", "b", "--tolerance", "-1"), "Invalid value"),
        (("a",), "Missing argument"),
        (("empty", "empty", "--measure"), "There is nothing to measure"),
    ],
)
def test_bad_input_is_named_and_ends_with_2(call: Any, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("a", "b"):
        keep(tmp_path / folder, losing(5))
    code, out, err = call("compare", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_the_tolerance_decides_what_is_no_change(call: Any, tmp_path: Path) -> None:
    keep(tmp_path / "a", losing(5))
    keep(tmp_path / "b", losing(8))
    assert read(call("compare", "a", "b", "--json")[1]) == {"small": Finding.NOT_SIGNIFICANT}
    assert read(call("compare", "a", "b", "--json", "--tolerance", "2")[1]) == {"small": Finding.NO_CHANGE}


def test_help_names_the_exit_codes(call: Any) -> None:
    code, out, _ = call("compare", "--help")
    assert code == 0
    assert "4 not all cases could be compared" in " ".join(out.split())
    assert "Example" in out


def repository(folder: Path, case: Case) -> None:
    """A repository that holds membench itself, and declares a case."""
    shutil.copytree(ROOT / "membench", folder / "membench", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    declare(folder, case)
    cases = folder / "benchmarks" / "cases" / "mine.py"
    cases.write_text(TINY + cases.read_text())


@pytest.mark.slow
def test_commits_are_measured_by_their_own_code(tmp_path: Path) -> None:
    """The second commit changes nothing that is measured, the third simulates mirrored images."""
    case = make_case(images=300, seeds=(0, 1, 2), batch_size=50)
    repository(tmp_path, case)
    commit(tmp_path, "first")
    (tmp_path / "README.md").write_text("Words.")
    commit(tmp_path, "second")
    file = tmp_path / "membench" / "engines" / "vectorized.py"
    text = file.read_text()
    assert "def infer(self, images: Tensor) -> Tensor:" in text
    mirrored = "_infer = VectorizedNetwork.infer\nVectorizedNetwork.infer = lambda self, images: _infer(self, images.flip(3))\n"
    file.write_text(f"{text}\n{mirrored}")
    commit(tmp_path, "third")

    def compare(*arguments: str) -> tuple[int, Comparison]:
        done = subprocess.run(
            [sys.executable, "-m", "membench", "compare", *arguments, "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1, 4), done.stderr
        return done.returncode, Comparison.from_json(done.stdout, "stdout")

    code, found = compare("HEAD~2", "HEAD~1", "--measure", "--case", "small")
    assert (code, [case.finding for case in found.cases]) == (0, [Finding.IDENTICAL])
    assert found.cases[0].words == "every answer and every batch's logit error of 300 images x 3 seeds"
    code, found = compare("HEAD~1", "HEAD", "--measure", "--case", "small")
    assert (code, [case.finding for case in found.cases]) == (1, [Finding.WORSE]), found.cases[0].words
    assert found.b.startswith("HEAD (")
