"""baselines/<engine>/<case>.json."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from membench.errors import FileFormatError, GateError, InputError
from membench.record import Baseline, Record, find, save
from membench.storage import cache_dir, locked, sha256
from membench.verdict import Status, decide


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
            InputError: when the reason is no sentence.
            GateError: when the record itself cannot be accepted.
        """
        if len(reason.split()) < 2 or len(reason.strip()) < 10:
            raise InputError(f"The reason {reason!r} explains nothing. Write a sentence of at least ten letters.")
        verdict = decide(record, None)
        if verdict.status is not Status.NO_BASELINE:
            raise GateError(f"{record.case.name} cannot become a baseline: {verdict.status}: {verdict.reason}")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        path = self.path(record.engine, record.case.name)
        with locked(cache_dir() / "locks" / f"{sha256(str(path.resolve()).encode())[:16]}.lock"):
            return save(Baseline(reason=reason.strip(), accepted=now, record=record), path)

    def cases(self, engine: str) -> tuple[str, ...]:
        """Names of the cases that have a baseline."""
        return tuple(sorted(path.stem for path in (self.folder / engine).glob("*.json")))
