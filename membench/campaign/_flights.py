"""Points that are under way on Dask: given to workers, and what becomes of each."""

from __future__ import annotations

import asyncio
import itertools
import queue
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError

from membench.campaign._cluster import MEMORY, TRIES, lost
from membench.campaign._kit import setup_of
from membench.campaign._task import Begun, How, Outcome, measure
from membench.case import Case
from membench.errors import InputError
from membench.record import Record

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
        avoid: addresses of the workers that it failed on.
        only: addresses of the workers that may have it; none: all may.
        begun: the processes that began with it under its present key, and when (monotonic).
    """

    point: Case
    limit: float
    memory: float = 0.0
    failed: int = 0
    blamed: int = 0
    avoid: set[str] = field(default_factory=set)
    only: frozenset[str] = frozenset()
    begun: list[tuple[Begun, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Landed:
    """What came of a point: its record, how long which worker took; or why there is none, after how many tries."""

    point: Case
    record: Record | None = None
    seconds: float = 0.0
    worker: str = ""
    problem: str = ""
    tries: int = 1


class Flights:
    """Gives points to the workers of a Dask client. A point that fails is tried elsewhere, at most `TRIES` times in all.

    Dask itself gives a point to another worker when one dies. It blames all that were waiting on that worker, too; here only those
    that it had begun with are counted.

    Attributes:
        workers: those that there are, by address, and the bytes of memory that each offers; None where it does not say.
    """

    def __init__(self, client: Client, how: How) -> None:
        self._client, self._how = client, how
        self._flights: dict[str, Flight] = {}
        self._futures: dict[str, Future[Outcome]] = {}
        self._arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._name = secrets.token_hex(4)  # keys of two clients must differ: Dask would take them for one task
        self._short_of_memory: dict[str, float] = {}
        self._unfit: dict[str, set[str]] = {}  # workers that lack what cases of a setup need, as its data
        self.workers: Mapping[str, float | None] = {}
        assert client.loop is not None
        self._loop = client.loop
        client.subscribe_topic(how.topic, self._hear)
        client.subscribe_topic(_OUT_OF_MEMORY, self._hear_of_memory)

    def __len__(self) -> int:
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        return iter(tuple(self._flights.values()))

    def send(self, flight: Flight) -> None:
        """Give a point to a worker: not one that it failed on or that lacks what it needs, where there is another."""
        unfit = flight.avoid | self._unfit.get(setup_of(flight.point), set())
        flight.only = self._able(flight) - unfit if unfit else frozenset()
        key = f"point-{flight.point.fingerprint[:12]}-{self._name}-{next(self._numbers)}"
        flight.begun.clear()
        self._flights[key] = flight
        self._futures[key] = future = self._client.submit(
            measure,
            self._how,
            flight.point.model_dump_json(),
            flight.limit,
            key=key,
            pure=False,
            workers=list(flight.only) or None,
            resources={MEMORY: flight.memory} if flight.memory else None,
        )
        self._loop.add_callback(self._follow, key, future)

    def free(self) -> None:
        """Send points again whose chosen workers are all gone. They would wait for ever."""
        for key, flight in tuple(self._flights.items()):
            if flight.only and not flight.only & self.workers.keys():
                del self._flights[key]
                self._futures.pop(key).cancel()
                flight.failed = min(TRIES - 1, flight.failed + len(flight.begun))  # it gets one more
                self.send(flight)

    def landed(self, wait: float) -> Iterator[Landed]:
        """Points that are done or given up, as they come; those to be tried again are sent again.

        Args:
            wait: at most so many seconds for the first.

        Raises:
            EnvironmentProblemError: when the scheduler is gone.
        """
        try:
            arrived = self._arrived.get(timeout=wait)
            while True:
                if (landed := self._judged(*arrived)) is not None:
                    yield landed
                arrived = self._arrived.get_nowait()
        except queue.Empty:
            pass
        if self._client.status != "running":
            raise lost(self._client)

    async def _follow(self, key: str, future: Future[Outcome]) -> None:
        """Queue what comes of a point. (In the client's own thread.)

        `as_completed` would lose a point whose result cannot be fetched: its worker died just after, and so did the next.
        """
        try:
            outcome = await future._result(raiseit=False)
        except (Exception, asyncio.CancelledError) as error:
            outcome = error
        self._arrived.put((key, outcome))

    def _judged(self, key: str, outcome: Any) -> Landed | None:
        """By the outcome alone: the worker may have died since, and the future with it."""
        if (flight := self._flights.pop(key, None)) is None:
            return None  # it was sent again under another key
        self._futures.pop(key).release()
        if isinstance(outcome, dict):
            return self._answered(flight, outcome)
        error = outcome[1] if isinstance(outcome, tuple) else outcome
        if isinstance(error, KilledWorker):
            flight.blamed += not flight.begun  # it waited on workers that died of something else
            tries = TRIES if flight.blamed > BLAMED else len(flight.begun)
            return self._failed(flight, self._why_killed(flight, error), tries, "")
        if isinstance(error, FutureCancelledError | asyncio.CancelledError) and self._client.status != "running":
            raise lost(self._client)
        # Dask's own: the case or its result did not get through
        return self._failed(flight, f"{type(error).__name__}: {error}", 1, "")

    def _answered(self, flight: Flight, outcome: Mapping[str, Any]) -> Landed | None:
        worker = str(outcome.get("worker", ""))
        if "record" in outcome:
            try:
                record = self._checked(flight.point, outcome["record"])
            except InputError as error:
                return self._failed(flight, f"what came back is not its record: {error} (from {worker})", 1, worker)
            return Landed(flight.point, record, float(outcome.get("seconds", 0.0)), worker)
        problem = f"{outcome.get('problem')} (on {worker})"
        if not outcome.get("elsewhere", True):
            return Landed(flight.point, problem=str(outcome["problem"]), tries=flight.failed + 1)
        if outcome.get("unfit"):  # not the point's fault: no try of it, as long as another worker may do better
            unfit = self._unfit.setdefault(setup_of(flight.point), set())
            unfit.add(worker)
            if not self._able(flight) - unfit - flight.avoid:
                return Landed(flight.point, problem=problem, tries=flight.failed + 1)
            return self._failed(flight, problem, 0, worker)
        return self._failed(flight, problem, 1, worker)

    def _checked(self, point: Case, text: str) -> Record:
        """The record that a worker sent, if it is that of the point.

        Raises:
            InputError: says what it is instead.
        """
        record = Record.from_json(text, "the record")
        found = record.fingerprint, record.engine, record.costs.threads
        if found != (point.fingerprint, self._how.engine, self._how.threads):
            raise InputError(
                f"it is of the case {found[0][:12]} on engine {found[1]} with {found[2]} threads. Install the same membench on both"
            )
        return record

    def _able(self, flight: Flight) -> frozenset[str]:
        """The workers that have the memory for it."""
        return frozenset(worker for worker, offered in self.workers.items() if (offered or 0.0) >= flight.memory)

    def _failed(self, flight: Flight, problem: str, tries: int, worker: str) -> Landed | None:
        flight.failed += tries
        if flight.failed >= TRIES:
            return Landed(flight.point, problem=problem, tries=flight.failed)
        flight.avoid |= {worker} - {""}
        self.send(flight)
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
