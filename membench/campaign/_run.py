"""The study as a list of cases to measure, and the loop that has them measured."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from membench.campaign import _worker
from membench.campaign._store import RecordStore
from membench.case import DEFAULT_ENGINE, Case
from membench.datasets import DATASETS
from membench.engines import ENGINES
from membench.errors import EnvironmentProblemError, InputError
from membench.models import NETWORKS, obtain
from membench.pipeline import Progress
from membench.study import Study, StudyInfo


@dataclass(frozen=True)
class State:
    """Where a campaign stands.

    Attributes:
        done: cases measured, those of earlier runs among them.
        total: cases in all.
        work: seconds of one worker that the measured cases were estimated to take.
        whole: seconds of one worker that all cases are estimated to take, from a few images of each base.
        failures: why there is no record of a case, by its description.
    """

    done: int
    total: int
    work: float
    whole: float
    failures: Mapping[str, str]


@dataclass
class Campaign:
    """A study that is ready to run.

    Attributes:
        study: what is measured.
        info: the same as plain data.
        store: where records are kept.
        cases: every case once, in order.
        missing: those that have no record yet.
        engine: that executes them.
        workers: processes.
        threads: torch threads of each.
    """

    study: Study
    info: StudyInfo
    store: RecordStore
    cases: tuple[Case, ...]
    missing: tuple[Case, ...]
    engine: str
    workers: int
    threads: int
    declared_in: Path | None = None
    data: Path | None = None
    _price: dict[str, _worker.Price] = field(default_factory=dict)

    def estimate(self) -> float:
        """Seconds that one worker would take for what is missing, from a few images of each base."""
        with self._pool() as pool:
            self._probe(pool)
        return sum(map(self.seconds, self.missing))

    def _probe(self, pool: ProcessPoolExecutor) -> None:
        wanted = {_setup(case) for case in self.missing}
        probes = {_setup(base): base for base in self.study.bases.values() if _setup(base) in wanted}
        tasks = {
            setup: pool.submit(_worker.probe, base, self.engine, self.threads, self.data) for setup, base in probes.items()
        }
        self._price = {setup: task.result() for setup, task in tasks.items()}

    def seconds(self, case: Case) -> float:
        """What a case is estimated to cost: as the base of the same network, by seeds and images; 1 where it was not probed."""
        price = self._price.get(_setup(case))
        return price.of(case) if price else 1.0

    def run(self, tell: Callable[[State], None]) -> State:
        """Measure what is missing. Interrupted, or killed, it loses the cases in flight and nothing else.

        Args:
            tell: called once it is known what all will cost, and after each case.
        """
        self.store.declare(self.info)
        with self._pool() as pool:
            self._probe(pool)
            whole = sum(map(self.seconds, self.cases))
            work = whole - sum(map(self.seconds, self.missing))
            done, failures = len(self.cases) - len(self.missing), dict[str, str]()
            tell(State(done, len(self.cases), work, whole, failures))
            todo = iter(self.missing)
            running: dict[Future[_worker.Done], Case] = {}
            while True:
                while len(running) < self.workers and (case := next(todo, None)) is not None:
                    task = pool.submit(_worker.measure, case, self.engine, self.threads, self.store.folder, self.data)
                    running[task] = case
                if not running:
                    break
                for task in wait(running, return_when=FIRST_COMPLETED).done:
                    case = running.pop(task)
                    found = task.result()
                    work += self.seconds(case)
                    if found.problem:
                        failures[f"{case.name}, {case.description}"] = found.problem
                    else:
                        done += 1
                    tell(State(done, len(self.cases), work, whole, failures))
        return State(done, len(self.cases), work, whole, failures)

    @contextmanager
    def _pool(self) -> Iterator[ProcessPoolExecutor]:
        """Fresh processes: forked ones would share the state of torch's threads."""
        pool = ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_worker.start,
            initargs=(os.getpid(), self.declared_in),
        )
        try:
            yield pool
        except BrokenProcessPool as error:
            raise EnvironmentProblemError(
                f"A worker process ended unexpectedly: was memory short? What was measured is kept in {self.store.folder}; the same "
                "command goes on. Fewer workers need less memory (--workers)."
            ) from error
        except BaseException:  # an interrupt does not wait for the cases in flight
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _setup(case: Case) -> str:
    return f"{case.network} on {case.dataset}"


def prepare(
    study: Study,
    folder: Path,
    engine: str = DEFAULT_ENGINE,
    *,
    quick: bool = False,
    workers: int | None = None,
    threads: int = 1,
    declared_in: Path | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Campaign:
    """Check every case of a study, find or train its networks, and see what is measured already.

    Args:
        folder: where the study's records are kept.
        quick: the coarse study.
        workers: processes; as many as there are processors unless told otherwise.
        threads: torch threads of each.
        declared_in: file that declares the study, for the processes to import.
        data: where data sets are looked for; MEMBENCH_DATA, else the cache folder.
        progress: called while networks are trained.

    Raises:
        InputError, UnsupportedError: when any case cannot be run as declared; names the sweep and the setting.
        DataMissingError, EnvironmentProblemError: when this machine lacks something.
    """
    chosen = study.coarse() if quick else study
    info = chosen.described(engine, quick)
    cases = tuple({point.case.fingerprint: point.case for point in chosen.points()}.values())
    executor = ENGINES.get(engine)
    executor.require()
    weights = {}
    for base in {_setup(case): case for case in cases}.values():
        dataset = DATASETS.get(base.dataset)
        test = dataset.load("test", data)
        alike = [case for case in cases if _setup(case) == _setup(base)]
        for case in alike:  # before a network is trained for it
            if case.images > len(test):
                raise InputError(f"{case.description}: {case.images} images are asked for; {dataset.name} has {len(test)}.")
        trained = obtain(NETWORKS.get(base.network), dataset, root=data, progress=progress)
        weights[_setup(base)] = trained.card.sha256
        sample = dataset.normalise(test.images[:2])
        for case in alike:
            executor.plan(trained.model, case.conversion, case.nonidealities, sample)
    store = RecordStore(folder)
    missing = tuple(case for case in cases if store.get(case.fingerprint, engine, weights[_setup(case)]) is None)
    return Campaign(chosen, info, store, cases, missing, engine, workers or os.cpu_count() or 1, threads, declared_in, data)
