"""Known failures: what is let through, until when, and which lists are refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from records import make_record

from membench.errors import FileFormatError
from membench.grace import KnownFailure, load_known_failures, with_grace
from membench.outcome import Outcome, gate_failures
from membench.verdict import Status, Verdict

TODAY = datetime.date(2026, 11, 24)
DAY = datetime.timedelta(days=1)


def entry(**changes: object) -> KnownFailure:
    fields = {"case": "small", "max_loss_points": 10.0, "expires": TODAY, "reason": "known for this test", **changes}
    return KnownFailure(**fields)


def outcome(status: Status, wrong: int = 10, engine: str = "vectorized") -> Outcome:
    """A case of 100 images that loses `wrong` points."""
    record = make_record(name="small", images=100, wrong=range(wrong), engine=engine)
    return Outcome("small", engine, Verdict(status, "as it was"), record)


@pytest.mark.parametrize("status", [Status.REGRESSED, Status.OVER_THRESHOLD])
def test_a_measured_loss_is_let_through_up_to_the_limit_and_to_the_day(status: Status) -> None:
    found = with_grace(outcome(status), [entry()], TODAY)
    assert found.excused == "known until 2026-11-24: known for this test"
    assert found.verdict.status is status
    assert gate_failures([found]) == []


@pytest.mark.parametrize(
    ("found", "known", "today"),
    [
        (outcome(Status.REGRESSED, wrong=11), entry(), TODAY),
        (outcome(Status.REGRESSED), entry(), TODAY + DAY),
        (outcome(Status.PASS), entry(), TODAY + DAY),
        (outcome(Status.REGRESSED), entry(engine="memtorch"), TODAY),
        (outcome(Status.REGRESSED), entry(case="other"), TODAY),
        *(
            (outcome(status), entry(), TODAY)
            for status in Status
            if not status.green and status.value not in ("REGRESSED", "OVER_THRESHOLD")
        ),
    ],
)
def test_all_else_closes_the_gate(found: Outcome, known: KnownFailure, today: datetime.date) -> None:
    judged = with_grace(found, [known], today)
    assert gate_failures([judged]) == [judged]


def test_a_green_case_stays_green_until_the_day() -> None:
    green = outcome(Status.PASS)
    assert with_grace(green, [entry()], TODAY) is green


GOOD = """
[[known]]
case = "small"
max_loss_points = 14
expires = 2027-01-31
reason = "Two words at least"
"""


def test_the_list_is_read(tmp_path: Path) -> None:
    file = tmp_path / "known-failures.toml"
    assert load_known_failures(file, ["small"], TODAY) == ()
    file.write_text(GOOD)
    expected = KnownFailure(case="small", max_loss_points=14.0, expires=datetime.date(2027, 1, 31), reason="Two words at least")
    assert load_known_failures(file, ["small"], TODAY) == (expected,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[known]", "is not TOML"),
        ("\x00", "is not TOML"),
        ("known = " + "[" * 100_000, "nested without end"),
        ("known = " + "{a=" * 100_000, "nested without end"),
        (GOOD.replace("14", "9" * 400), "entry 1: .*\n  max_loss_points: "),
        (GOOD.replace("14", "101"), "entry 1: .*\n  max_loss_points: "),
        (GOOD.replace("2027-01-31", "1800000000"), "entry 1: .*\n  expires: "),
        ("unknown = 1", "only tables \\[\\[known\\]\\] are allowed \\(found: unknown\\)"),
        ("known = 1", "only tables"),
        ("[known]\ncase = 'small'", "only tables"),
        (GOOD.replace("small", "smal"), "entry 1: there is no case 'smal'"),
        (GOOD.replace("2027-01-31", "2027-11-26"), "entry 1: expires 2027-11-26 is more than a year away"),
        (GOOD.replace("2027-01-31", "'soon'"), "entry 1: .*\n  expires: "),
        (GOOD.replace("14", "-1"), "entry 1: .*\n  max_loss_points: "),
        (GOOD.replace("14", "nan"), "entry 1: .*\n  max_loss_points: "),
        (GOOD.replace("14", "true"), "entry 1: .*\n  max_loss_points: "),
        (GOOD.replace("Two words at least", "no"), "entry 1: .*\n  reason: "),
        (GOOD.replace("expires", "expire"), "entry 1: .*\n  expire"),
        (GOOD + GOOD, "entry 2: 'small' on vectorized is listed twice"),
    ],
    ids=lambda text: text[:40],
)
def test_a_bad_list_is_refused_with_file_and_entry(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "known-failures.toml"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=words) as refused:
        load_known_failures(file, ["small"], TODAY)
    assert str(file) in str(refused.value)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="Cannot read"):
        load_known_failures(tmp_path, ["small"], TODAY)
