"""What a worker process does: measure one case after another, and write each record as soon as it is there."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from membench.campaign._store import RecordStore
from membench.case import Case
from membench.declared import import_file
from membench.errors import MembenchError
from membench.pipeline import run_case


@dataclass(frozen=True)
class Done:
    """What came of a case: `problem` is empty, or says why there is no record."""

    fingerprint: str
    seconds: float
    problem: str = ""


def start(parent: int, declared_in: Path | None) -> None:
    """Make this process ready, and end it when `parent` is gone, even by kill -9: it would wait for work for ever."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if declared_in is not None:
        import_file(declared_in)  # it may register data sets, networks and effects of its own


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def measure(case: Case, engine: str, threads: int, folder: Path, data: Path | None) -> Done:
    """Measure a case and keep its record. What goes wrong with one case must not end the others."""
    started = time.monotonic()
    try:
        record = run_case(case, engine, threads=threads, data=data)
        RecordStore(folder).put(record)
    except MembenchError as error:
        return Done(case.fingerprint, time.monotonic() - started, str(error))
    except Exception as error:  # a bug, or no memory: it is told with the case
        return Done(case.fingerprint, time.monotonic() - started, f"{type(error).__name__}: {error}")
    return Done(case.fingerprint, time.monotonic() - started)


@dataclass(frozen=True)
class Price:
    """What a case costs, in seconds: once, for each seed, and for each image of each seed."""

    once: float
    seed: float
    image: float

    def of(self, case: Case) -> float:
        return self.once + len(case.seeds) * (self.seed + case.images * self.image)


def probe(case: Case, engine: str, threads: int, data: Path | None) -> Price:
    """The price of a case, from a few images on one seed; the first run reads data and compiles, which later ones need not."""
    few = case.replace(images=min(case.images, 2 * case.batch_size), seeds=case.seeds[:1])
    run_case(few, engine, threads=threads, data=data)
    started = time.monotonic()
    costs = run_case(few, engine, threads=threads, data=data).costs
    elapsed = time.monotonic() - started
    (seed,) = costs.seeds
    each_seed = seed.convert + seed.tune + seed.effects
    return Price(max(0.0, elapsed - each_seed - sum(seed.batches)), each_seed, costs.seconds_per_image)
