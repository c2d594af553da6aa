"""Two processes on the same baselines, caches and folders do not harm each other: what is read at any moment is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT, needs_loopback
from formats import FEW, RECIPE, STUDY, TINY
from records import make_record

from membench.baselines import BaselineStore
from membench.models import FoldCard, obtain
from membench.record import Record, load
from membench.runtime import pinned_threads
from membench.storage import sha256

HERE = Path(__file__).resolve().parent

START = """
import sys, time
sys.path[:0] = {paths!r}
from pathlib import Path
folder, who = Path({folder!r}), sys.argv[1]
{imports}
(folder / ("ready-" + who)).touch()
while not (folder / "go").exists():
    time.sleep(0.005)
"""


def two(folder: Path, imports: str, body: str, cache: Path | None = None) -> list[str]:
    """Run a script in two processes that begin at once; what each printed."""
    script = folder / "script.py"
    script.write_text(START.format(paths=[str(HERE), str(HERE.parent)], folder=str(folder), imports=imports) + body)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MEMBENCH_CACHE": str(cache or folder / "cache")}
    started = [
        subprocess.Popen([sys.executable, str(script), who], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        for who in "ab"
    ]
    while not all((folder / f"ready-{who}").exists() or one.poll() is not None for who, one in zip("ab", started, strict=True)):
        time.sleep(0.01)
    (folder / "go").touch()
    ended = [one.communicate(timeout=300) for one in started]
    assert [one.returncode for one in started] == [0, 0], [said for _, said in ended]
    return [out for out, _ in ended]


UPDATE = """
for turn in range(15):
    record = make_record(engine="vectorized", wrong=range(turn % 4), description=who)
    BaselineStore(folder / "baselines").update(record, f"Turn {turn} of process {who}.")
"""


def test_two_processes_update_a_baseline_while_it_is_read(tmp_path: Path) -> None:
    store, seen, over = BaselineStore(tmp_path / "baselines"), set[str](), threading.Event()
    problems: list[Exception] = []

    def read() -> None:
        while not over.is_set():
            try:
                found = store.get("vectorized", "small")
            except Exception as error:
                problems.append(error)
                return
            if found is not None:
                seen.add(found.reason)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        imports = "from membench.baselines import BaselineStore\nfrom records import make_record"
        two(tmp_path, imports, UPDATE)
    finally:
        over.set()
        reader.join()
    assert problems == []
    assert len(seen) > 3
    last = store.get("vectorized", "small")
    assert last is not None
    assert last.reason.startswith("Turn 14 of process ")
    assert [file.name for file in (tmp_path / "baselines/vectorized").iterdir()] == ["small.json"]


@pytest.mark.slow
def test_two_processes_train_the_same_weights_once(tmp_path: Path) -> None:
    """One trains, the other waits and loads; both have the same weights."""
    body = """
from membench.models import _weights
train = _weights.train
def told(*given, **named):
    print("trained", flush=True)
    time.sleep(0.5)
    return train(*given, **named)
_weights.train = told
torch.set_num_threads(1)
print(obtain(TINY, FEW, recipe=RECIPE, folder=folder / "weights").card.sha256)
"""
    outs = two(tmp_path, "import torch\nfrom formats import FEW, RECIPE, TINY\nfrom membench.models import obtain", body)
    lines = [line for out in outs for line in out.split()]
    assert lines.count("trained") == 1
    (weights,) = {line for line in lines if line != "trained"}
    with pinned_threads(1):
        found = obtain(TINY, FEW, recipe=RECIPE, folder=tmp_path / "weights")
    assert found.card.sha256 == weights == sha256(found.file.read_bytes())


@pytest.mark.slow
def test_two_processes_cross_validate_each_fold_once(tmp_path: Path) -> None:
    body = """
from membench.models import _folds
measure = _folds._measure
def told(*given):
    print("measured", flush=True)
    return measure(*given)
_folds._measure = told
torch.set_num_threads(1)
print(*(fold.created for fold in cross_validate(TINY, FEW, 3, recipe=RECIPE, folder=folder / "folds").folds))
"""
    outs = two(
        tmp_path, "import torch\nfrom formats import FEW, RECIPE, TINY\nfrom membench.models import cross_validate", body
    )
    assert sum(out.count("measured") for out in outs) == 3
    assert len({out.splitlines()[-1] for out in outs}) == 1
    cards = [load(FoldCard, file) for file in (tmp_path / "folds").glob("*.json")]
    assert sorted(card.fold.number for card in cards) == [1, 2, 3]


@pytest.mark.slow
def test_two_processes_compile_the_kernel_once(tmp_path: Path) -> None:
    body = """
found = kernel_in_use()
assert found is not None
print(found.path, found.build_seconds > 0)
"""
    outs = two(tmp_path, "from membench.arrays import kernel_in_use", body)
    paths, built = zip(*(out.split() for out in outs), strict=True)
    assert len(set(paths)) == 1
    assert sorted(built) == ["False", "True"]
    assert {file.suffix for file in (tmp_path / "cache/kernels").iterdir()} == {".so", ".sha256", ".lock"}


@needs_loopback
@pytest.mark.slow
def test_two_processes_run_the_same_study(tmp_path: Path) -> None:
    """They share the points; none is lost, and none is damaged."""
    declared = tmp_path / "declared.py"
    declared.write_text(f"import sys\nsys.path.insert(0, {str(HERE.parent)!r})\nimport tiny\n{STUDY.decode()}")
    arguments = [sys.executable, "-m", "membench", "study", str(declared), "--out", str(tmp_path / "out"), "--workers", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) for _ in "ab"]
    ended = [one.communicate(timeout=300) for one in run]
    assert [one.returncode for one in run] == [0, 0], ended
    assert not [said for _, said in ended if "Traceback" in said]
    files = list((tmp_path / "out/records").iterdir())
    assert sorted(load(Record, file).fingerprint for file in files) == sorted(file.stem for file in files)
    assert len(files) == 9


def test_two_threads_write_one_file(tmp_path: Path) -> None:
    """Whoever is last wins; nobody finds a part."""
    store = BaselineStore(tmp_path)
    records = [make_record(engine="vectorized", wrong=range(count)) for count in (1, 2)]

    def write(record: Record) -> None:
        for _ in range(10):
            store.update(record, "Written by a thread.")

    threads = [threading.Thread(target=write, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = store.get("vectorized", "small")
        assert found is None or found.record in records
    for thread in threads:
        thread.join()
    assert store.get("vectorized", "small").record in records  # type: ignore[union-attr]
