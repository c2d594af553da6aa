"""A declared case with what became of it: what reports and gates are made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from membench.record import Baseline, Record
from membench.verdict import Status, Verdict

NEVER_RUN = "the case was declared and gave no record (its process died, or it was never run)"


@dataclass(frozen=True)
class Outcome:
    """A case's verdict, with the record if there is one, and the baseline if there was one.

    Attributes:
        excused: why a verdict that is not green does not close the gate (an entry in the list of known failures); empty where
            nothing excuses it.
    """

    name: str
    engine: str
    verdict: Verdict
    record: Record | None = None
    baseline: Baseline | None = None
    excused: str = ""

    def properties(self) -> list[tuple[str, object]]:
        """For JUnit's file: what a dashboard of tests may show."""
        found: list[tuple[str, object]] = [("membench_verdict", str(self.verdict.status))]
        if self.record is not None:
            loss = self.record.measured.loss
            found.append(("membench_loss_points", f"{loss.estimate:.4f}"))
            found.append(("membench_fingerprint", self.record.fingerprint))
        return found

    def packed(self) -> str:
        """As JSON, for another process."""
        plain = {
            "name": self.name,
            "engine": self.engine,
            "status": str(self.verdict.status),
            "reason": self.verdict.reason,
            "exit_code": self.verdict.exit_code,
            "record": self.record.model_dump_json() if self.record else None,
            "baseline": self.baseline.model_dump_json() if self.baseline else None,
            "excused": self.excused,
        }
        return json.dumps(plain)

    @classmethod
    def unpacked(cls, packed: str) -> Outcome:
        """What `packed` made."""
        plain = json.loads(packed)
        return cls(
            name=plain["name"],
            engine=plain["engine"],
            verdict=Verdict(Status(plain["status"]), plain["reason"], plain["exit_code"]),
            record=Record.from_json(plain["record"], "a worker's record") if plain["record"] else None,
            baseline=Baseline.from_json(plain["baseline"], "a worker's baseline") if plain["baseline"] else None,
            excused=plain["excused"],
        )


def error(name: str, engine: str, reason: str) -> Outcome:
    """The outcome of a case that was not measured."""
    return Outcome(name, engine, Verdict(Status.ERROR, reason))


def unaccounted(owed: Mapping[str, str] | Iterable[str], outcomes: Sequence[Outcome], engine: str) -> list[Outcome]:
    """An ERROR for each case of which nothing came: nothing passes by being absent.

    Args:
        owed: names of cases, or the reason to give for each.
    """
    known = {outcome.name for outcome in outcomes}
    reasons = owed if isinstance(owed, Mapping) else dict.fromkeys(owed, NEVER_RUN)
    return [error(name, engine, reason) for name, reason in reasons.items() if name not in known]


def undeclared(baselines: Iterable[str], declared: Iterable[str], engine: str) -> list[Outcome]:
    """An ERROR for each baseline whose case is declared no more: a case that is renamed or lost takes its gate with it."""
    known = set(declared)
    reason = "there is a baseline, and no case of that name is declared: declare it again, or delete baselines/{}/{}.json"
    return [error(name, engine, reason.format(engine, name)) for name in baselines if name not in known]


def worse(one: Outcome, other: Outcome) -> Outcome:
    """Of two outcomes of a case, the one that is not green: a second try does not make a first failure good."""
    return one if not one.verdict.green else other


def gate_failures(outcomes: Sequence[Outcome], allow_skip: bool = False) -> list[Outcome]:
    """The outcomes that close the gate.

    Args:
        allow_skip: whether a case without data is let through. Where every case is, nothing was measured, and all are failures.
    """

    def skipped(outcome: Outcome) -> bool:
        return outcome.verdict.status is Status.SKIPPED

    allowed = allow_skip and not all(map(skipped, outcomes))
    return [
        outcome
        for outcome in outcomes
        if not outcome.verdict.green and not outcome.excused and not (allowed and skipped(outcome))
    ]


def exit_code(failures: Iterable[Outcome]) -> int:
    """What a command ends with: 0 without failures, else the smallest of their codes, since a measured failure (1) counts before
    input (2) and environment (3)."""
    return min((outcome.verdict.exit_code for outcome in failures), default=0)
