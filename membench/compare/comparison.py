"""What became of each case, in numbers and in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from membench.compare.pairing import Pairing, pair
from membench.compare.power import MOST_IMAGES, POWER, Need, to_find, to_rule_out
from membench.compare.sides import Key, Side
from membench.compare.significance import LEVEL, Change, change_of, holm
from membench.compare.timing import Timing, compare_times
from membench.errors import InputError
from membench.plain import Plain
from membench.record import Record
from membench.statistics import Interval
from membench.verdict import Status, decide

TOLERANCE = 0.5  # points; of a case that names none


class Finding(StrEnum):
    """What a comparison says of a case."""

    WORSE = "worse"
    BETTER = "better"
    IDENTICAL = "identical"
    NO_CHANGE = "no change"
    NOT_SIGNIFICANT = "not significant"
    INVALID = "invalid"
    NOT_COMPARED = "not compared"
    ONLY_A = "only in A"
    ONLY_B = "only in B"

    @property
    def compared(self) -> bool:
        return self in _COMPARED


_COMPARED = (Finding.WORSE, Finding.BETTER, Finding.IDENTICAL, Finding.NO_CHANGE, Finding.NOT_SIGNIFICANT)


class CaseChange(Plain):
    """One case on both sides.

    Attributes:
        case: its name.
        engine: that both sides ran on; `A -> B` where they are not the same.
        finding: what is said of it.
        words: why, in a sentence.
        images: compared, of the smaller side where they are two samples.
        seeds: the same.
        loss_a: in percentage points, of all images and seeds that A has.
        loss_b: the same of B.
        change: B's loss minus A's, of what was compared, with the 95 % interval of this case alone.
        p: of no change, for this case alone.
        p_holm: the same, corrected for the number of cases compared.
        tolerance: in points: what counts as no change.
        logit_error_a: relative root mean square, of all that A has.
        logit_error_b: the same of B.
        to_find: what would find a change as large as this one with a power of 80 %; None unless it is not significant.
        to_rule_out: what would show that it is within the tolerance.
        test: which test was used.
        notes: what differs between the sides or was left out.
        versions: what was installed in other versions.
        same_record: whether both sides hold one and the same record, so that nothing was measured in between.
        timing: of the simulation.
    """

    case: str
    engine: str
    finding: Finding
    words: str
    images: int = 0
    seeds: int = 0
    loss_a: float | None = None
    loss_b: float | None = None
    change: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    tolerance: float | None = None
    logit_error_a: float | None = None
    logit_error_b: float | None = None
    to_find: Need | None = None
    to_rule_out: Need | None = None
    test: str = ""
    notes: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    same_record: bool = False
    timing: Timing | None = None


class Comparison(Plain):
    """Two sides, case by case.

    Attributes:
        a: what A is.
        b: what B is.
        cases: in A's order, then those that only B has.
        unreadable: files that could not be read, with the reason.
    """

    a: str
    b: str
    cases: tuple[CaseChange, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def compared(self) -> int:
        """How many cases were compared: what p values are corrected for."""
        return sum(case.finding.compared for case in self.cases)

    def exit_code(self, *, allow_missing: bool = False) -> int:
        """0: nothing is worse; 1: a case is worse, or its B is invalid; 4: none is, and not all could be compared."""
        findings = {case.finding for case in self.cases}
        if findings & {Finding.WORSE, Finding.INVALID}:
            return 1
        missing = bool(findings & {Finding.ONLY_A, Finding.ONLY_B}) and not allow_missing
        return 4 if missing or Finding.NOT_COMPARED in findings or self.unreadable or not self.compared else 0


@dataclass(frozen=True)
class _Tested:
    """A pair of records between the first pass over all cases and the second, which knows how many there are."""

    a: Record
    b: Record
    pairing: Pairing
    change: Change
    margin: float


def compare_sides(
    a: Side, b: Side, *, tolerance: float | None = None, test_images: Callable[[str], int | None] = lambda dataset: None
) -> Comparison:
    """Compare each case that is on both sides.

    Args:
        tolerance: in points, what counts as no change; None: as each case of B says (`tolerance_points`), else 0.5.
        test_images: how many test images the data set of a name has, or None where that is not known; asked where a case needs more
            images to be told. To ask the data sets themselves takes torch, which a comparison need not import.

    Raises:
        InputError: when the sides hold no record at all.
    """
    if not a.records and not b.records:
        raise InputError(
            f"There is no record on either side: {a.name} and {b.name}. Measure first, or say --measure with --case."
        )
    first = {key: _look(a, b, key, tolerance) for key in _keys(a, b)}
    tested = {key: one for key, one in first.items() if isinstance(one, _Tested)}
    p_values = holm([one.change.p_value() for one in tested.values()])
    p_within = holm([one.change.p_within(one.margin) for one in tested.values()])
    judged = {
        key: _judge(key, one, p, within, len(tested), test_images)
        for (key, one), p, within in zip(tested.items(), p_values, p_within, strict=True)
    }
    cases = tuple(judged[key] if isinstance(one, _Tested) else one for key, one in first.items())
    return Comparison(a=a.name, b=b.name, cases=cases, unreadable=(*a.unreadable, *b.unreadable))


def _keys(a: Side, b: Side) -> list[Key]:
    return list(dict.fromkeys((*a.records, *a.failures, *b.records, *b.failures)))


def _look(a: Side, b: Side, key: Key, tolerance: float | None) -> CaseChange | _Tested:
    one, other = a.records.get(key), b.records.get(key)
    engine = _engines(one, other) if one and other else key[1]
    if other and (fault := _fault(other)):  # first: it is so whatever A is, and whether or not A has the case
        return CaseChange(case=key[0], engine=engine, finding=Finding.INVALID, words=f"B is invalid: {fault}")
    if one is None or other is None:
        return _one_sided(a, b, key)
    if fault := _fault(one):
        return CaseChange(case=key[0], engine=engine, finding=Finding.NOT_COMPARED, words=f"A is invalid: {fault}")
    try:
        pairing = pair(one, other)
    except InputError as error:
        return CaseChange(case=key[0], engine=engine, finding=Finding.NOT_COMPARED, words=str(error))
    change = change_of(pairing.a, pairing.b, same_images=pairing.same_images, same_seeds=pairing.same_seeds)
    declared = other.case.thresholds.tolerance_points
    points = tolerance if tolerance is not None else declared if declared is not None else TOLERANCE
    return _Tested(one, other, pairing, change, points / 100)


def _engines(a: Record, b: Record) -> str:
    return a.engine if a.engine == b.engine else f"{a.engine} -> {b.engine}"


def _fault(record: Record) -> str | None:
    """Why the record is invalid, or None."""
    verdict = decide(record, None)
    return verdict.reason if verdict.status is Status.INVALID else None


def _one_sided(a: Side, b: Side, key: Key) -> CaseChange:
    reasons = [f"{side.name}: {side.failures[key]}" for side in (a, b) if key in side.failures and key not in side.records]
    here, there, only = (a, b, Finding.ONLY_A) if key in a.records else (b, a, Finding.ONLY_B)
    record = here.records.get(key)
    loss = record.measured.loss.estimate if record else None
    return CaseChange(
        case=key[0],
        engine=key[1],
        finding=Finding.NOT_COMPARED if reasons else only,
        words="; ".join(reasons) or f"{here.name} has it, {there.name} has not",
        loss_a=loss if here is a else None,
        loss_b=loss if here is b else None,
    )


def _judge(
    key: Key, tested: _Tested, p: float, p_within: float, cases: int, test_images: Callable[[str], int | None]
) -> CaseChange:
    a, b, pairing, change = tested.a, tested.b, tested.pairing, tested.change
    finding = _finding(pairing, change, p, p_within)
    open_ = finding is Finding.NOT_SIGNIFICANT
    there = test_images(b.case.dataset) if open_ else None
    find = to_find(change, cases, there or MOST_IMAGES) if open_ and change.estimate else None
    rule_out = to_rule_out(change, tested.margin, cases, there or MOST_IMAGES) if open_ else None
    return CaseChange(
        case=key[0],
        engine=_engines(a, b),
        finding=finding,
        words=_words(finding, tested, p, cases, find, rule_out, there),
        images=change.images,
        seeds=change.seeds,
        loss_a=a.measured.loss.estimate,
        loss_b=b.measured.loss.estimate,
        change=change.interval(),
        p=change.p_value(),
        p_holm=p,
        tolerance=100 * tested.margin,
        logit_error_a=a.measured.logit_error,
        logit_error_b=b.measured.logit_error,
        to_find=find,
        to_rule_out=rule_out,
        test=pairing.test,
        notes=pairing.notes,
        versions=_versions(a, b),
        same_record=a == b,
        timing=compare_times(a, b),
    )


def _versions(a: Record, b: Record) -> tuple[str, ...]:
    here, there = (
        {**record.provenance.versions, "kernel": record.provenance.machine.get("kernel", "unknown")} for record in (a, b)
    )
    return tuple(
        f"{name} {here.get(name, 'unknown')} in A, {there.get(name, 'unknown')} in B"
        for name in dict.fromkeys((*here, *there))
        if here.get(name) != there.get(name)
    )


def _finding(pairing: Pairing, change: Change, p: float, p_within: float) -> Finding:
    if pairing.identical:
        return Finding.IDENTICAL
    if p <= LEVEL:
        return Finding.WORSE if change.estimate > 0 else Finding.BETTER
    return Finding.NO_CHANGE if p_within <= LEVEL else Finding.NOT_SIGNIFICANT


def _words(
    finding: Finding, tested: _Tested, p: float, cases: int, find: Need | None, rule_out: Need | None, there: int | None
) -> str:
    change, points = tested.change, 100 * tested.change.estimate
    size = f"{_count(change.images, 'image')} x {_count(change.seeds, 'seed')}"
    corrected = f"p = {p:.2g}" + (f", corrected for {cases} cases" if cases > 1 else "")
    alone = "; one seed, so these devices alone" if change.seeds == 1 else ""
    if finding is Finding.IDENTICAL:
        if tested.a == tested.b:
            return "the same record on both sides: nothing was measured in between"
        return f"every answer and every batch's logit error of {size}"
    errors = f"logit error {tested.a.measured.logit_error:.3g} -> {tested.b.measured.logit_error:.3g}"
    answers = f"; every answer is the same, {errors}" if tested.pairing.same_answers else ""
    if finding is Finding.NO_CHANGE:
        return f"within {100 * tested.margin:g} points on {size}{answers}{alone}"
    if finding is not Finding.NOT_SIGNIFICANT:
        return f"by {abs(points):.2f} points on {size} ({corrected}){alone}"
    return f"{points:+.2f} points on {size} ({corrected}){answers}{alone}{_plan(tested, find, rule_out, there)}"


def _plan(tested: _Tested, find: Need | None, rule_out: Need | None, there: int | None) -> str:
    change = tested.change
    most = f"the {there:,} test images of {tested.b.case.dataset}" if there else f"{MOST_IMAGES:,} images"
    said = []
    if find is not None:
        said.append(f"{_enough(find, change, most)} would find a change of {100 * abs(change.estimate):.2f} points")
    if abs(change.estimate) < tested.margin and rule_out is not None:
        said.append(f"{_enough(rule_out, change, most)} would show that it is within {100 * tested.margin:g}")
    return f"; {' and '.join(said)} (power {POWER:.0%})" if said else ""


def _enough(need: Need, change: Change, most: str) -> str:
    """Images where they help, seeds where they do not: the spread between devices is not made smaller by images."""
    images = None if need.images is None else _count(need.images, "image")
    seeds = None if need.seeds is None else _count(need.seeds, "seed")
    if images and seeds:
        return f"{images} (or {seeds})"
    if images:
        return images
    if change.seeds == 1:  # then more seeds were not tried
        return f"only more than {most}"
    return f"{seeds}, not more images," if seeds else "neither more images nor up to 1,000 seeds"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def summary(comparison: Comparison) -> Sequence[tuple[Finding, int]]:
    """How many cases have each finding, those that need a look first."""
    return [(finding, n) for finding in Finding if (n := sum(case.finding is finding for case in comparison.cases))]
