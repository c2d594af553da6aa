"""The store: one way to change a baseline, with a reason, and never half a file."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from records import make_record

from membench.baselines import BaselineStore
from membench.errors import EnvironmentProblemError, FileFormatError, GateError, InputError
from membench.record import Baseline, load, save

REASON = "The first measurement."


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")


def files(store: BaselineStore) -> list[str]:
    if not store.folder.exists():
        return []
    return sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file())


def test_an_accepted_record_is_found_with_its_reason(store: BaselineStore) -> None:
    record = make_record(name="mnist-ideal", engine="memtorch")
    path = store.update(record, f"  {REASON}\n")
    assert path == store.folder / "memtorch" / "mnist-ideal.json"
    baseline = store.get("memtorch", "mnist-ideal")
    assert baseline is not None
    assert baseline.record == record
    assert baseline.reason == REASON
    assert json.loads(path.read_text())["reason"] == REASON
    assert baseline.accepted.endswith("+00:00")
    assert files(store) == ["memtorch/mnist-ideal.json"]


def test_nothing_is_found_where_nothing_was_accepted(store: BaselineStore) -> None:
    assert store.get("memtorch", "small") is None
    store.update(make_record(), REASON)
    assert store.get("vectorized", "small") is None
    assert store.get("memtorch", "other") is None


def test_engines_and_cases_are_kept_apart(store: BaselineStore) -> None:
    for engine, name in (("memtorch", "b"), ("memtorch", "a.x"), ("vectorized", "b")):
        store.update(make_record(engine=engine, name=name), REASON)
    assert store.cases("memtorch") == ("a.x", "b")
    assert store.cases("vectorized") == ("b",)
    assert store.cases("digital") == ()


def test_an_update_replaces(store: BaselineStore) -> None:
    store.update(make_record(logit_error=0.1), REASON)
    store.update(make_record(logit_error=0.2), "Now with a coarser converter.")
    baseline = store.get("memtorch", "small")
    assert baseline is not None
    assert baseline.record.measured.logit_error == pytest.approx(0.2)
    assert baseline.reason == "Now with a coarser converter."
    assert files(store) == ["memtorch/small.json"]


@pytest.mark.parametrize(
    "reason", ["", " ", "update", "because", "unexplained-change", "a b", "ok   then", "\n\n\n\n\n\n\n\n\n\n\n"]
)
def test_an_update_needs_a_sentence(store: BaselineStore, reason: str) -> None:
    with pytest.raises(InputError, match="is not accepted: must be a sentence of at least ten letters"):
        store.update(make_record(), reason)
    assert files(store) == []


@pytest.mark.parametrize("control", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\x00"])
def test_a_reason_with_control_characters_is_refused_when_it_is_given_and_when_it_is_read(
    store: BaselineStore, control: str
) -> None:
    with pytest.raises(InputError, match="it holds the control character") as error:
        store.update(make_record(), f"A reason {control} that drives a terminal.")
    assert str(error.value).isprintable()
    assert files(store) == []
    path = store.update(make_record(), REASON)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "reason": f"A reason {control} that drives a terminal."}))
    with pytest.raises(FileFormatError, match=r"small\.json: reason: it holds the control character") as error:
        store.get("memtorch", "small")
    assert control not in str(error.value)


def test_a_reason_of_several_lines_is_kept_on_one(store: BaselineStore) -> None:
    path = store.update(make_record(), "8 bits\n\tinstead of\r\n 6\n")
    assert json.loads(path.read_text())["reason"] == "8 bits instead of 6"
    path.write_text(path.read_text().replace("8 bits instead", "8 bits\\ninstead"))
    with pytest.raises(FileFormatError, match="reason: must be on one line"):
        store.get("memtorch", "small")


def test_a_reason_that_is_no_text_is_refused(store: BaselineStore) -> None:
    """A command line may hold bytes that are no UTF-8; Python hands them over as lone surrogates."""
    with pytest.raises(InputError):
        store.update(make_record(), "A reason with \udcff in it.")
    assert files(store) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"broken": (0,)}, "INVALID: 1 of 20 converted outputs"),
        ({"logit_error": float("nan")}, "INVALID"),
        ({"digital_wrong": range(20)}, "INVALID: the digital network itself is at chance"),
        ({"wrong": range(4), "max_loss_points": 15.0}, "OVER_THRESHOLD: lost 20.00 points"),
    ],
)
def test_a_record_that_is_not_acceptable_itself_is_refused(store: BaselineStore, bad: dict[str, Any], said: str) -> None:
    with pytest.raises(GateError, match=f"small cannot become a baseline: {said}"):
        store.update(make_record(**bad), REASON)
    assert files(store) == []


def test_a_refusal_leaves_the_accepted_baseline(store: BaselineStore) -> None:
    path = store.update(make_record(), REASON)
    before = path.read_bytes()
    with pytest.raises(GateError):
        store.update(make_record(broken=(0,)), REASON)
    with pytest.raises(InputError):
        store.update(make_record(), "no")
    assert path.read_bytes() == before


@pytest.mark.parametrize(("engine", "case"), [("memtorch", "other"), ("vectorized", "small")])
def test_a_file_copied_from_another_case_or_engine_is_refused(store: BaselineStore, engine: str, case: str) -> None:
    path = store.update(make_record(), REASON)
    copy = store.path(engine, case)
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(path.read_bytes())
    with pytest.raises(FileFormatError, match=r"holds the baseline of 'small' on engine 'memtorch'\. Was it") as error:
        store.get(engine, case)
    assert str(copy) in str(error.value)
    assert f"membench baseline update {case} --engine {engine}" in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[: len(text) // 2], lambda text: "", lambda text: text.replace('"estimate": 0.0', '"estimate": 0.5')],
)
def test_a_damaged_file_is_an_error_that_names_it_and_not_a_missing_baseline(store: BaselineStore, damage: Any) -> None:
    path = store.update(make_record(), REASON)
    path.write_text(damage(path.read_text()))
    with pytest.raises(FileFormatError) as error:
        store.get("memtorch", "small")
    assert str(path) in str(error.value)


def test_a_bare_record_is_no_baseline(store: BaselineStore) -> None:
    path = save(make_record(), store.path("memtorch", "small"))
    with pytest.raises(FileFormatError, match="reason: Field required") as error:
        store.get("memtorch", "small")
    assert str(path) in str(error.value)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentProblemError, match="Cannot write"):
        BaselineStore(tmp_path / "file" / "baselines").update(make_record(), REASON)


def test_a_cache_that_cannot_be_written_is_said(store: BaselineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock lies in the cache: a read-only home is a problem of the environment, not a traceback."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentProblemError):
        store.update(make_record(), REASON)


def test_many_threads_that_update_at_once_leave_a_whole_file(store: BaselineStore) -> None:
    """A reader beside them finds a whole baseline at any moment."""
    records = [make_record(logit_error=0.01 * (k + 1)) for k in range(6)]
    store.update(records[0], REASON)
    failures: list[BaseException] = []
    done = threading.Event()

    def write(k: int) -> None:
        try:
            for _ in range(4):
                store.update(records[k], f"Written by thread {k}.")
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        try:
            while not done.is_set():
                assert store.get("memtorch", "small") is not None
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(k,)) for k in range(len(records))]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert failures == []
    baseline = store.get("memtorch", "small")
    assert baseline is not None
    k = int(baseline.reason.removeprefix("Written by thread ").removesuffix("."))
    assert baseline.record == records[k]
    assert files(store) == ["memtorch/small.json"]


PROCESS = """
import sys
from pathlib import Path
from membench.baselines import BaselineStore
from membench.record import Record, load
folder, record, who = sys.argv[1:]
for _ in range(10):
    BaselineStore(Path(folder)).update(load(Record, Path(record)), f"Written by process {who}.")
"""


def test_two_processes_that_update_at_once_leave_a_whole_file(store: BaselineStore, tmp_path: Path) -> None:
    paths = [save(make_record(logit_error=0.1 * (k + 1)), tmp_path / f"{k}.json") for k in range(2)]
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(store.folder), str(path), str(k)], stderr=subprocess.PIPE)
        for k, path in enumerate(paths)
    ]
    for process in running:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr.decode()
    baseline = load(Baseline, store.path("memtorch", "small"))
    k = int(baseline.reason.removeprefix("Written by process ").removesuffix("."))
    assert baseline.record == make_record(logit_error=0.1 * (k + 1))
    assert files(store) == ["memtorch/small.json"]
