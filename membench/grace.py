"""Known failures: a list, reviewed like baselines, of cases that may be red for a while. Each entry ends on a day.

    # baselines/known-failures.toml
    [[known]]
    case = "cifar10-faults"
    max_loss_points = 14.0
    expires = 2027-01-31
    reason = "The new fault model costs 3 points more; issue 42"

An entry lets a measured loss through, up to its own limit. What was not measured (ERROR, INVALID, SKIPPED ...) is never let
through. On the day after `expires` the case is red again, also if it would be green: the list is to be tidied.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, Strict

from membench.case import DEFAULT_ENGINE
from membench.errors import FileFormatError, InputError
from membench.outcome import Outcome
from membench.plain import Line, Number, Plain, Reason
from membench.storage import read_whole
from membench.verdict import Status
from membench.words import QUOTE, capped, printable, quoted

FILE = "known-failures.toml"  # in the folder of baselines
LONGEST = datetime.timedelta(days=366)
EXCUSABLE = (Status.REGRESSED, Status.OVER_THRESHOLD)


class KnownFailure(Plain):
    """An entry.

    Attributes:
        case: its name.
        engine: on which it fails.
        max_loss_points: what it may lose meanwhile, in percentage points.
        expires: last day on which it is let through.
        reason: why it may fail, a sentence for reviewers.
    """

    case: Line
    engine: Line = DEFAULT_ENGINE
    max_loss_points: Annotated[Number, Field(ge=0, le=100)]
    expires: Annotated[datetime.date, Strict()]
    reason: Reason


def load_known_failures(file: Path, declared: Collection[str], today: datetime.date) -> tuple[KnownFailure, ...]:
    """Read the list; empty where there is no file.

    Args:
        declared: names of cases that there are.
        today: entries may end a year from it at the latest.

    Raises:
        FileFormatError: names the file, the entry and the field.
    """
    try:
        data = read_whole(file)
        content = tomllib.loads((data or b"").decode("utf-8"))
    except RecursionError:
        raise FileFormatError(f"{file} is not TOML of known failures: it is nested without end.") from None
    except ValueError as error:  # of UTF-8 or of TOML
        raise FileFormatError(capped(f"{file} is not TOML: {error}.", str(file))) from error
    if data is None:
        return ()
    entries: Any = content.pop("known", [])
    if content or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FileFormatError(
            f"{file}: only tables [[known]] are allowed (found: {printable(', '.join(content))[:QUOTE] or 'known'})."
        )
    found: list[KnownFailure] = []
    for number, entry in enumerate(entries, 1):
        where = f"{file}, entry {number}"
        try:
            known = KnownFailure(**entry)
        except InputError as error:
            raise FileFormatError(capped(f"{where}: {error}", where)) from error
        if known.case not in declared:
            raise FileFormatError(f"{where}: there is no case {quoted(known.case)}. Delete the entry, or mend its name.")
        if known.expires > today + LONGEST:
            raise FileFormatError(
                f"{where}: expires {known.expires} is more than a year away. Give a nearer day, or accept a baseline instead."
            )
        if any((known.case, known.engine) == (other.case, other.engine) for other in found):
            raise FileFormatError(f"{where}: {known.case!r} on {known.engine} is listed twice. Delete one of the entries.")
        found.append(known)
    return tuple(found)


def with_grace(outcome: Outcome, known: Sequence[KnownFailure], today: datetime.date) -> Outcome:
    """The outcome, excused where an entry covers it, and red where its entry has expired."""
    entry = next((one for one in known if (one.case, one.engine) == (outcome.name, outcome.engine)), None)
    if entry is None:
        return outcome
    verdict = outcome.verdict
    if today > entry.expires:
        note = f"its entry in {FILE} expired on {entry.expires} ({entry.reason}): delete it, or give it another day"
        status = Status.ERROR if verdict.green else verdict.status
        return replace(outcome, verdict=replace(verdict, status=status, reason=f"{verdict.reason}; {note}"))
    if outcome.record is None or verdict.status not in EXCUSABLE:
        return outcome
    if outcome.record.measured.loss.estimate > entry.max_loss_points:
        note = f"more than the {entry.max_loss_points:g} points that {FILE} lets through"
        return replace(outcome, verdict=replace(verdict, reason=f"{verdict.reason}; {note}"))
    return replace(outcome, excused=f"known until {entry.expires}: {entry.reason}")
