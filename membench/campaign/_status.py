"""How far a store is, as anyone may see from its files: what is done, what failed, and who measures what at the moment."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from membench.campaign._claims import LEASE_S, died_here
from membench.campaign._points import reasons, said
from membench.campaign._store import PointError, Store
from membench.errors import FileFormatError, InputError
from membench.plain import Plain
from membench.record import find, save
from membench.study import StudyInfo

if TYPE_CHECKING:
    from membench.campaign._flights import Flight
    from membench.campaign._state import State

_RECENT = 200  # points from which a rate is taken


class InFlight(Plain):
    """A point that is being measured.

    Attributes:
        point: its description.
        worker: address of the Dask worker that began with it, or "" while it waits for one.
        host: machine of the worker.
        seconds: since it was begun.
    """

    point: str
    worker: str = ""
    host: str = ""
    seconds: float = 0.0


class ClientStatus(Plain):
    """What a client says of itself every few seconds: the file clients/<name>.json.

    Attributes:
        client: its name.
        host: its machine.
        process: its number there.
        dashboard: address of Dask's dashboard.
        workers: how many it has.
        measured: points that it has measured.
        rate: points a second, lately.
        seconds_left: that it would take alone for all that is missing, or None where that cannot be told yet.
        in_flight: what its workers are doing.
    """

    schema_version: Literal[1] = 1
    client: str
    host: str
    process: int
    dashboard: str
    workers: int
    measured: int
    rate: float
    seconds_left: float | None
    in_flight: tuple[InFlight, ...]


class StoreStatus(Plain):
    """How far a store is.

    Attributes:
        study: its name.
        cases: in all; cases_done: those that have a record.
        points: in all; points_done: those that are measured.
        failed: why there is no record of a point, of those that were given up and not measured since.
        clients: those that are alive.
        rate: points a second, of all clients.
        seconds_left: by what the clients say; None where no one measures, or it cannot be told yet.
    """

    study: str
    cases: int
    cases_done: int
    points: int
    points_done: int
    failed: dict[str, str]
    clients: tuple[ClientStatus, ...]
    rate: float
    seconds_left: float | None


class Journal:
    """Writes what a client says of itself.

    Args:
        file: where.
        dashboard: address of Dask's.
    """

    def __init__(self, file: Path, name: str, dashboard: str) -> None:
        self._file, self._name, self._dashboard = file, name, dashboard
        self._measured = 0
        self._recent: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)], maxlen=_RECENT)  # when, and work till then

    def measured(self, price: float) -> None:
        """A point was measured that was estimated to take `price` seconds."""
        self._measured += 1
        self._recent.append((time.monotonic(), self._recent[-1][1] + price))

    def write(self, state: State, flights: Iterable[Flight]) -> None:
        now = time.monotonic()
        (since, before), (_, work) = self._recent[0], self._recent[-1]
        elapsed = max(now - since, 1e-9)
        status = ClientStatus(
            client=self._name,
            host=socket.gethostname(),
            process=os.getpid(),
            dashboard=self._dashboard,
            workers=state.workers,
            measured=self._measured,
            rate=(len(self._recent) - 1) / elapsed,
            seconds_left=(state.whole - state.work) * elapsed / (work - before) if work > before else None,
            in_flight=tuple(_in_flight(flight, now) for flight in flights),
        )
        save(status, self._file)


def _in_flight(flight: Flight, now: float) -> InFlight:
    if not flight.begun:
        return InFlight(point=said(flight.point))
    event, since = flight.begun[-1]
    return InFlight(point=said(flight.point), worker=event["worker"], host=event["host"], seconds=round(now - since, 1))


def status_of(folder: Path) -> StoreStatus:
    """How far the store in `folder` is.

    Raises:
        InputError: when no study or sweep was ever run there.
    """
    store = Store(folder)
    info, plan = find(StudyInfo, folder / StudyInfo.FILE), store.plan()
    if info is None or plan is None:
        raise InputError(f"{folder} holds no study: no {StudyInfo.FILE} with a plan beside it. Name the folder given to --out.")
    done = {case for case in plan if store.record_file(case).exists()}
    measured = {point for case in done for point in plan[case]}
    open_points = {point for case in plan if case not in done for point in plan[case]} - measured
    measured |= {point for point in open_points if store.point_file(point).exists()}
    clients = tuple(_alive(folder / "clients"))
    rates = [1 / client.seconds_left for client in clients if client.seconds_left]
    return StoreStatus(
        study=info.name,
        cases=len(plan),
        cases_done=len(done),
        points=len({point for points in plan.values() for point in points}),
        points_done=len(measured),
        failed=reasons((error.case, error.reason) for error in _errors(store, set(plan) - done | open_points - measured)),
        clients=clients,
        rate=sum(client.rate for client in clients),
        seconds_left=1 / sum(rates) if rates else None,
    )


def _errors(store: Store, fingerprints: Iterable[str]) -> Iterable[PointError]:
    return [error for fingerprint in sorted(fingerprints) if (error := store.error(fingerprint)) is not None]


def _alive(folder: Path) -> Iterable[ClientStatus]:
    for file in sorted(folder.glob("*.json")):
        try:
            if time.time() - file.stat().st_mtime < LEASE_S and not died_here(file.with_suffix(".lease")):
                status = find(ClientStatus, file)
                if status is not None:
                    yield status
        except (OSError, FileFormatError):  # it ended just now
            continue
