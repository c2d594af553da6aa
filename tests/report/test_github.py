"""Annotations and the job's summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from membench.errors import EnvironmentProblemError
from membench.outcome import Outcome
from membench.report import github
from membench.report.github import Place, add_to_summary, annotate
from membench.verdict import Status, Verdict


def outcome(status: Status, reason: str = "why", excused: str = "") -> Outcome:
    return Outcome("small", "vectorized", Verdict(status, reason), excused=excused)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (outcome(Status.REGRESSED), "::error file=cases/a.py,line=3,title=REGRESSED%3A small::why"),
        (outcome(Status.ERROR, "a\nb: 5 %"), "::error file=cases/a.py,line=3,title=ERROR%3A small::a%0Ab: 5 %25"),
        (outcome(Status.REGRESSED, excused="known"), "::warning file=cases/a.py,line=3,title=REGRESSED%3A small::why; known"),
        (outcome(Status.SKIPPED), "::warning file=cases/a.py,line=3,title=SKIPPED%3A small::why"),
        (outcome(Status.IMPROVED), "::notice file=cases/a.py,line=3,title=IMPROVED%3A small::why"),
    ],
)
def test_a_line_for_each_case_that_is_not_as_it_was(found: Outcome, line: str) -> None:
    assert annotate([found, outcome(Status.PASS)], {"small": Place("cases/a.py", 3)}) == [line]


def test_a_case_that_is_declared_nowhere_has_no_place() -> None:
    assert annotate([outcome(Status.ERROR)], {}) == ["::error title=ERROR%3A small::why"]


def test_the_summary_grows(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    add_to_summary(file, "one")
    add_to_summary(file, "two")
    assert file.read_text() == "one\ntwo\n"


def test_a_summary_that_would_be_dropped_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "LARGEST_SUMMARY", 100)
    file = tmp_path / "summary.md"
    add_to_summary(file, "x" * 60)
    add_to_summary(file, "y" * 60)
    assert "y" not in file.read_text().replace("summary", "")
    assert "too large" in file.read_text()


def test_a_summary_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="Cannot write the job's summary"):
        add_to_summary(tmp_path / "nowhere" / "summary.md", "text")
