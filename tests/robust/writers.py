"""Everything that membench writes and reads again: an earlier run's files, another run that writes over them, and what whole files are.

`python writers.py` is a server: each line of its input names a writer, a folder and a harm, and is done in a process of its own,
forked from one in which everything is imported. So a hundred kills take seconds.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(HERE), str(HERE.parent)) if path not in sys.path]

import torch  # noqa: E402
from formats import FEW, RECIPE, TINY  # noqa: E402
from records import make_record  # noqa: E402
from studies import small_study, write_study  # noqa: E402

from membench.arrays import kernel  # noqa: E402
from membench.baselines import BaselineStore  # noqa: E402
from membench.campaign._store import Plan, Store  # noqa: E402
from membench.errors import MembenchError  # noqa: E402
from membench.models import Card, FoldCard, _weights, cross_validate, obtain, ship_weights  # noqa: E402
from membench.outcome import Outcome  # noqa: E402
from membench.record import Baseline, Record, load  # noqa: E402
from membench.report import write_report  # noqa: E402
from membench.report.drawing import write_picture  # noqa: E402
from membench.report.study_report import write as write_study_report  # noqa: E402
from membench.runtime import pinned_threads  # noqa: E402
from membench.storage import sha256  # noqa: E402
from membench.study import StudyInfo  # noqa: E402
from membench.verdict import Status, Verdict  # noqa: E402

OTHER = RECIPE.replace(seed=1)


@dataclass(frozen=True)
class Writer:
    """Something that writes.

    Attributes:
        old: an earlier run in that folder.
        new: the run that is harmed.
        kinds: of JSON files, by the end of their names.
        must: whether it fails where it cannot write; a cache is done without.
        kills: at how many of its steps it is killed; None: at each.
    """

    old: Callable[[Path], object]
    new: Callable[[Path], object]
    kinds: tuple[tuple[str, Any], ...] = ()
    must: bool = True
    kills: int | None = None


def _baseline(engine_wrong: int, reason: str) -> Callable[[Path], object]:
    record = make_record(engine="vectorized", images=20, wrong=range(engine_wrong))
    return lambda folder: BaselineStore(folder / "baselines").update(record, reason)


def _put(logit_error: float) -> Callable[[Path], object]:
    return lambda folder: Store(folder).put_record(make_record(images=10, logit_error=logit_error))


def _declare(title: str) -> Callable[[Path], object]:
    return lambda folder: Store(folder).declare(small_study(title)[0], {"a" * 64: ("b" * 64,)})


def _run_report(wrong: int, names: tuple[str, ...]) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        outcomes = [
            Outcome(name, "vectorized", Verdict(Status.PASS, "as it was"), make_record(name=name, engine="vectorized", wrong=range(wrong)))
            if name in names
            else Outcome(name, "vectorized", Verdict(Status.ERROR, "it failed"))
            for name in ("one", "two")
        ]  # fmt: skip
        return write_report(folder, outcomes, "vectorized")

    return write


def _study_report(title: str) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        write_study(folder, title)
        return write_study_report(folder)

    return write


def _train(recipe: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        with pinned_threads(1):
            return obtain(TINY, FEW, recipe=recipe, folder=folder / "weights")

    return write


@contextmanager
def _shipping_to(folder: Path) -> Iterator[None]:
    before = _weights.SHIPPED
    _weights.SHIPPED = folder / "shipped"
    try:
        yield
    finally:
        _weights.SHIPPED = before


def _ship(recipe: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        with pinned_threads(1), _shipping_to(folder):
            return ship_weights(obtain(TINY, FEW, recipe=recipe, folder=folder / "weights"))

    return write


def _both_trained(folder: Path) -> object:
    """Weights of both recipes, and the first ones shipped: the second run copies alone."""
    _train(OTHER)(folder)
    return _ship(RECIPE)(folder)


def _folds(folds: int) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        with pinned_threads(1):
            return cross_validate(TINY, FEW, folds, recipe=RECIPE, folder=folder / "folds")

    return write


@functools.cache
def _library() -> Path:
    """A kernel that is there already."""
    found, reason = kernel._load(os.environ.get("MEMBENCH_CACHE"))
    assert found is not None, reason
    return found.path


def compiler(folder: Path, version: str, library: Path) -> Path:
    """A compiler that copies; another `version` is another one, whose kernel has a file of its own."""
    script = folder / f"c++-{version}"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{version}"; exit 0; }}\nfor out; do :; done\ncp "{library}" "$out"\n'
    )
    script.chmod(0o755)
    return script


def _build(version: str) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        library = _library()
        os.environ["CXX"] = str(compiler(library.parent, version, library))  # in a process of its own
        return kernel._load.__wrapped__(str(folder / "cache"))

    return write


def _picture(title: str) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1, 1))
        figure.suptitle(title)
        return write_picture(figure, folder / "figure.png")

    return write


def _nothing(folder: Path) -> None:
    pass


WRITERS: dict[str, Writer] = {
    "baseline": Writer(_baseline(1, "An earlier one."), _baseline(2, "A later one."), ((".json", Baseline),)),
    "record": Writer(_put(0.1), _put(0.2), ((".json", Record),)),
    "study.json": Writer(_declare("Earlier"), _declare("Later"), (("study.json", StudyInfo), ("plan.json", Plan))),
    "report of a run": Writer(_run_report(1, ("one", "two")), _run_report(2, ("one",)), ((".json", Record),)),
    "report of a study": Writer(
        _study_report("Earlier"), _study_report("Later"), (("study.json", StudyInfo), (".json", Record)), kills=2
    ),
    "figure": Writer(_picture("Earlier"), _picture("Later")),
    "weights": Writer(_train(OTHER), _train(RECIPE), ((".json", Card),)),
    "shipped weights": Writer(_both_trained, _ship(OTHER), ((".json", Card),)),
    "folds": Writer(_folds(2), _folds(3), ((".json", FoldCard),), kills=6),
    "kernel": Writer(_build("one"), _build("two"), must=False),
}


def content(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, by path: without locks, and what a killed run leaves and the next takes away."""
    skipped = (".lock", ".tmp", ".checkpoint")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if file.suffix not in skipped and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }


def check_whole(writer: Writer, folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    """Every file is one that the earlier run or an undisturbed one left; what is dated is read, and belongs together."""
    found = content(folder)
    assert set(old) & set(new) - _replaced(old, new) <= set(found), "a file is gone"
    assert set(found) <= set(old) | set(new), set(found) - set(old) - set(new)
    for name, data in found.items():
        kind = next((kind for end, kind in writer.kinds if name.endswith(end)), None)
        if kind is not None:
            item = load(kind, folder / name)
            weights = (folder / name).with_suffix(".safetensors")
            if isinstance(item, Card) and weights.exists():
                assert item.sha256 == sha256(weights.read_bytes()), f"{name} is not the card of the weights beside it"
        elif not name.endswith(".sha256"):
            assert data in (old.get(name), new.get(name)), f"{name} is neither the old file nor the new one"


def _replaced(old: dict[str, bytes], new: dict[str, bytes]) -> set[str]:
    """A card goes before the weights that it describes are replaced: in between there are none, rather than wrong ones."""
    changed = {name for name in old if name.endswith(".safetensors") and new.get(name, old[name]) != old[name]}
    return {name.replace(".safetensors", ".json") for name in changed}


# ---- harm


STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.chmod",
    "os.mkdir",
    "os.rmdir",
    "shutil.rmtree",
    "subprocess.Popen",
    "tempfile.mkstemp",
}


def _step(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether an event of Python's is one that changes a file below `folder`."""
    if event not in STEPS or not any(str(argument).startswith(folder) for argument in arguments[:1] or ("",)):
        return False
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _at_each_step(folder: Path, act: Callable[[str], None]) -> None:
    """Call `act` with Python's name of each change of a file, just before it is made."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _step(event, arguments, str(folder)):
            act(event)

    sys.addaudithook(hook)


def _kill_at(step: int, folder: Path) -> None:
    """Kill this process, as kill -9 does, just before its `step`-th change of a file; 0 is the first."""
    seen: list[str] = []

    def act(event: str) -> None:
        if len(seen) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(event)

    _at_each_step(folder, act)


def _kill_within(write: int) -> None:
    """Kill this process when half of the content of its `write`-th file is written."""
    from membench import storage

    made = os.fdopen
    seen = -1

    def fdopen(descriptor: int, mode: str, *rest: Any, **more: Any) -> Any:
        nonlocal seen
        file = made(descriptor, mode, *rest, **more)
        if "w" not in mode:
            return file
        seen += 1
        if seen == write:
            whole = file.write

            def half(data: bytes) -> None:
                whole(data[: len(data) // 2])
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)

            return _Proxy(file, half)
        return file

    storage.os = _Module(os, fdopen=fdopen)  # type: ignore[assignment]


class _Module:
    def __init__(self, module: Any, **other: Any) -> None:
        self._module, self._other = module, other

    def __getattr__(self, name: str) -> Any:
        return self._other.get(name) or getattr(self._module, name)


class _Proxy:
    def __init__(self, file: Any, write: Callable[[bytes], None]) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> _Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _do(order: dict[str, Any]) -> int:
    """Do what an order says in this process; the exit code: 0 done, 3 refused by membench, 1 any other error, told in a file."""
    folder = Path(order["folder"])
    os.environ["MEMBENCH_CACHE"] = order["cache"]
    said = Path(order["said"])
    steps: list[str] = []
    if "count" in order:
        _at_each_step(folder, steps.append)
    if "kill" in order:
        _kill_at(order["kill"], folder)
    if "within" in order:
        _kill_within(order["within"])
    if "largest" in order:  # bytes that a file may have
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"], order["largest"]))
    writer = WRITERS[order["writer"]]
    if "seconds" in order:  # write all the time, until the alarm ends this process as unprepared as a kill does
        signal.setitimer(signal.ITIMER_REAL, order["seconds"])
        while True:
            writer.new(folder)
            writer.old(folder)
    try:
        getattr(writer, order["run"])(folder)
    except MembenchError as error:
        problem = f"{type(error).__name__}: {error}"
        code = 3
    except BaseException:
        problem, code = traceback.format_exc(), 1
    else:
        said.write_text(f"{len(steps)} {steps.count('tempfile.mkstemp')}" if steps else "")
        return 0
    said.write_bytes(problem.encode()[-900:])  # a limit on files holds for this one too
    return code


def serve() -> None:
    """Fork for each order; answer with the exit code, negative for a signal."""
    torch.set_num_threads(1)
    FEW.load("train"), FEW.load("test")
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["writer"] == "kernel":
            _library()
        child = os.fork()
        if child == 0:
            os._exit(_do(order))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


@dataclass(frozen=True)
class Prepared:
    """What is there before a run is harmed.

    Attributes:
        folder: of the earlier run.
        old: its files.
        new: those of a later run that nothing disturbed.
        steps: how often the later run changes a file, and how many files it writes.
    """

    folder: Path
    old: dict[str, bytes]
    new: dict[str, bytes]
    steps: dict[str, int]


class Server:
    """The server, as a test sees it."""

    def __init__(self, place: Path) -> None:
        self._said = place / "said.txt"
        self._cache = place / "cache"
        env = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "writers.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def do(self, writer: str, folder: Path, run: str = "new", **harm: float) -> tuple[int, str]:
        """Let a writer write; its exit code, negative for a signal, and what it said."""
        self._said.write_text("")
        order = {
            "writer": writer,
            "folder": str(folder),
            "run": run,
            "said": str(self._said),
            "cache": str(self._cache),
            **harm,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._answer()), self._said.read_text()

    def prepare(self, writer: str, place: Path) -> Prepared:
        """An earlier run in a folder of its own, and another run over a copy of it that nothing disturbs."""
        old, new = place / "old", place / "new"
        old.mkdir()
        assert self.do(writer, old, "old") == (0, "")
        shutil.copytree(old, new)
        code, said = self.do(writer, new, count=1)
        assert code == 0, said
        steps, files = map(int, said.split())
        return Prepared(old, content(old), content(new), {"kill": steps, "within": files})

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait(30)
        self._process.stdin.close()
        self._process.stdout.close()


@functools.cache
def running() -> Server:
    """One server for all tests of a process: it takes seconds to start."""
    place = Path(tempfile.mkdtemp())
    made = Server(place)
    atexit.register(lambda: (made.close(), shutil.rmtree(place)))
    return made


if __name__ == "__main__":
    serve()
