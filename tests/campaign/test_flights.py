"""What becomes of points that are under way, whatever Dask and its workers say of them; the client here is a double."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import make_case
from distributed.client import FutureCancelledError

from membench import run_case
from membench.campaign._cluster import TRIES
from membench.campaign._flights import Flight, Flights, Landed
from membench.campaign._task import How
from membench.errors import EnvironmentProblemError

BIG, SMALL, SMALLER = "tcp://big", "tcp://small", "tcp://smaller"


class Double:
    """Of a Dask client: keeps what is submitted, and gives each future's outcome when the test says it."""

    def __init__(self) -> None:
        self.status, self.scheduler = "running", SimpleNamespace(address="tcp://nowhere")
        self.loop = SimpleNamespace(add_callback=self._follow)
        self.sent: list[dict[str, Any]] = []
        self._followed: list[tuple[Any, str, Any]] = []

    def subscribe_topic(self, *_: object) -> None:
        """Nobody tells anything here."""

    def submit(self, task: object, how: How, case: str, limit: float, **options: Any) -> Any:
        self.sent.append({"case": case, **options})
        return SimpleNamespace(release=lambda: None, cancel=lambda: None, status="lost")  # its worker died since

    def _follow(self, follow: Any, key: str, future: Any) -> None:
        self._followed.append((follow, key, future))

    def answer(self, outcome: object) -> None:
        """The oldest point under way gets that outcome, or that exception."""
        follow, key, future = self._followed.pop(0)

        async def result(raiseit: bool) -> object:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        future._result = result
        asyncio.run(follow(key, future))


@pytest.fixture
def client() -> Double:
    return Double()


@pytest.fixture
def flights(client: Double) -> Flights:
    found = Flights(client, How("vectorized", 1, None, "0" * 64, "topic"))  # type: ignore[arg-type]
    found.workers = {BIG: 10.0, SMALL: 2.0, SMALLER: 1.0}
    return found


def landed(flights: Flights) -> list[Landed]:
    return list(flights.landed(wait=0.0))


def unfit(worker: str) -> dict[str, Any]:
    return {"problem": "there are no data", "elsewhere": True, "unfit": True, "worker": worker}


def test_a_result_that_cannot_be_fetched_is_tried_again(client: Double, flights: Flights) -> None:
    """`as_completed` would never tell of it, and the study would never end."""
    flights.send(Flight(make_case(), 60.0))
    for _ in range(TRIES - 1):
        client.answer(OSError("the connection was reset"))
        assert landed(flights) == []
        assert len(flights) == 1
    client.answer(OSError("the connection was reset"))
    (end,) = landed(flights)
    assert (end.record, end.problem, end.tries) == (None, "OSError: the connection was reset", TRIES)
    assert len(flights) == 0


def test_a_point_whose_worker_died_after_it_had_answered_has_landed(client: Double, flights: Flights) -> None:
    case = make_case()
    flights.send(Flight(case, 60.0))
    record = run_case(case)
    client.answer({"record": record.model_dump_json(), "seconds": 1.5, "worker": BIG})  # the double's futures are lost by now
    (end,) = landed(flights)
    assert (end.point, end.record, end.seconds, end.worker, end.problem) == (case, record, 1.5, BIG, "")


def test_a_worker_that_lacks_something_gets_no_point_that_needs_it_while_there_is_another(
    client: Double, flights: Flights
) -> None:
    """However fast it refuses, and however many of its kind there are; what it refuses costs no try."""
    flights.send(Flight(make_case(), 60.0))
    client.answer(unfit(BIG))
    assert landed(flights) == []
    assert set(client.sent[-1]["workers"]) == {SMALL, SMALLER}
    client.answer(unfit(SMALL))
    assert landed(flights) == []
    assert client.sent[-1]["workers"] == [SMALLER]
    flights.send(Flight(make_case(images=40), 60.0))
    assert client.sent[-1]["workers"] == [SMALLER]  # the next point does not even try
    flights.send(Flight(make_case(dataset="mnist"), 60.0))
    assert client.sent[-1]["workers"] is None  # of other data nothing is known
    client.answer(unfit(SMALLER))
    (end,) = landed(flights)
    assert (end.problem, end.tries) == ("there are no data (on tcp://smaller)", 1)


def test_a_point_is_tried_again_only_where_there_is_the_memory_for_it(client: Double, flights: Flights) -> None:
    def failed(worker: str) -> dict[str, Any]:
        return {"problem": "a bug", "elsewhere": True, "worker": worker}

    flights.send(Flight(make_case(), 60.0, memory=2.0))
    assert client.sent[-1]["workers"] is None
    client.answer(failed(SMALL))
    assert landed(flights) == []
    assert client.sent[-1]["workers"] == [BIG]
    assert client.sent[-1]["resources"] == {"memory": 2.0}
    assert not client.sent[-1].get("allow_other_workers")
    client.answer(failed(BIG))
    assert landed(flights) == []
    assert client.sent[-1]["workers"] is None  # none is left, so any with the memory
    client.answer(failed(BIG))
    (end,) = landed(flights)
    assert (end.problem, end.tries) == ("a bug (on tcp://big)", TRIES)


def test_a_worker_that_does_not_say_how_much_it_has_gets_none_that_needs_some(client: Double, flights: Flights) -> None:
    flights.workers = {BIG: None, SMALL: 2.0, SMALLER: 2.0}
    flights.send(Flight(make_case(), 60.0, memory=2.0))
    client.answer({"problem": "a bug", "elsewhere": True, "worker": SMALL})
    assert landed(flights) == []
    assert client.sent[-1]["workers"] == [SMALLER]


def test_points_whose_chosen_workers_are_gone_are_sent_again(client: Double, flights: Flights) -> None:
    flights.send(Flight(make_case(), 60.0))
    client.answer({"problem": "a bug", "elsewhere": True, "worker": SMALL})
    assert landed(flights) == []
    assert set(client.sent[-1]["workers"]) == {BIG, SMALLER}
    flights.workers = {SMALL: 2.0, "tcp://new": 2.0}
    flights.free()
    assert client.sent[-1]["workers"] == ["tcp://new"]
    assert len(flights) == 1
    flights.free()
    assert len(client.sent) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"worker": BIG},
        {"record": "", "worker": BIG},
        {"record": "", "seconds": 1.0, "worker": BIG},
        {"record": "{}", "seconds": 1.0, "worker": BIG},
        {"record": "[" * 10_000, "seconds": 1.0, "worker": BIG},
        None,
        "nonsense",
    ],
    ids=str,
)
def test_an_answer_that_is_no_answer_costs_a_try(client: Double, flights: Flights, answer: object) -> None:
    flights.send(Flight(make_case(), 60.0))
    for _ in range(TRIES):
        assert landed(flights) == []
        client.answer(answer)
    (end,) = landed(flights)
    assert end.record is None
    assert end.problem
    assert end.tries == TRIES


@pytest.mark.parametrize("changes", [{"seeds": (1,)}, {"threads": 2}, {"engine": "memtorch"}], ids=str)
def test_the_record_of_something_else_is_not_taken(client: Double, flights: Flights, changes: dict[str, Any]) -> None:
    case = make_case()
    fields = {name: value for name, value in changes.items() if name == "seeds"}
    record = run_case(case.replace(**fields))
    if "threads" in changes:
        record = record.replace(costs=record.costs.replace(threads=2))
    if "engine" in changes:
        record = record.replace(engine="memtorch")
    flights.send(Flight(case, 60.0))
    client.answer({"record": record.model_dump_json(), "seconds": 1.0, "worker": BIG})
    assert landed(flights) == []
    assert len(flights) == 1


@pytest.mark.parametrize("error", [FutureCancelledError("key", "lost"), asyncio.CancelledError()], ids=["Dask", "asyncio"])
def test_points_that_are_cancelled_with_the_connection_end_the_client(
    client: Double, flights: Flights, error: BaseException
) -> None:
    """And are no failures of the points, though it was their last try."""
    flights.send(Flight(make_case(), 60.0, failed=TRIES - 1))
    client.status = "closed"
    client.answer(error)
    found: list[Landed] = []
    with pytest.raises(EnvironmentProblemError, match="scheduler at tcp://nowhere is gone"):
        found.extend(flights.landed(wait=0.0))
    assert found == []


def test_points_that_are_cancelled_while_the_connection_stands_are_sent_again(client: Double, flights: Flights) -> None:
    """It was lost for a moment, or somebody restarted the workers."""
    flights.send(Flight(make_case(), 60.0))
    client.answer(FutureCancelledError("key", "restarted"))
    assert landed(flights) == []
    assert len(client.sent) == 2
