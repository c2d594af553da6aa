"""What A or B may be, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commits import commit, git
from records import make_baseline, make_record

from membench.compare.revision import Revision
from membench.compare.sides import matched, read_side
from membench.errors import FileFormatError, InputError
from membench.record import Record, save

HERE = Path(__file__).parent


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in no repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def keep(folder: Path, *records: Record) -> None:
    """As `--report` leaves records."""
    for record in records:
        save(record, folder / "records" / record.engine / f"{record.case.name}.json")


def accept(folder: Path, *records: Record) -> None:
    """As baselines lie."""
    for record in records:
        save(make_baseline(record), folder / record.engine / f"{record.case.name}.json")


def test_a_folder_of_a_run(place: Path) -> None:
    keep(place / "out", make_record(), make_record(name="other", engine="digital"))
    side = read_side("out")
    assert side.name == "out"
    assert set(side.records) == {("small", "memtorch"), ("other", "digital")}
    assert (side.accepted, side.is_file, side.failures, side.unreadable) == (False, False, {}, ())


def test_a_folder_of_baselines(place: Path) -> None:
    accept(place / "baselines", make_record(wrong=(3,)))
    (place / "baselines" / "known-failures.toml").write_text("")
    side = read_side("baselines")
    assert side.records == {("small", "memtorch"): make_record(wrong=(3,))}
    assert side.accepted


def test_a_folder_of_a_study_names_records_by_fingerprint(place: Path) -> None:
    save(make_record(), place / "study" / "records" / "0123.json")
    (place / "study" / "study.json").write_text("{}")
    assert set(read_side("study").records) == {("small", "memtorch")}


def test_files_directly_in_a_folder(place: Path) -> None:
    save(make_record(), place / "out" / "a.json")
    (place / "out" / "study.json").write_text("{}")
    assert set(read_side("out").records) == {("small", "memtorch")}


@pytest.mark.parametrize("accepted", [False, True])
def test_a_single_file(place: Path, accepted: bool) -> None:
    save(make_baseline(make_record()) if accepted else make_record(), place / "one.json")
    side = read_side("one.json")
    assert (set(side.records), side.accepted, side.is_file) == ({("small", "memtorch")}, accepted, True)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "one.json is not a JSON object"), ("[]", "not a JSON object"), ("{}", "schema version None")]
)
def test_a_single_file_that_is_no_record_is_refused(place: Path, text: str, words: str) -> None:
    (place / "one.json").write_text(text)
    with pytest.raises(FileFormatError, match=words):
        read_side("one.json")


def test_damaged_files_of_a_folder_are_listed(place: Path) -> None:
    """One that still names its case counts as that case's failure."""
    keep(place / "out", make_record(name="good"), make_record(name="edited"))
    file = place / "out" / "records" / "memtorch" / "edited.json"
    content = json.loads(file.read_text())
    content["measured"]["accuracy"] = 0.123
    file.write_text(json.dumps(content))
    (file.parent / "truncated.json").write_text("{")
    side = read_side("out")
    assert set(side.records) == {("good", "memtorch")}
    (key, reason), (unreadable,) = *side.failures.items(), side.unreadable
    assert key == ("edited", "memtorch")
    assert "measured.accuracy is 0.123" in reason
    assert "\n" not in reason
    assert "truncated.json is not a JSON object" in unreadable


def test_two_records_of_a_case_are_refused(place: Path) -> None:
    save(make_record(), place / "out" / "records" / "a.json")
    save(make_record(), place / "out" / "records" / "b.json")
    with pytest.raises(InputError, match=r"a\.json and .*b\.json are both records of 'small' on engine memtorch"):
        read_side("out")


def test_what_is_nothing_is_refused(place: Path) -> None:
    with pytest.raises(InputError, match="'nowhere' is neither a file nor a folder, nor a commit of a git repository here"):
        read_side("nowhere")
    commit(place, "first")
    with pytest.raises(InputError, match="'--help' is neither"):
        read_side("--help")


def test_without_git_there_are_no_commits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(place, "first")
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(InputError, match="'HEAD' is neither"):
        read_side("HEAD")


def test_a_commit_has_the_baselines_that_were_committed(place: Path) -> None:
    accept(place / "baselines", make_record())
    first = commit(place, "first")
    accept(place / "baselines", make_record(wrong=(3,)), make_record(name="new"))
    git(place, "branch", "new")
    commit(place, "second")
    accept(place / "baselines", make_record(wrong=(3, 4)))  # not committed
    before, now = read_side("HEAD~1"), read_side("HEAD")
    assert before.records == {("small", "memtorch"): make_record()}
    assert now.records == {("small", "memtorch"): make_record(wrong=(3,)), ("new", "memtorch"): make_record(name="new")}
    assert (before.name, read_side(first).name, read_side(first[:7]).name) == (f"HEAD~1 ({first[:10]})", first, first[:7])
    assert isinstance(now.origin, Revision)


def test_baselines_elsewhere_and_from_a_folder_below(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(place / "project" / "accepted", make_record())
    commit(place, "first")
    monkeypatch.chdir(place / "project")
    assert len(read_side("HEAD", Path("accepted")).records) == 1
    assert len(read_side("HEAD", place / "project" / "accepted").records) == 1
    assert len(read_side("HEAD", Path("baselines")).records) == 0
    monkeypatch.chdir(place)
    assert len(read_side("HEAD", Path("project/accepted")).records) == 1
    assert len(read_side("HEAD", Path("accepted")).records) == 0


def test_damaged_baselines_of_a_commit_are_named_by_the_commit(place: Path) -> None:
    accept(place / "baselines", make_record())
    (place / "baselines" / "memtorch" / "bad.json").write_text("{")
    commit(place, "first")
    (unreadable,) = read_side("HEAD").unreadable
    assert unreadable.startswith("HEAD:baselines/memtorch/bad.json is not a JSON object")


def test_a_folder_is_meant_where_a_branch_has_its_name(place: Path) -> None:
    commit(place, "first")
    git(place, "branch", "out")
    keep(place / "out", make_record())
    assert len(read_side("out").records) == 1
    assert len(read_side("refs/heads/out").records) == 0


def test_cases_and_an_engine_are_chosen(place: Path) -> None:
    keep(place / "out", make_record(), make_record(engine="digital"), make_record(name="other"))
    side = read_side("out")
    assert set(side.only(["small"]).records) == {("small", "memtorch"), ("small", "digital")}
    assert set(side.only((), "digital").records) == {("small", "digital")}
    assert set(side.only(["other"], "digital").records) == set()
    assert side.only().records == side.records


def test_a_single_record_is_compared_with_its_case_alone(place: Path) -> None:
    keep(place / "out", make_record(wrong=(3,)), make_record(name="other"))
    (place / "out" / "records" / "bad.json").write_text("{")
    save(make_record(), place / "one.json")
    for a, b in (matched(read_side("one.json"), read_side("out")), reversed(matched(read_side("out"), read_side("one.json")))):
        assert set(a.records) == set(b.records) == {("small", "memtorch")}
        assert b.unreadable == ()


def test_two_single_records_are_compared_whatever_they_are(place: Path) -> None:
    save(make_record(), place / "one.json")
    save(make_record(name="other", engine="digital"), place / "other.json")
    a, b = matched(read_side("one.json"), read_side("other.json"))
    assert b.records == {("small", "memtorch"): make_record(name="other", engine="digital")}
    assert set(a.records) == set(b.records)
