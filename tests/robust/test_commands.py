"""Bad files through the command line and through pytest: one message, the documented exit code, no traceback, nothing measured."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from formats import Format, made
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from membench import cli
from membench.errors import MembenchError
from membench.words import LINES

pytestmark = pytest.mark.filterwarnings("ignore::membench.case.UnusualOrderWarning")

# What reads a kind of file: the command, in the folder where the example lies.
COMMANDS: dict[str, list[str]] = {
    "record": ["compare", "record.json", "record.json"],
    "baseline": ["baseline", "show", "small", "--baselines", "."],
    "record of a study": ["report", "."],
    "study": ["report", "."],
    "declared cases": ["list", "--cases", "cases"],
    "declared study": ["study", "study.py", "--estimate"],
}


def refused(form: Format, folder: Path, count: int) -> list[bytes]:
    """Mutants that membench refuses, of all kinds of damage."""
    found: dict[str, bytes] = {}
    form.lay(folder)
    mutants = form.mutants(form.valid)

    @settings(
        max_examples=4 * count, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        mutant = data.draw(mutants)
        (folder / form.target).write_bytes(mutant)
        try:
            form.read(folder)
        except MembenchError:
            found[hashlib.sha256(mutant).hexdigest()] = mutant

    draw()
    some = random.Random(0).sample(sorted(found), min(count, len(found)))
    return [found[key] for key in some]


def example(name: str, folder: Path) -> Format:
    form = made(name)
    form.lay(folder)
    if name == "study":  # a report needs a record too
        made("record of a study").lay(folder)
    return form


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_file_ends_a_command_with_a_message_and_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    form = made(name)
    bad = refused(form, tmp_path / "drawn", 8)
    place = tmp_path / "here"
    example(name, place)
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["membench", *COMMANDS[name]])
    assert len(bad) >= 6
    for mutant in bad:
        (place / form.target).write_bytes(mutant)
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert end.value.code == 2, said.err
        assert said.err.count("membench: ") == 1
        assert Path(form.target).name in said.err
        assert "Traceback" not in said.err
        assert len(said.err.splitlines()) <= LINES + 4
        assert said.out == ""


def test_damaged_weights_end_a_training_with_a_message_and_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["membench", "train", "tiny", "mnist5k", "--epochs", "1", "--threads", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    for file in (next(tmp_path.glob("*.safetensors")), next(tmp_path.glob("*.json"))):
        whole = file.read_bytes()
        for damaged in (b"", whole[: len(whole) // 2], whole[:-1] + b"\x00", whole + b"}"):
            file.write_bytes(damaged)
            with pytest.raises(SystemExit) as end:
                cli.main()
            said = capsys.readouterr().err
            assert end.value.code == 2
            assert said.count("membench: ") == 1
            assert file.name in said
            assert "Traceback" not in said
        file.write_bytes(whole)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0


@pytest.fixture
def repository(pytester: pytest.Pytester) -> Path:
    """A user's own, with two cases."""
    folder = pytester.path
    made("declared cases").lay(folder / "benchmarks")
    (folder / "benchmarks/test_accuracy.py").write_text((ROOT / "benchmarks/test_accuracy.py").read_text())
    (folder / "baselines/vectorized").mkdir(parents=True)
    return folder


def gate(pytester: pytest.Pytester) -> pytest.RunResult:
    options = ("--membench-gate", "--membench-case", "small-faulty", "-p", "no:cacheprovider", "-p", "no:xdist")
    return pytester.runpytest_inprocess("benchmarks", *options)


@pytest.mark.parametrize(
    ("file", "name"),
    [("baselines/known-failures.toml", "known failures"), ("benchmarks/cases/mine.py", "declared cases")],
)
def test_a_bad_file_of_a_gate_is_a_usage_error(file: str, name: str, repository: Path, pytester: pytest.Pytester) -> None:
    (repository / file).write_bytes(made(name).valid[:-30])
    result = gate(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "\n".join([*result.outlines, *result.errlines])
    assert Path(file).name in said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema_version": 1}', b"\xff\xfe", b"[" * 100_000])
def test_a_bad_baseline_closes_the_gate(damage: bytes, repository: Path, pytester: pytest.Pytester) -> None:
    (repository / "baselines/vectorized/small-faulty.json").write_bytes(damage)
    result = gate(pytester)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said = "\n".join(result.outlines)
    assert "ERROR" in said
    assert "small-faulty.json" in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline", "declared cases"])
def test_a_bad_file_ends_a_process_with_a_message_and_2(name: str, tmp_path: Path) -> None:
    form = example(name, tmp_path)
    (tmp_path / form.target).write_bytes(form.valid[:-40])
    done = subprocess.run(
        [sys.executable, "-m", "membench", *COMMANDS[name]], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("membench: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
