"""Workers that die, hang, run out of memory or meet a bug cost a point a try elsewhere; then there is an error, and the rest goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trouble
from conftest import make_case, needs_loopback
from distributed import Client
from distributed.comm.core import CommClosedError

from membench import Case, Knob, Study, Sweep, run_case
from membench.campaign import State, Store, Workers, _cluster, prepare
from membench.errors import EnvironmentProblemError
from membench.record import Record, load

TROUBLES = {  # what a point does, how often
    "kill": ("kill", 99),
    "kill-twice": ("kill", 2),
    "raise": ("raise", 99),
    "raise-once": ("raise", 1),
    "hang": ("hang", 99),
    "hog": ("hog", 99),
    "none-1": ("raise", 0),
    "none-2": ("raise", 0),
    "none-3": ("raise", 0),
}


def study(ledger: Path, *names: str) -> Study:
    def turn(case: Case, name: str) -> Case:
        what, times = TROUBLES[name]
        harm = trouble.Trouble(what=what, times=times, ledger=str(ledger), name=name)
        return case.replace(nonidealities=(harm,))

    knob = Knob(name="name", label="what goes wrong", values=names)
    return Study("trouble", "Trouble", "For tests.", {"A": make_case()}, (Sweep("trouble", "Trouble", (knob,), turn),))


@needs_loopback
@pytest.mark.slow
def test_each_trouble_costs_tries_elsewhere_then_an_error_with_its_reason(tmp_path: Path) -> None:
    """One local cluster; its workers have 1.5 GiB each, and a point may take 8 s."""
    ledger, folder = tmp_path / "ledger", tmp_path / "study"
    ledger.mkdir()
    declared = study(ledger, *TROUBLES)
    options = {"workers": Workers(count=2, memory=3 * 2**30), "declared_in": Path(trouble.__file__), "limit": 8.0}
    state = prepare(declared, folder, **options).run(lambda state: None)
    bad = {"kill", "raise", "hang", "hog"}
    assert (state.done, state.points_done) == (5, 5)
    reasons = {what.split("name=")[1].split(",")[0]: why for what, why in state.failures.items()}
    assert set(reasons) == bad
    tries = {name: trouble.tries(str(ledger), name) for name in TROUBLES}
    # Three tries. Two more where Dask gave up early, blaming a point for a death while it waited; and Dask has a result recomputed
    # whose worker dies before it was fetched.
    assert all(3 <= tries[name] <= 5 for name in bad), tries
    assert tries["kill-twice"] >= 3
    assert tries["raise-once"] >= 2
    assert all(tries[f"none-{k}"] >= 1 for k in (1, 2, 3))
    assert "ended unexpectedly: killed, out of memory, or a crash" in reasons["kill"]
    assert "RuntimeError: a bug" in reasons["raise"]
    assert "it took longer than its limit of 8 s" in reasons["hang"]
    assert "out of memory: its process reached 1." in reasons["hog"]
    stacks = Path(reasons["hang"].split("Where it was: ")[1].split(" on ")[0])
    assert "_harm" in stacks.read_text()

    store = Store(folder)
    for point in (point.case for point in declared.points()):
        error, record = store.error(point.fingerprint), store.record_file(point.fingerprint)
        if point.description.removeprefix("trouble: name=") in bad:
            assert error is not None
            assert error.case == point
            assert error.tries >= 3
            assert error.reason in reasons.values()
            assert not record.exists()
        else:
            assert error is None
            assert load(Record, record).measured == run_case(point).measured
    assert [file.name for file in (folder / "claims").iterdir() if len(file.name) == 64] == []


def test_an_error_is_tried_again_by_the_next_start_and_forgotten_when_it_goes_well(tmp_path: Path, workers: Workers) -> None:
    ledger, folder = tmp_path / "ledger", tmp_path / "study"
    ledger.mkdir()
    TROUBLES["raise-thrice"] = ("raise", 3)
    declared = study(ledger, "raise-thrice", "none-1")
    (point, _) = (point.case for point in declared.points())
    options = {"workers": workers, "declared_in": Path(trouble.__file__)}
    first = prepare(declared, folder, **options).run(lambda state: None)
    assert (first.done, list(first.failures)) == (1, ["small, trouble: name=raise-thrice, seed 0"])
    assert Store(folder).error(point.fingerprint) is not None
    assert trouble.tries(str(ledger), "raise-thrice") == 3
    again = prepare(declared, folder, **options).run(lambda state: None)
    assert (again.done, again.failures) == (2, {})
    assert Store(folder).error(point.fingerprint) is None
    assert trouble.tries(str(ledger), "raise-thrice") == 4
    assert trouble.tries(str(ledger), "none-1") == 1


@needs_loopback
@pytest.mark.slow
def test_workers_that_are_gone_for_good_end_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.campaign._run._ALONE_S", 1.0)
    monkeypatch.setattr("distributed.Client.nthreads", lambda client: {})
    monkeypatch.setitem(TROUBLES, "sleep", ("sleep", 60))
    (tmp_path / "ledger").mkdir()
    campaign = prepare(
        study(tmp_path / "ledger", "sleep"),
        tmp_path / "study",
        workers=Workers(count=1),
        declared_in=Path(trouble.__file__),
    )
    with pytest.raises(EnvironmentProblemError, match="All workers of this machine are gone since 1 s"):
        campaign.run(lambda state: None)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (CommClosedError("in <TCP>: Stream is closed"), "scheduler at .* is gone"),
        (OSError(116, "Stale file handle"), "Stale file"),
    ],
)
def test_what_breaks_under_the_client_ends_it_with_a_message(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    """Not with a traceback, whichever call of Dask's or of the file system it is."""
    (tmp_path / "ledger").mkdir()
    campaign = prepare(
        study(tmp_path / "ledger", "none-1"), tmp_path / "study", workers=workers, declared_in=Path(trouble.__file__)
    )

    def broken(*_: object) -> None:
        raise error

    where = "distributed.Client.nthreads" if isinstance(error, CommClosedError) else "membench.campaign._claims.Claims.release"
    with monkeypatch.context() as patch:
        patch.setattr(where, broken)
        with pytest.raises(EnvironmentProblemError, match=says):
            campaign.run(lambda state: None)
    assert campaign.run(lambda state: None).failures == {}


def test_a_worker_on_which_nothing_can_be_handed_out_does_not_end_the_study(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask tells of one that has no membench, and means that all failed."""
    register = Client.register_plugin

    def told(client: Client, plugin: object) -> None:
        register(client, plugin)  # type: ignore[arg-type]
        raise ModuleNotFoundError("No module named 'membench'")

    monkeypatch.setattr(Client, "register_plugin", told)
    (tmp_path / "ledger").mkdir()
    options = {"workers": workers, "declared_in": Path(trouble.__file__)}
    end = prepare(study(tmp_path / "ledger", "none-1"), tmp_path / "study", **options).run(lambda state: None)
    assert (end.done, end.failures) == (1, {})


@pytest.mark.parametrize("reason", ["", "a name that is no text: \udcff", "two\nlines\x1b[0m"])
def test_whatever_a_worker_says_of_a_point_is_kept(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setitem(TROUBLES, "says", ("say", 99))
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/says").write_text(reason, encoding="utf-8", errors="surrogatepass")
    declared = study(tmp_path / "ledger", "says", "none-1")
    end = prepare(declared, tmp_path / "study", workers=workers, declared_in=Path(trouble.__file__)).run(lambda state: None)
    (told,) = end.failures.values()
    assert end.done == 1
    assert told.isprintable() or "\n" in told
    assert told
    (point, _) = (point.case for point in declared.points())
    error = Store(tmp_path / "study").error(point.fingerprint)
    assert error is not None
    assert error.reason == told


def test_workers_of_this_machine_neither_pause_nor_spill(scheduler: str) -> None:
    """A paused one would keep its point, and a spilled result would be read with pickle."""

    def thresholds(dask_worker: Any) -> tuple[object, ...]:
        memory = dask_worker.memory_manager
        return memory.memory_target_fraction, memory.memory_spill_fraction, memory.memory_pause_fraction

    with Workers(scheduler=scheduler).opened() as client:
        assert set(client.run(thresholds).values()) == {(False, False, False)}


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cluster, "CONNECT_S", 1.0)
    with (
        pytest.raises(EnvironmentProblemError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1: "),
        Workers(scheduler="tcp://127.0.0.1:1").opened(),
    ):
        pytest.fail("connected")


@needs_loopback
@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_client_with_a_message_and_what_was_measured_stays(tmp_path: Path) -> None:
    """kill -9 of a scheduler of its own process; a second start with another one does the rest."""
    ledger, folder = tmp_path / "ledger", tmp_path / "study"
    ledger.mkdir()
    TROUBLES.update({f"slow-{k}": ("sleep", 0.5) for k in range(12)})
    declared = study(ledger, *(f"slow-{k}" for k in range(12)))
    scheduler = subprocess.Popen([sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                  "--scheduler-file", str(tmp_path / "scheduler.json")], stderr=subprocess.DEVNULL)  # fmt: skip
    worker = subprocess.Popen([sys.executable, "-m", "dask", "worker", "--scheduler-file", str(tmp_path / "scheduler.json"),
                               "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"], stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "scheduler.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]

        def tell(state: State) -> None:
            if state.points_done == 3 and scheduler.poll() is None:
                scheduler.kill()

        options = {"declared_in": Path(trouble.__file__)}
        with pytest.raises(EnvironmentProblemError, match="is gone"):
            prepare(declared, folder, workers=Workers(scheduler=address), **options).run(tell)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    kept = len(list(folder.glob("points/*/*.json")))
    assert 3 <= kept < 12
    again = prepare(declared, folder, workers=Workers(count=2), **options).run(lambda state: None)
    assert (again.done, again.failures) == (12, {})


def test_workers_that_cannot_be_started_are_a_problem_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(**_: object) -> None:
        raise RuntimeError("Cluster failed to start: Timed out trying to connect to tcp://127.0.0.1:1")

    monkeypatch.setattr("membench.campaign._cluster.LocalCluster", down)
    with (
        pytest.raises(EnvironmentProblemError, match=r"could not start workers .* loopback interface"),
        Workers(count=1).opened(),
    ):
        pytest.fail("it was opened")
