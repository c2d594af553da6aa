"""What GitHub Actions shows of a gate: annotations at the declarations of cases, and the job's summary page.

Both are plain: an annotation is a line of output, the summary is a file that GITHUB_STEP_SUMMARY names. (GitHub: "Workflow commands
for GitHub Actions".)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from membench.errors import EnvironmentProblemError
from membench.outcome import Outcome
from membench.verdict import Status

LARGEST_SUMMARY = 1024 * 1024 - 1  # bytes: GitHub drops a larger one without a word


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int = 1


def annotate(outcomes: Sequence[Outcome], places: Mapping[str, Place]) -> list[str]:
    """A workflow command for each case that is not green, and for each that is better than its baseline.

    Args:
        places: where each case is declared; the file relative to the repository's root.
    """
    return [_command(outcome, places.get(outcome.name)) for outcome in outcomes if outcome.verdict.status is not Status.PASS]


def _command(outcome: Outcome, place: Place | None) -> str:
    if outcome.verdict.green:
        level = "notice"
    elif outcome.excused or outcome.verdict.status is Status.SKIPPED:
        level = "warning"
    else:
        level = "error"
    fields = {"file": place.file, "line": str(place.line)} if place else {}
    fields["title"] = f"{outcome.verdict.status}: {outcome.name}"
    message = "; ".join(part for part in (outcome.verdict.reason, outcome.excused) if part)
    said = ",".join(f"{name}={_property(value)}" for name, value in fields.items())
    return f"::{level} {said}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def add_to_summary(file: Path, text: str) -> None:
    """Append Markdown to the job's summary.

    Raises:
        EnvironmentProblemError: when the file cannot be written.
    """
    try:
        with file.open("a", encoding="utf-8") as summary:
            if summary.tell() + len(text.encode()) + 1 > LARGEST_SUMMARY:
                text = "The report of this gate is too large for a job's summary; see --membench-report.\n"
            summary.write(f"{text}\n")
    except OSError as error:
        raise EnvironmentProblemError(
            f"Cannot write the job's summary to {file}: {error.strerror}. Unset GITHUB_STEP_SUMMARY, or make it writable."
        ) from error
