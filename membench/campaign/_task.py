"""What a worker does with a point. A task is small: the case as JSON, and the hash of the kit that lies on the worker already."""

from __future__ import annotations

import faulthandler
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from distributed import get_worker
from distributed.utils import sync

from membench.campaign._kit import Unpacked, unpacked
from membench.case import Case, UnusualOrderWarning
from membench.errors import EnvironmentProblemError, MembenchError
from membench.pipeline import run_case
from membench.record import Record
from membench.storage import cache_dir

START_LIMIT_S = 600.0
_ALONE = threading.Lock()  # torch's threads and the generators are the process's: one point at a time


@dataclass(frozen=True)
class How:
    """How points of a study are measured.

    Attributes:
        engine: that executes them.
        threads: of torch.
        data: where data sets are looked for on the worker; None: MEMBENCH_DATA, else its cache.
        kit: digest of the study's kit.
        topic: of the events by which the client hears that a point was begun.
    """

    engine: str
    threads: int
    data: str | None
    kit: str
    topic: str

    @property
    def root(self) -> Path | None:
        return None if self.data is None else Path(self.data)


class Outcome(TypedDict, total=False):
    """What came of a point: its record as JSON, and how long it took to measure; or a problem.

    `elsewhere`: the problem may be this worker's, and another one may do better. `unfit`: it is, and will be every such point's here.
    """

    record: str
    seconds: float
    problem: str
    elsewhere: bool
    unfit: bool
    worker: str


class Begun(TypedDict):
    """The event that a worker sends when it begins with a point."""

    key: str
    worker: str
    host: str
    process: int
    stacks: str


def measure(how: How, case: str, limit: float) -> Outcome:
    """Measure a point. What goes wrong with one must not end the others.

    Args:
        case: as JSON.
        limit: seconds; a point that takes longer ends its process, and what hung lies in the cache of its machine. A process that
            is new may take START_LIMIT_S before that, to read data and kernels.
    """
    with _ALONE:
        worker = get_worker()
        try:
            with _watched(how.topic) as watch:
                kit = unpacked(how.kit)
                point = _parsed(case)
                kit.check(point, how.root)
                watch(limit)
                started = time.monotonic()
                record = _measured(how, kit, point)
                seconds = time.monotonic() - started
                return Outcome(record=record.model_dump_json(), seconds=seconds, worker=worker.address)
        except EnvironmentProblemError as error:
            return Outcome(problem=_words(error), elsewhere=True, unfit=True, worker=worker.address)
        except MembenchError as error:
            return Outcome(problem=_words(error), elsewhere=False, worker=worker.address)
        except Exception as error:  # a bug, or no memory
            return Outcome(problem=f"{type(error).__name__}: {error}", elsewhere=True, worker=worker.address)


def probe(how: How, case: str) -> dict[str, float]:
    """What a point of that case costs in seconds: `point`, and `image` for each image. What all points share is made before."""
    with _ALONE, _watched(how.topic):
        kit, few = unpacked(how.kit), _parsed(case)
        few = few.replace(images=min(few.images, 2 * few.batch_size), seeds=few.seeds[:1])
        kit.check(few, how.root)
        _measured(how, kit, few)
        started = time.monotonic()
        costs = _measured(how, kit, few).costs
        elapsed = time.monotonic() - started
        (seed,) = costs.seeds
        return {"point": max(0.0, elapsed - sum(seed.batches)), "image": costs.seconds_per_image}


def _words(error: MembenchError) -> str:
    return str(error) or type(error).__name__


def _measured(how: How, kit: Unpacked, case: Case) -> Record:
    return run_case(
        case, how.engine, threads=how.threads, data=how.root, trained=lambda: kit.trained(case), grounds=kit.grounds
    )


def _parsed(text: str) -> Case:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusualOrderWarning)  # the client was warned
        return Case.from_json(text, "a case")


@contextmanager
def _watched(topic: str) -> Iterator[Callable[[float], None]]:
    """Tell the client that a point is begun, and end this process when it hangs; gives a function that sets the seconds left.

    The watch is C code that needs no Python lock, so that it sees a kernel that hangs, too. Dask gives the point to another worker.
    """
    worker = get_worker()
    folder = cache_dir() / "hung"
    folder.mkdir(parents=True, exist_ok=True)
    key = str(worker.get_current_task())
    stacks = folder / f"{key}.txt"
    begun = Begun(key=key, worker=worker.address, host=socket.gethostname(), process=os.getpid(), stacks=str(stacks))
    sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=begun)  # it must have arrived before anything can go wrong
    try:
        with stacks.open("w", encoding="utf-8") as file:

            def watch(seconds: float) -> None:
                faulthandler.dump_traceback_later(seconds, exit=True, file=file)

            watch(START_LIMIT_S)
            try:
                yield watch
            finally:
                faulthandler.cancel_dump_traceback_later()
    finally:
        stacks.unlink(missing_ok=True)
