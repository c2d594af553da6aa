"""Where points are measured: processes of this machine, or any Dask scheduler."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, WorkerPlugin
from distributed.system import MEMORY_LIMIT

from membench.declared import import_file
from membench.errors import EnvironmentProblemError, InputError, SuiteError
from membench.words import brief

TRIES = 3  # a point is tried so often before it is an error
MEMORY = "memory"  # the Dask resource, in bytes, by which points are packed
CONNECT_S = 20.0  # how long a scheduler may take to answer at first
_USABLE = 0.9  # of a worker's memory: at 0.95, its nanny ends it


@dataclass(frozen=True)
class Workers:
    """Which workers measure.

    Attributes:
        scheduler: address of a Dask scheduler; None: a cluster on this machine, or that of `cluster`.
        cluster: Python file that declares CLUSTER, a function that starts a Dask cluster (dask-jobqueue, dask-kubernetes).
        count: worker processes of the cluster on this machine; None: as many as processors, over `threads`.
        threads: torch threads of each.
        memory: bytes of this machine that its workers may use together; None: all that there are.
    """

    scheduler: str | None = None
    cluster: Path | None = None
    count: int | None = None
    threads: int = 1
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.cluster is not None:
            raise InputError(
                "--scheduler and --cluster exclude each other: give the address of a scheduler, or a file that starts one."
            )
        if self.count is not None and (self.scheduler or self.cluster):
            raise InputError(
                "--workers counts the processes of this machine; how many a scheduler has is its own affair. Leave it out."
            )

    @property
    def local(self) -> bool:
        return self.scheduler is None and self.cluster is None

    def here(self, memory: float) -> int:
        """How many workers this machine takes, where each may need `memory` bytes."""
        wanted = self.count or max(1, (os.cpu_count() or 1) // self.threads)
        return max(1, min(wanted, int(_USABLE * (self.memory or MEMORY_LIMIT) / memory) if memory else wanted))

    @contextmanager
    def opened(self, memory: float = 0.0) -> Iterator[Client]:
        """A client of these workers. What was started for it ends with it.

        Args:
            memory: bytes that the largest point is estimated to need.

        Raises:
            EnvironmentProblemError: when the scheduler cannot be reached, or the cluster not be started.
            SuiteError: when the file of the cluster cannot be used.
        """
        with _quiet(self.local), _cluster(self, memory) as cluster:
            try:
                client = Client(cluster, timeout=CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                raise EnvironmentProblemError(
                    f"There is no Dask scheduler at {self.scheduler}: {error}. Start one (dask scheduler), or leave --scheduler out."
                ) from error
            try:
                yield client
            finally:
                client.close(timeout=5)


def lost(client: Client) -> EnvironmentProblemError:
    """The error of a client whose scheduler does not answer any more."""
    return EnvironmentProblemError(
        f"The Dask scheduler at {client.scheduler.address if client.scheduler else 'its address'} is gone, or the connection to it. What "
        "was measured is kept; start it again if it ended, and the same command goes on."
    )


@contextmanager
def _cluster(workers: Workers, memory: float) -> Iterator[Any]:
    if workers.scheduler is not None:
        yield workers.scheduler
        return
    with _local(workers, memory) if workers.cluster is None else _declared(workers.cluster) as cluster:
        yield cluster


class DeafToInterrupts(WorkerPlugin):
    """Ctrl-C in a terminal reaches every process there; only the client is to answer it, and ends the others."""

    name = "membench-deaf"

    def setup(self, worker: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _local(workers: Workers, memory: float) -> LocalCluster:
    count = workers.here(memory)
    share = int((workers.memory or MEMORY_LIMIT) / count)
    try:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=share,
            resources={MEMORY: int(_USABLE * share)},
            dashboard_address="127.0.0.1:8787",
            silence_logs=logging.CRITICAL,
            plugins=(DeafToInterrupts(),),
        )
    except (OSError, RuntimeError) as error:
        raise EnvironmentProblemError(
            f"Dask could not start workers on this machine: {brief(error)}. It talks to them over 127.0.0.1: bring the loopback "
            "interface up (ip link set lo up), or name a scheduler elsewhere with --scheduler."
        ) from error


def _declared(file: Path) -> Any:
    start = getattr(import_file(file), "CLUSTER", None)
    if not callable(start):
        raise SuiteError(f"{file} must declare CLUSTER, a function without arguments that gives a Dask cluster.")
    try:
        return start()
    except Exception as error:
        raise EnvironmentProblemError(
            f"{file}: CLUSTER could not start its cluster: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _quiet(local: bool) -> Iterator[None]:
    """Dask tells of each worker that comes or goes; what matters of it is told in the records of errors."""
    settings: dict[str, object] = {
        "distributed.scheduler.allowed-failures": TRIES - 1,
        "distributed.comm.timeouts.connect": "30s",
        "distributed.admin.system-monitor.gil.enabled": False,
    }
    if local:
        # A nanny starts its worker anew, however often it dies. The cluster would close the nanny 15 s after a death where the
        # worker is not there just then, because it has died again or is slow to start; after that, nobody would bring it back.
        settings["distributed.deploy.lost-worker-timeout"] = "7 days"
        # Points are packed by memory, and a nanny ends a worker at 95 %. A worker that pauses at 80 % would keep the point that waits for
        # it, and one that spills at 70 % would write what it measured to disk, and run what it reads back.
        for threshold in ("target", "spill", "pause"):
            settings[f"distributed.worker.memory.{threshold}"] = False
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "bokeh", "asyncio")]
    levels = [logger.level for logger in loggers]
    with dask.config.set(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="distributed")
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
