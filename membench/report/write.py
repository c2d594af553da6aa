"""A folder that holds a run's records and its summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from membench.outcome import Outcome
from membench.record import save
from membench.report.markdown import markdown
from membench.storage import remove, write_atomically


def write_report(folder: Path, outcomes: Sequence[Outcome], engine: str, notes: Sequence[str] = ()) -> Path:
    """Write `records/<engine>/<case>.json` for each record, and `summary.md`; return the summary's path."""
    for outcome in outcomes:
        file = folder / "records" / engine / f"{outcome.name}.json"
        if outcome.record is not None:
            save(outcome.record, file)
        else:  # an earlier run's record must not stand in for a case that failed in this one
            remove(file)
    return write_atomically(folder / "summary.md", markdown(outcomes, engine, notes))
