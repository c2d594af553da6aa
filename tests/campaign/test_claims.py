"""Claims: one client at a time has a point, and a dead client's points are free again."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from membench.campaign._claims import Claims
from membench.errors import EnvironmentProblemError

A, B = "a" * 64, "b" * 64


def age(claims: Claims, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(claims.lease_file, (then, then))


def test_a_point_is_one_clients(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take(A)
        assert not two.take(A)
        assert two.take(B)
        one.release(A)
        assert two.take(A)
        one.release(A)  # no longer its own: nothing happens
        assert not one.take(A)


def test_of_many_that_reach_for_a_point_one_gets_it(tmp_path: Path) -> None:
    clients = [Claims(tmp_path).__enter__() for _ in range(8)]
    points = [f"{k:064}" for k in range(40)]
    got: list[tuple[str, str]] = []

    def reach(client: Claims) -> None:
        got.extend((point, client.name) for point in points if client.take(point))

    threads = [threading.Thread(target=reach, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(point for point, _ in got) == points


def test_all_is_given_up_on_leaving(tmp_path: Path) -> None:
    with Claims(tmp_path) as one:
        one.take(A)
    with Claims(tmp_path) as two:
        assert two.take(A)
    assert [file.name for file in (tmp_path / "clients").iterdir()] == []
    assert [file.name for file in (tmp_path / "claims").iterdir() if not file.name.startswith(".")] == []


def test_the_claims_of_a_silent_client_lapse_all_at_once_and_not_before(tmp_path: Path) -> None:
    with Claims(tmp_path, lease=60) as one, Claims(tmp_path, lease=60) as two:
        assert one.take(A)
        assert one.take(B)
        age(one, 50)
        assert not two.take(A)
        age(one, 70)
        assert two.take(A)
        assert two.take(B)
        one.release(A)  # it wakes up: what is another's by now stays so
        assert not one.take(A)


def test_renewing_keeps_every_claim(tmp_path: Path) -> None:
    with Claims(tmp_path, lease=60) as one, Claims(tmp_path, lease=60) as two:
        assert one.take(A)
        age(one, 70)
        assert one.renew()
        assert not one.renew()  # not so soon again
        assert not two.take(A)


def test_a_client_that_was_taken_for_dead_starts_anew(tmp_path: Path) -> None:
    with Claims(tmp_path, lease=60) as one:
        one.take(A)
        age(one, 70)
        with Claims(tmp_path, lease=60) as two:  # buries it
            assert not one.lease_file.exists()
            assert two.take(A)
            assert one.take(B)
            assert not one.take(A)
            assert not two.take(B)


def test_the_claims_of_a_client_that_died_on_this_machine_are_free_at_once(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        Claims(tmp_path).__enter__().take(A)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (tmp_path / "claims" / A).exists()
    with Claims(tmp_path) as one:
        assert one.take(A)


@pytest.mark.parametrize(("seconds", "free"), [(1.0, False), (-1.0, False), (3600.0, True), (-3600.0, True)])
def test_a_clock_that_was_set_kills_nobody_and_a_number_used_again_keeps_nobody_alive(
    tmp_path: Path, seconds: float, free: bool
) -> None:
    """The kernel tells its start by whole seconds of the clock, and a client's own start by that: it moves by one at any time."""
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        told = json.loads(one.lease_file.read_text())
        number, start = told["process"]
        one.lease_file.write_text(json.dumps({**told, "process": [number, start + seconds]}))
        assert one.take(A)
        assert two.take(A) is free


def test_a_claim_of_another_machine_is_kept_as_long_as_its_lease(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        told = json.loads(one.lease_file.read_text())
        one.lease_file.write_text(json.dumps({**told, "host": "elsewhere", "process": [2**22 + 1, 0.0]}))
        assert one.take(A)
        assert not two.take(A)
        age(one, 100)
        assert two.take(A)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "1", "[" * 100_000, '{"host": 1}', '{"host": "x", "process": 1, "host": "x"}', "\xff"]
)
def test_a_damaged_claim_is_free(text: str, tmp_path: Path) -> None:
    with Claims(tmp_path) as one:
        (tmp_path / "claims" / A).write_text(text, encoding="latin-1")
        assert one.take(A)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("")
    with pytest.raises(EnvironmentProblemError, match="Cannot write"), Claims(tmp_path):
        pytest.fail("claimed")
