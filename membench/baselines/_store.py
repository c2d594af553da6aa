"""baselines/<engine>/<case>.json."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from membench.errors import FileFormatError, GateError, InputError
from membench.plain import Reason
from membench.record import Baseline, Record, find, save
from membench.storage import cache_dir, locked, sha256
from membench.verdict import Status, decide
from membench.words import printable, quoted


def checked_reason(reason: str) -> str:
    """The reason for accepting a record as it is kept, on one line.

    Example: `checked_reason("8 bits \\n instead of 6")` is "8 bits instead of 6".

    Raises:
        InputError: when it is no sentence, or holds control characters.
    """
    line = " ".join(reason.split())
    try:
        TypeAdapter(Reason).validate_python(line)
    except ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"The reason {quoted(reason)} is not accepted: {printable(fault)}.") from None
    return line


def check_acceptable(record: Record) -> None:
    """Refuse a record that cannot become a baseline.

    Raises:
        GateError: it is invalid, or loses more than its own thresholds accept.
    """
    verdict = decide(record, None)
    if verdict.status is not Status.NO_BASELINE:
        raise GateError(f"{record.case.name} cannot become a baseline: {verdict.status}: {verdict.reason}")


@dataclass(frozen=True)
class BaselineStore:
    """Accepted records below `folder`."""

    folder: Path

    def path(self, engine: str, case: str) -> Path:
        return self.folder / engine / f"{case}.json"

    def get(self, engine: str, case: str) -> Baseline | None:
        """The baseline of a case on an engine, or None.

        Raises:
            FileFormatError: when the file is damaged, was edited by hand, or holds another case; names it.
        """
        path = self.path(engine, case)
        baseline = find(Baseline, path)
        if baseline is None:
            return None
        if (baseline.record.engine, baseline.record.case.name) != (engine, case):
            raise FileFormatError(
                f"{path} holds the baseline of {baseline.record.case.name!r} on engine {baseline.record.engine!r}. Was it copied? "
                f'Make it anew: membench baseline update {case} --engine {engine} --reason "..."'
            )
        return baseline

    def update(self, record: Record, reason: str) -> Path:
        """Accept a record. This is the only way in which a baseline changes.

        Args:
            record: what was measured; it must be valid and within its own thresholds.
            reason: why it is accepted, a sentence for reviewers; it is written into the file.

        Raises:
            InputError: when the reason is no sentence, or holds control characters.
            GateError: when the record itself cannot be accepted.
        """
        reason = checked_reason(reason)
        check_acceptable(record)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        path = self.path(record.engine, record.case.name)
        with locked(cache_dir() / "locks" / f"{sha256(str(path.resolve()).encode())[:16]}.lock"):
            return save(Baseline(reason=reason, accepted=now, record=record), path)

    def cases(self, engine: str) -> tuple[str, ...]:
        """Names of the cases that have a baseline."""
        return tuple(sorted(path.stem for path in (self.folder / engine).glob("*.json")))
