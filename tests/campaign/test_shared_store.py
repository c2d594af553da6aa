"""Two clients on one store share its points, and anyone may look at how far it is."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import trouble
from conftest import make_case

from membench import Case, Knob, Study, Sweep, run_case
from membench.campaign import State, Store, StoreStatus, Workers, prepare, status_of
from membench.campaign._claims import Claims
from membench.campaign._points import points_of, reasons
from membench.campaign._run import _Loop
from membench.campaign._status import ClientStatus
from membench.campaign._store import PointError
from membench.errors import InputError
from membench.record import Record, load, save

POINTS = 24


def study(ledger: Path) -> Study:
    def turn(case: Case, number: int) -> Case:
        harm = trouble.Trouble(what="sleep", times=0.1, ledger=str(ledger), name=f"point{number:03}")
        return case.replace(nonidealities=(harm,), seeds=(2 * number, 2 * number + 1))

    knob = Knob(name="number", label="number", values=tuple(range(POINTS // 2)))
    return Study("shared", "Shared", "For tests.", {"A": make_case()}, (Sweep("shared", "Shared", (knob,), turn),))


def ready(tmp_path: Path, workers: Workers) -> Any:
    (tmp_path / "ledger").mkdir(exist_ok=True)
    return prepare(study(tmp_path / "ledger"), tmp_path / "store", workers=workers, declared_in=Path(trouble.__file__))


def test_two_clients_share_the_points_and_measure_each_once(tmp_path: Path, workers: Workers) -> None:
    clients = [ready(tmp_path, workers) for _ in range(2)]
    ends: list[State] = []
    seen: list[StoreStatus] = []

    def look(state: State) -> None:
        seen.append(status_of(tmp_path / "store"))

    threads = [threading.Thread(target=lambda c=client: ends.append(c.run(look))) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=400)
    assert [(end.done, end.points_done, dict(end.failures)) for end in ends] == [(POINTS // 2, POINTS, {})] * 2
    assert {trouble.tries(str(tmp_path / "ledger"), f"point{number:03}") for number in range(POINTS // 2)} == {2}
    store = Store(tmp_path / "store")
    for point in study(tmp_path / "ledger").points():
        record = load(Record, store.record_file(point.case.fingerprint))
        assert record.measured == run_case(point.case).measured
    both = [status for status in seen if len(status.clients) == 2]
    assert both, "the two never ran at once"
    done = status_of(tmp_path / "store")
    assert (done.cases_done, done.points_done, done.points, done.clients, done.failed) == (POINTS // 2, POINTS, POINTS, (), {})


def test_a_point_that_another_client_finished_just_before_it_was_claimed_is_not_measured_again(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for its file and the claim, the other one wrote it and gave its claim up."""
    client = ready(tmp_path, workers)
    client.run(lambda state: None)
    other = Store(tmp_path / "store")
    take, took = Claims.take, []

    def late(claims: Claims, fingerprint: str) -> bool:
        here = Store(tmp_path / "late")
        assert not here.point_file(fingerprint).exists()
        here.put_point(fingerprint, other.point_file(fingerprint).read_text())
        took.append(fingerprint)
        return take(claims, fingerprint)

    monkeypatch.setattr(Claims, "take", late)
    second = prepare(study(tmp_path / "ledger"), tmp_path / "late", workers=workers, declared_in=Path(trouble.__file__))
    end = second.run(lambda state: None)
    assert (end.done, end.points_done, dict(end.failures)) == (POINTS // 2, POINTS, {})
    assert len(took) == POINTS
    assert {trouble.tries(str(tmp_path / "ledger"), f"point{number:03}") for number in range(POINTS // 2)} == {2}
    assert list((tmp_path / "late/claims").glob("[0-9a-f]*")) == []


def test_what_another_client_had_no_worker_large_enough_for_is_tried_here(tmp_path: Path, workers: Workers) -> None:
    """It says so at once, of one point after the other, while this one is at the first."""
    client = ready(tmp_path, workers)
    store = Store(tmp_path / "store")
    points = [point for case in study(tmp_path / "ledger").points() for point in points_of(case.case)]

    def told(state: State) -> None:
        for point in points:
            if not store.point_file(point.fingerprint).exists():
                said = {"reason": "small", "tries": 0, "created": "2026-11-25T12:00:00+00:00"}
                store.put_error(PointError(fingerprint=point.fingerprint, case=point, engine="vectorized", **said))

    end = client.run(told)
    assert (end.done, dict(end.failures)) == (POINTS // 2, {})


def test_points_are_kept_in_memory_until_their_case_is_joined_and_no_longer(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[_Loop] = []
    begin = _Loop.__post_init__
    monkeypatch.setattr(_Loop, "__post_init__", lambda loop: (loops.append(loop), begin(loop)))
    most = [0]
    ready(tmp_path, workers).run(lambda state: most.append(len(loops[0].found)))
    assert loops[0].found == {}
    assert max(most) < POINTS / 2


def test_a_study_of_which_nothing_is_missing_needs_no_workers(tmp_path: Path, workers: Workers) -> None:
    ready(tmp_path, workers).run(lambda state: None)
    nowhere = ready(tmp_path, Workers(scheduler="tcp://127.0.0.1:1"))
    told: list[State] = []
    end = nowhere.run(told.append)
    assert told == [end]
    assert (end.done, end.total, end.points_done, end.points) == (POINTS // 2, POINTS // 2, POINTS, POINTS)
    assert nowhere.estimate() == (0.0, 0)


def test_a_client_that_was_killed_here_is_not_shown_as_alive(tmp_path: Path, workers: Workers) -> None:
    ready(tmp_path, workers).run(lambda state: None)
    clients = tmp_path / "store/clients"
    alive = {"client": "x", "host": "h", "process": os.getpid(), "dashboard": "", "workers": 2, "measured": 3, "rate": 1.0}

    def write(name: str) -> None:
        save(ClientStatus(**alive, seconds_left=1.0, in_flight=()), clients / f"{name}.json")

    with Claims(tmp_path / "store") as claims:
        write(claims.name)
        assert len(status_of(tmp_path / "store").clients) == 1
    if (child := os.fork()) == 0:
        dying = Claims(tmp_path / "store")
        dying.__enter__()
        write(dying.name)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(list(clients.glob("*.json"))) == 1
    assert status_of(tmp_path / "store").clients == ()


def test_two_failures_of_the_same_words_are_told_apart() -> None:
    one, other = make_case(), make_case(images=40)
    found = reasons([(one, "a"), (other, "b"), (make_case(seeds=(1,)), "c")])
    assert found == {
        "small, seed 0": "a", f"small, seed 0 ({other.fingerprint[:8]})": "b", "small, seed 1": "c"
    }  # fmt: skip


def test_the_status_says_what_is_done_failed_and_in_flight(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from membench.campaign import _claims

    monkeypatch.setattr(_claims, "RENEW_S", 0.0)
    monkeypatch.setattr("membench.campaign._run._LOOK_S", 0.0)
    seen: list[StoreStatus] = []
    ready(tmp_path, workers).run(lambda state: seen.append(status_of(tmp_path / "store")))
    assert seen[0].points_done == 0
    assert [status.points_done for status in seen] == sorted(status.points_done for status in seen)
    middle = [status for status in seen if status.clients and status.clients[0].rate > 0 and status.clients[0].in_flight]
    assert middle, "the status never told of points in flight"
    (client,) = middle[-1].clients
    assert client.workers == 2
    assert client.dashboard.startswith("http://")
    assert middle[-1].seconds_left is not None
    assert {one.worker.split(":")[0] for status in middle for one in status.clients[0].in_flight} <= {"tcp", ""}
    assert any(
        one.worker and one.host and one.point.startswith("small, shared: number=")
        for s in middle
        for one in s.clients[0].in_flight
    )


def test_a_folder_without_a_study_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        status_of(tmp_path)
