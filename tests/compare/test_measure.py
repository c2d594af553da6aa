"""Measuring what a side lacks, with that side's own code. The code here is a stand-in that takes no time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commits import commit, git
from records import make_baseline, make_record

from membench import cli
from membench.compare.measure import measured
from membench.compare.sides import Side, read_side
from membench.errors import InputError
from membench.record import Record, load, save

KEY = ("small", "memtorch")
CASES = [Path("benchmarks/cases")]


def pretend(folder: Path, record: Record, fails: str = "") -> None:
    """A membench that gives `record`, whatever is asked of it, and keeps what that was."""
    code = folder / "membench"
    code.mkdir(exist_ok=True)
    (code / "__init__.py").write_text("")
    (code / "errors.py").write_text("class MembenchError(Exception): pass\n")
    (code / "record.py").write_text("def save(record, file): file.write_text(record)\n")
    (code / "suite.py").write_text(
        "import os\nclass load_suite:\n    def __init__(self, folders): self.folders = folders\n"
        "    def get(self, name): return f'{name} {self.folders} {os.getcwd()}'\n"
    )
    (code / "pipeline.py").write_text(
        "import json, os\nfrom membench.errors import MembenchError\n"
        "def run_case(case, engine, *, threads):\n"
        f"    open({str(folder / 'asked')!r}, 'w').write(json.dumps([case, engine, threads, os.environ.get('MEMBENCH_DATA')]))\n"
        f"    {fails or 'pass'}\n"
        f"    return {record.model_dump_json()!r}\n"
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits with code of their own: image 3 is lost in the second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    pretend(tmp_path, make_record())
    commit(tmp_path, "first")
    pretend(tmp_path, make_record(wrong=(3,)))
    commit(tmp_path, "second")
    return tmp_path


def missing_in(side: Side, *keys: tuple[str, str], threads: int = 1) -> Side:
    return measured(side, keys or (KEY,), cases=CASES, threads=threads)


def test_each_commit_is_measured_by_its_own_code(place: Path) -> None:
    pretend(place, make_record(wrong=(3, 4)))  # not committed
    before, now = missing_in(read_side("HEAD~1")), missing_in(read_side("HEAD"))
    assert before.records == {KEY: make_record()}
    assert now.records == {KEY: make_record(wrong=(3,))}


def test_what_it_asks_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_DATA", "data")
    missing_in(read_side("HEAD"), threads=2)
    said, engine, threads, data = json.loads((place / "asked").read_text())
    assert said.startswith("small [PosixPath('benchmarks/cases')] ")
    assert (engine, threads, data) == ("memtorch", 2, str(place / "data"))
    ran_in = Path(said.split()[-1])
    assert ran_in != place
    assert not ran_in.exists()


def test_from_a_folder_below_it_runs_in_that_folder_of_the_commit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "project").mkdir()
    (place / "project" / "file").write_text("")
    commit(place, "third")
    (place / "other").mkdir()
    pretend(place / "other", make_record(wrong=(9,)))
    monkeypatch.setenv("PYTHONPATH", str(place / "other"))
    monkeypatch.chdir(place / "project")
    assert missing_in(read_side("HEAD")).records == {KEY: make_record(wrong=(3,))}
    assert json.loads((place / "asked").read_text())[0].endswith("/project")


def test_nothing_of_it_is_left(place: Path) -> None:
    missing_in(read_side("HEAD"))
    assert git(place, "worktree", "list").count("\n") == 0
    assert git(place, "status", "--porcelain") == "?? asked"


def test_hooks_of_the_repository_do_not_run(place: Path) -> None:
    hook = place / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {place / 'hooked'}\n")
    hook.chmod(0o755)
    assert set(missing_in(read_side("HEAD")).records) == {KEY}
    assert not (place / "hooked").exists()


def test_what_is_there_is_not_measured(place: Path) -> None:
    save(make_baseline(make_record(wrong=(7,))), place / "baselines" / "memtorch" / "small.json")
    commit(place, "third")
    side = read_side("HEAD")
    assert missing_in(side) is side
    assert not (place / "asked").exists()


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("raise MembenchError('there is no such case')", "there is no such case"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("os._exit(0)", "the process ended with 0"),
        ("os.kill(os.getpid(), 9)", "the process ended with -9"),
    ],
)
def test_a_measurement_that_fails_is_that_case_s_failure(place: Path, fails: str, words: str) -> None:
    pretend(place, make_record(), fails)
    commit(place, "third")
    side = missing_in(read_side("HEAD"), KEY, ("other", "digital"))
    assert side.records == {}
    assert side.failures == {KEY: words, ("other", "digital"): words}
    assert git(place, "worktree", "list").count("\n") == 0


def test_a_record_that_cannot_be_read_is_a_failure(place: Path) -> None:
    pretend(place, make_record(), "return '{}'")
    commit(place, "third")
    assert "its record cannot be read here: record.json has schema version None" in missing_in(read_side("HEAD")).failures[KEY]


def test_code_from_elsewhere_is_found_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit measured by the installed membench would be taken for what it is not."""
    other = place / "other"
    other.mkdir()
    pretend(other, make_record())
    (other / "sitecustomize.py").write_text(f"import sys; sys.path.insert(0, {str(other)!r}); import membench\n")
    monkeypatch.setenv("PYTHONPATH", str(other))
    failure = missing_in(read_side("HEAD")).failures[KEY]
    assert "it was to be measured by the membench in" in failure
    assert f"but {other}/membench/__init__.py was imported" in failure


def test_a_damaged_baseline_of_a_commit_is_measured_anew(place: Path) -> None:
    file = save(make_baseline(make_record()), place / "baselines" / "memtorch" / "small.json")
    file.write_text(file.read_text().replace('"accuracy": 1.0', '"accuracy": 0.5', 1))
    commit(place, "third")
    side = read_side("HEAD")
    assert set(side.failures) == {KEY}
    side = missing_in(side)
    assert (side.failures, set(side.records)) == ({}, {KEY})


def test_a_folder_s_are_measured_here_and_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.compare.measure.__file__", str(place / "membench" / "compare" / "measure.py"))
    (place / "out").mkdir()
    side = missing_in(read_side("out"))
    assert side.records == {KEY: make_record(wrong=(3,))}
    assert load(Record, place / "out" / "records" / "memtorch" / "small.json") == make_record(wrong=(3,))
    assert json.loads((place / "asked").read_text())[0].endswith(f" {place}")


@pytest.mark.parametrize("where", ["a.json", "vectorized/a.json", "records/a.json", "records/vectorized/a.json"])
def test_what_is_added_to_a_folder_hides_nothing(place: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.compare.measure.__file__", str(place / "membench" / "compare" / "measure.py"))
    other = make_record(name="other", engine="vectorized")
    save(other, place / "out" / where)
    missing_in(read_side("out").only(["small"]))
    assert read_side("out").records == {("other", "vectorized"): other, KEY: make_record(wrong=(3,))}


def test_baselines_and_studies_are_not_written_to(place: Path) -> None:
    save(make_baseline(make_record(name="other")), place / "baselines" / "memtorch" / "other.json")
    with pytest.raises(InputError, match=r"baselines holds baselines and lacks small\. Baselines change in one way only"):
        missing_in(read_side("baselines"))
    save(make_record(name="other"), place / "out" / "records" / "0123.json")
    (place / "out" / "study.json").write_text("{}")
    with pytest.raises(InputError, match="out holds a study and lacks small"):
        missing_in(read_side("out"))
    with pytest.raises(InputError, match=r"0123\.json is a single record and not of small"):
        missing_in(read_side("out/records/0123.json"))
    assert not (place / "asked").exists()


def test_fresh_measures_what_has_a_baseline(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two commits share a baseline, and the code of the second is worse: only a measurement tells."""

    def losing(lost: int) -> Record:
        return make_record(images=1000, batch_size=100, wrong=range(lost))

    save(make_baseline(losing(0)), place / "baselines" / "memtorch" / "small.json")
    for lost in (0, 40):
        pretend(place, losing(lost))
        commit(place, f"loses {lost}")

    def compare(*options: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["membench", "compare", "HEAD~1", "HEAD", "--json", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        (case,) = json.loads(capsys.readouterr().out)["cases"]
        return int(ended.value.code or 0), case["finding"]

    assert compare() == compare("--measure") == (0, "identical")
    assert compare("--fresh") == (1, "worse")
