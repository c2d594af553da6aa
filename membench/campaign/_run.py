"""The loop of a client: it claims points that have no record, has them measured, and writes what comes back."""

from __future__ import annotations

import datetime
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client, Future
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError

from membench.campaign._claims import Claims
from membench.campaign._cluster import MEMORY, Workers, lost
from membench.campaign._flights import Flight, Flights, Landed
from membench.campaign._kit import Kit, KitPlugin, setup_of
from membench.campaign._points import joined, points_of, reasons
from membench.campaign._prices import Price, Prices
from membench.campaign._state import State
from membench.campaign._status import Journal
from membench.campaign._store import PointError, Store
from membench.campaign._task import START_LIMIT_S, How, probe
from membench.case import Case
from membench.errors import EnvironmentProblemError, MembenchError
from membench.record import Record
from membench.study import StudyInfo
from membench.words import printable_lines

AHEAD = 2  # points given to each worker: one that it measures, and the next, so that it need not wait for the client
_ALONE_S = 180.0  # after which workers of this machine that are gone do not come back: to start one takes seconds
_LOOK_S = 1.0  # between two looks at what other clients have done, and at how many workers there are


@dataclass
class Campaign:
    """Cases that are ready to be measured.

    Attributes:
        info: the study as plain data.
        store: where records are kept.
        cases: every case once, in order.
        missing: those that have no record yet.
        engine: that executes them.
        workers: which workers measure.
        kit: what they need.
        bases: of each network and data set, the case that tells what points cost.
        memory: bytes that a process is estimated to need for a point of each case, by the case's fingerprint.
        limit: seconds that a point may take; None: what follows from its estimate.
        data: where data sets are looked for.
    """

    info: StudyInfo
    store: Store
    cases: tuple[Case, ...]
    missing: tuple[Case, ...]
    engine: str
    workers: Workers
    kit: Kit
    bases: Mapping[str, Case]
    memory: Mapping[str, int]
    limit: float | None = None
    data: Path | None = None

    def estimate(self) -> tuple[float, int]:
        """Seconds that one worker would take for what is missing, from a few images of each base; and how many workers there are.

        Where nothing is missing, no cluster is started for it.
        """
        if not self.missing:
            return 0.0, 0
        with self._opened() as client:
            prices = self._prices(client, self._how(), lambda: None)
            missing = {point.fingerprint: point for case in self.missing for point in points_of(case)}
            todo = [point for point in missing.values() if self.point(point) is None]
            return sum(map(prices.of, todo)), len(client.nthreads())

    def run(self, tell: Callable[[State], None], opened: Callable[[str], None] | None = None) -> State:
        """Measure what is missing. Interrupted, or killed, it loses the points in flight and nothing else.

        Several clients may run in one store: they share the points that are missing. Where none is, no cluster is started.

        Args:
            tell: called once it is known what all will cost, and after each point.
            opened: called with the address of Dask's dashboard.

        Raises:
            EnvironmentProblemError: when the scheduler or all workers of this machine are gone, or the store cannot be written.
        """
        points = {case.fingerprint: tuple(point.fingerprint for point in points_of(case)) for case in self.cases}
        self.store.declare(self.info, points)
        if not self.missing:
            count = len({point for each in points.values() for point in each})
            state = State(len(self.cases), len(self.cases), count, count, 1.0, 1.0, {}, 0)
            tell(state)
            return state
        with self._opened() as client, Claims(self.store.folder) as claims:
            dashboard = client.dashboard_link or "none"
            if opened:
                opened(dashboard)
            how = self._how()
            prices = self._prices(client, how, claims.renew)
            journal = Journal(claims.status_file, claims.name, dashboard)
            return _Loop(self, client, claims, Flights(client, how), prices, journal, tell).run()

    def point(self, point: Case) -> Record | None:
        """The record of a point, if it is there."""
        return self.store.point(point.fingerprint, self.engine, self.kit.hashes[setup_of(point)], self.workers.threads)

    @contextmanager
    def _opened(self) -> Iterator[Client]:
        memory = max((self.memory[case.fingerprint] for case in self.missing), default=0)
        with self.workers.opened(memory) as client:
            try:
                yield client
            except (CommClosedError, ClosedClientError) as error:
                raise lost(client) from error
            except OSError as error:
                raise EnvironmentProblemError(
                    f"{self.store.folder} could not be read or written: {error}. Points that are measured are kept; mend it, and the same "
                    "command goes on."
                ) from error

    def _how(self) -> How:
        data = None if self.data is None else str(self.data)
        return How(self.engine, self.workers.threads, data, self.kit.digest, f"membench-{secrets.token_hex(4)}")

    def _prices(self, client: Client, how: How, alive: Callable[[], object]) -> Prices:
        """Also hands the kit to all workers.

        Args:
            alive: called now and then while workers are waited for.
        """
        try:
            client.register_plugin(KitPlugin(self.kit))
        except Exception:  # one worker has no membench, or another one: its points tell
            if client.status != "running":
                raise lost(client) from None
        wanted = {setup_of(case) for case in self.missing}
        futures = {
            setup: client.submit(probe, how, base.model_dump_json(), pure=False)
            for setup, base in self.bases.items()
            if setup in wanted
        }
        end = time.monotonic() + START_LIMIT_S
        known = {setup: price for setup, future in futures.items() if (price := _price(future, end, alive)) is not None}
        return Prices(known, self.limit)


def _price(future: Future[dict[str, float]], end: float, alive: Callable[[], object]) -> Price | None:
    """What a probe found; None where it failed or had no end. What is wrong is told with the points, which meet it too."""
    while time.monotonic() < end:
        alive()
        try:
            return Price(**future.result(timeout=1.0))
        except TimeoutError:
            continue
        except Exception:
            return None
    future.cancel()
    return None


@dataclass
class _Loop:
    campaign: Campaign
    client: Client
    claims: Claims
    flights: Flights
    prices: Prices
    journal: Journal
    tell: Callable[[State], None]
    todo: deque[Case] = field(default_factory=deque)
    others: list[Case] = field(default_factory=list)  # points that other clients had claimed when they were looked at
    failures: dict[str, tuple[Case, str]] = field(default_factory=dict)  # by fingerprint: what could not be measured, and why
    found: dict[str, Record] = field(default_factory=dict)  # points whose case is not joined yet, by fingerprint
    busy: dict[str, float] = field(default_factory=dict)
    attended: float = field(default_factory=time.monotonic)  # when there was a worker last

    def __post_init__(self) -> None:
        campaign = self.campaign
        self.cases_of: dict[str, list[Case]] = {}
        self.open: dict[str, set[str]] = {}  # of each case without a record, the points that it lacks
        points: dict[str, Case] = {}
        for case in campaign.cases:
            for point in points_of(case):
                points[point.fingerprint] = point
        self.points = len(points)
        self.whole = sum(map(self.prices.of, points.values()))
        for case in campaign.missing:
            self.open[case.fingerprint] = {point.fingerprint for point in points_of(case)}
            for point in points_of(case):
                self.cases_of.setdefault(point.fingerprint, []).append(case)
        missing = {key: points[key] for key in self.cases_of}
        self.todo.extend(sorted(missing.values(), key=_ground))
        self.work = self.whole - sum(map(self.prices.of, missing.values()))
        self.points_done = self.points - len(missing)
        self.cases_done = len(campaign.cases) - len(campaign.missing)
        self._count()

    def run(self) -> State:
        lacking = []
        for point in self.todo:
            if (record := self.campaign.point(point)) is None:
                lacking.append(point)
            else:
                self._done(point, record)
            self._look_if_due()
        self.todo = deque(lacking)
        self.journal.write(self.state(), self.flights)
        self.tell(self.state())
        while True:
            self._give()
            if not (self.todo or self.others or len(self.flights)):
                return self.state()
            for landed in self.flights.landed(wait=0.5):
                self._write(landed)
                self._give()
                self.tell(self.state())
                self._look_if_due()
            self._look_if_due()

    def state(self) -> State:
        return State(
            self.cases_done,
            len(self.campaign.cases),
            self.points_done,
            self.points,
            self.work,
            self.whole,
            reasons(self.failures.values()),
            self.workers,
            dict(self.busy),
        )

    def _look_if_due(self) -> None:
        """See what other clients have done, and how many workers there are; say that this one is alive."""
        if time.monotonic() - self.looked <= _LOOK_S:
            return
        if self.claims.renew():
            self.journal.write(self.state(), self.flights)
        self._count()
        if not self.todo and self.others:
            before = self.state()
            self.todo.extend(self.others)
            self.others.clear()
            self._give()
            if self.state() != before:
                self.tell(self.state())

    def _count(self) -> None:
        """See which workers there are, and how much memory each offers."""
        self.looked = time.monotonic()
        known = set(self.client.nthreads())
        if known != self.flights.workers.keys():
            info = self.client.scheduler_info(n_workers=-1)["workers"]
            self.flights.workers = {address: worker["resources"].get(MEMORY) for address, worker in info.items()}
        if known:
            self.attended = time.monotonic()
        elif self.campaign.workers.local and time.monotonic() - self.attended > _ALONE_S:
            raise EnvironmentProblemError(
                f"All workers of this machine are gone since {_ALONE_S:.0f} s, and Dask started none again. Points that are measured "
                "are kept; the same command goes on."
            )
        self.flights.free()

    @property
    def workers(self) -> int:
        return len(self.flights.workers)

    def _give(self) -> None:
        """Claim points and give them to workers, as many as keep these busy."""
        while self.todo and len(self.flights) < max(1, AHEAD * self.workers):
            point = self.todo.popleft()
            if self._settled_by_another(point):
                continue
            if not self.claims.take(point.fingerprint):
                self.others.append(point)
            elif self._settled_by_another(point):  # in the moment between
                self.claims.release(point.fingerprint)
            else:
                self._send(point)

    def _send(self, point: Case) -> None:
        needed = max(self.campaign.memory[case.fingerprint] for case in self.cases_of[point.fingerprint])
        offered = max((memory for memory in self.flights.workers.values() if memory), default=None)
        if offered is not None and needed > offered:
            reason = (
                f"it needs an estimated {needed / 2**30:.1f} GiB of memory; the largest worker offers {offered / 2**30:.1f} GiB. Give "
                "it more (--memory, or the scheduler's workers), or measure in smaller batches."
            )
            self._write(Landed(point, problem=reason, tries=0))
            self.tell(self.state())
        else:
            self.flights.send(Flight(point, self.prices.limit_of(point), needed if offered else 0))

    def _settled_by_another(self, point: Case) -> bool:
        """Whether another client has measured the point, or has given it up since this one began."""
        store = self.campaign.store
        if store.point_file(point.fingerprint).exists() and (record := self.campaign.point(point)) is not None:
            self._done(point, record)
            return True
        try:
            written = store.error_file(point.fingerprint).stat().st_mtime
        except FileNotFoundError:
            return False
        error = store.error(point.fingerprint) if written >= self.claims.began else None
        if error is None or not error.tries:  # for want of memory: these workers may have it
            return False
        self.failures[point.fingerprint] = point, error.reason
        return True

    def _write(self, landed: Landed) -> None:
        point = landed.point
        if landed.record is None:
            self._failed(point, landed.problem, landed.tries)
        else:
            self.campaign.store.put_point(point.fingerprint, landed.record.model_dump_json())
            self.journal.measured(self.prices.of(point))
            self.busy[landed.worker] = self.busy.get(landed.worker, 0.0) + landed.seconds
            self._done(point, landed.record)
        self.claims.release(point.fingerprint)

    def _done(self, point: Case, record: Record) -> None:
        """Count a point that has a record, and join each case that now has all of its points."""
        self.points_done += 1
        self.work += self.prices.of(point)
        self.found[point.fingerprint] = record
        for case in self.cases_of[point.fingerprint]:
            lacking = self.open[case.fingerprint]
            lacking.discard(point.fingerprint)
            if not lacking:
                self._join(case)

    def _join(self, case: Case) -> None:
        try:
            record = joined(case, [self.found[point.fingerprint] for point in points_of(case)])
        except MembenchError as error:
            self._failed(case, str(error), 1)
        else:
            self.campaign.store.put_record(record)
            self.cases_done += 1
        for point in points_of(case):
            if not any(self.open[other.fingerprint] for other in self.cases_of[point.fingerprint]):
                self.found.pop(point.fingerprint, None)

    def _failed(self, case: Case, reason: str, tries: int) -> None:
        """Keep why there is no record of a point, or of a case."""
        reason = printable_lines(reason)
        self.failures[case.fingerprint] = case, reason
        self.campaign.store.put_error(self._error(case, reason, tries))

    def _error(self, case: Case, reason: str, tries: int) -> PointError:
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return PointError(
            fingerprint=case.fingerprint, case=case, engine=self.campaign.engine, reason=reason, tries=tries, created=created
        )


def _ground(point: Case) -> tuple[str, str, str, int, int, int]:
    """Points of one ground follow one another: a worker keeps the last two."""
    return point.dataset, point.network, point.weights or "", point.images, point.subset_seed, point.batch_size
