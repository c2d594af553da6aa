"""Points that are under way on Dask: given to workers, and what becomes of each."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from membench.campaign._cluster import MEMORY, TRIES
from membench.campaign._task import Begun, How, Outcome, measure
from membench.case import Case
from membench.errors import EnvironmentProblemError

BLAMED = 10  # a point that Dask gave up more often than this, though no worker said that it began with it, is an error, too
_OUT_OF_MEMORY = "worker-restart-memory"  # the topic of the events by which a nanny tells that it ended its worker for it


@dataclass
class Flight:
    """A point that was given away.

    Attributes:
        point: the case with one seed.
        limit: seconds that it may take.
        memory: bytes that it is estimated to need; 0 where workers do not say how many they have.
        failed: tries that came to nothing.
        blamed: how often Dask gave it up though no worker had begun with it.
        only: addresses of the workers that may have it at first; none: all may.
        begun: the processes that began with it under its present key, and when (monotonic).
    """

    point: Case
    limit: float
    memory: float = 0.0
    failed: int = 0
    blamed: int = 0
    only: frozenset[str] = frozenset()
    begun: list[tuple[Begun, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Landed:
    """What came of a point: its record as JSON, and how long which worker took; or why there is none, after how many tries."""

    point: Case
    record: str = ""
    seconds: float = 0.0
    worker: str = ""
    problem: str = ""
    tries: int = 1


class Flights:
    """Gives points to the workers of a Dask client. A point that fails is tried elsewhere, at most `TRIES` times in all.

    Dask itself gives a point to another worker when one dies. It blames all that were waiting on that worker, too; here only those
    that it had begun with are counted.
    """

    def __init__(self, client: Client, how: How) -> None:
        self._client, self._how = client, how
        self._flights: dict[str, Flight] = {}
        self._futures: dict[str, Future[Outcome]] = {}
        self._completed = as_completed(loop=client.loop, with_results=True, raise_errors=False)
        self._numbers = itertools.count()
        self._name = secrets.token_hex(4)  # keys of two clients must differ: Dask would take them for one task
        self._short_of_memory: dict[str, float] = {}
        client.subscribe_topic(how.topic, self._hear)
        client.subscribe_topic(_OUT_OF_MEMORY, self._hear_of_memory)

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        return iter(tuple(self._flights.values()))

    def send(self, flight: Flight, avoid: str = "") -> None:
        """Give a point to a worker.

        Args:
            avoid: address of a worker that should not get it, if there is another.
        """
        flight.only = frozenset(self._client.nthreads()) - {avoid} if avoid else frozenset()
        self._submit(flight)

    def free(self, alive: Set[str]) -> None:
        """Send points again whose chosen workers are all gone.

        Dask (2026.8) would let them wait for ever: where a task asks for memory, too, it does not look at workers that came later.
        """
        for key, flight in tuple(self._flights.items()):
            if flight.only and not flight.only & alive:
                del self._flights[key]
                self._futures.pop(key).cancel()
                flight.failed = min(TRIES - 1, flight.failed + len(flight.begun))  # it gets one more
                flight.only = frozenset()
                self._submit(flight)

    def _submit(self, flight: Flight) -> None:
        key = f"point-{flight.point.fingerprint[:12]}-{self._name}-{next(self._numbers)}"
        flight.begun.clear()
        self._flights[key] = flight
        self._futures[key] = self._client.submit(
            measure,
            self._how,
            flight.point.model_dump_json(),
            flight.limit,
            key=key,
            pure=False,
            workers=list(flight.only) or None,
            allow_other_workers=bool(flight.only),
            resources={MEMORY: flight.memory} if flight.memory else None,
        )
        self._completed.add(self._futures[key])

    def landed(self, wait: float) -> Iterator[Landed]:
        """Points that are done or given up, as they come; those to be tried again are sent again.

        Args:
            wait: at most so many seconds for the first.

        Raises:
            EnvironmentProblemError: when the scheduler is gone.
        """
        with self._completed.thread_condition:
            if not self._completed.has_ready():
                self._completed.thread_condition.wait(wait)
        for future, outcome in self._completed.next_batch(block=False):
            if (landed := self._judged(future, outcome)) is not None:
                yield landed
        if self._client.status != "running":
            raise _lost(self._client)

    def _judged(self, future: Future[Outcome], outcome: Any) -> Landed | None:
        key, status = str(future.key), future.status
        if (flight := self._flights.pop(key, None)) is None:
            return None  # it was sent again under another key
        self._futures.pop(key).release()
        if status == "finished":
            return self._answered(flight, outcome)
        if status != "error":
            raise _lost(self._client)
        _, error, _ = outcome
        if not isinstance(error, KilledWorker):  # Dask's own: the case or its result did not get through
            return self._failed(flight, f"{type(error).__name__}: {error}", 1, "")
        flight.blamed += not flight.begun  # it waited on workers that died of something else
        tries = TRIES if flight.blamed > BLAMED else len(flight.begun)
        return self._failed(flight, self._why_killed(flight, error), tries, "")

    def _answered(self, flight: Flight, outcome: Outcome) -> Landed | None:
        if "record" in outcome:
            return Landed(flight.point, record=outcome["record"], seconds=outcome["seconds"], worker=outcome["worker"])
        if outcome["elsewhere"]:
            return self._failed(flight, f"{outcome['problem']} (on {outcome['worker']})", 1, outcome["worker"])
        return Landed(flight.point, problem=outcome["problem"], tries=flight.failed + 1)

    def _failed(self, flight: Flight, problem: str, tries: int, worker: str) -> Landed | None:
        flight.failed += tries
        if flight.failed >= TRIES:
            return Landed(flight.point, problem=problem, tries=flight.failed)
        self.send(flight, avoid=worker)
        return None

    def _why_killed(self, flight: Flight, error: KilledWorker) -> str:
        worker = error.last_worker.address
        reached = next(
            (self._short_of_memory[b["worker"]] for b, _ in flight.begun if b["worker"] in self._short_of_memory), None
        )
        if reached is not None:
            return f"out of memory: its process reached {reached / 2**30:.1f} GiB and was ended (on {worker})"
        if flight.begun:
            last, since = flight.begun[-1]
            stacks = Path(last["stacks"])  # on this machine one can see whether the watch wrote there
            if time.monotonic() - since >= 0.9 * flight.limit and (not stacks.exists() or stacks.stat().st_size):
                return (
                    f"it hung: it took longer than its limit of {flight.limit:.0f} s. Where it was: {stacks} on {last['host']}"
                )
        return f"the process that measured it ended unexpectedly: killed, out of memory, or a crash (on {worker})"

    def _hear(self, event: tuple[float, Begun]) -> None:
        """A worker began with a point. (Called by the client's own thread.)"""
        _, begun = event
        if (flight := self._flights.get(begun["key"])) is not None:
            flight.begun.append((begun, time.monotonic()))

    def _hear_of_memory(self, event: tuple[float, dict[str, Any]]) -> None:
        _, told = event
        self._short_of_memory[told["worker"]] = float(told["rss"])


def _lost(client: Client) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        f"The Dask scheduler at {client.scheduler.address if client.scheduler else 'its address'} is gone. What was measured is kept; "
        "start it again, and the same command goes on."
    )
