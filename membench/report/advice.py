"""What a study's records say in words: which setting to take, and where the loss grows beyond what is called ideal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from membench.report.collected import Collected
from membench.report.explained import interval
from membench.report.tidy import knob_column, said
from membench.statistics import Interval
from membench.study import Knob, Recommendation, SweepInfo, Value

IDEAL = 1.0  # points that a conversion may lose and still be called ideal (arXiv 2407.13410)
COSTS = {
    "adc_energy": "ADC energy an image, relative",
    "max_input_voltage": "maximum input voltage, V",
    "seconds_per_image": "simulated seconds an image",
}
_FEW = 4  # values that a sentence lists by name


@dataclass(frozen=True)
class Choice:
    """A recommended setting.

    Attributes:
        base: label.
        settings: the knobs' labels with their values.
        loss: digital minus converted accuracy, in points.
        cost: of the recommendation's kind.
        kept: whether the upper bound of the loss keeps to the recommendation's at_most. If not, it is the setting of least loss.
        candidates: among how many points it was chosen.
    """

    base: str
    settings: str
    loss: Interval
    cost: float
    kept: bool
    candidates: int


def choose(rows: pd.DataFrame, advice: Recommendation) -> int | None:
    """Position in `rows` of the point that the rule names, or None where no point has such a cost.

    Of those whose loss_high is at most at_most, the one of least cost (of equal ones the one of least loss); where there is
    none, the one of least loss (of equal ones the one of least cost). What is equal in both goes by the declared order.
    """
    known = candidates_of(rows.reset_index(drop=True), advice)
    keeping = known[known["loss_high"] <= advice.at_most]
    candidates, order = (keeping, [advice.cost, "loss"]) if len(keeping) else (known, ["loss", advice.cost])
    return int(candidates.sort_values(order, kind="stable").index[0]) if len(candidates) else None


def candidates_of(rows: pd.DataFrame, advice: Recommendation) -> pd.DataFrame:
    """Those of a sweep's rows that the recommendation looks at, and whose cost is known."""
    kept = rows[rows[advice.cost].notna()]
    for name, value in advice.where.items():
        kept = kept[kept[knob_column(name)].map(said) == said(value)]  # text where another sweep has words under this name
    return kept


def choices(collected: Collected, frame: pd.DataFrame, advice: Recommendation) -> list[Choice | str]:
    """The choice of each base, or why there is none."""
    assert collected.study is not None
    sweep = next(sweep for sweep in collected.study.sweeps if sweep.name == advice.sweep)
    return [_choice(sweep, base, frame, advice) for base in collected.study.bases]


def _choice(sweep: SweepInfo, base: str, frame: pd.DataFrame, advice: Recommendation) -> Choice | str:
    rows = frame[(frame["sweep"] == sweep.name) & (frame["base"] == base)].reset_index(drop=True)
    position = choose(rows, advice)
    if position is None:
        lacking = "no point is measured yet" if rows.empty else f"no measured point has a known {COSTS[advice.cost]}"
        return f"{base}: {lacking}"
    row = rows.iloc[position]
    loss = Interval(estimate=row["loss"], low=row["loss_low"], high=row["loss_high"], seeds=int(row["seeds"]))
    settings = settings_said(sweep, {knob.name: row[knob_column(knob.name)] for knob in sweep.knobs})
    cost = float(row[advice.cost])
    return Choice(base, settings, loss, cost, bool(loss.high <= advice.at_most), len(candidates_of(rows, advice)))


def settings_said(sweep: SweepInfo, settings: Mapping[str, Value]) -> str:
    """The knobs with their values; a label holds its own unit."""
    return "; ".join(f"{knob.label}: {said(settings[knob.name])}" for knob in sweep.knobs)


def choice_said(choice: Choice, advice: Recommendation) -> str:
    """A sentence."""
    setting = f"{choice.base}: {choice.settings}, with a loss of {interval(choice.loss)} points"
    if choice.kept:
        return setting + "."
    return f"{setting}: none of {choice.candidates} settings keeps to {points(advice.at_most)}, and this one loses least."


def points(limit: float) -> str:
    """A limit with its unit."""
    return f"{limit:g} point{'' if limit == 1 else 's'}"


def excess(sweep: SweepInfo, collected: Collected, limit: float = IDEAL) -> list[str]:
    """Where the loss first exceeds `limit` points: a sentence, or one for each value of a curve's second knob."""
    placed = [(point, record.measured.loss) for point, record in collected.placed(sweep)]
    bases = collected.study.bases if collected.study else ()
    if sweep.kind != "curve":
        told = [
            (base, _combinations(sweep, [(point.settings, loss) for point, loss in placed if point.base == base], limit))
            for base in bases
        ]
        return [_joined(told)]
    first = sweep.knobs[0]
    sentences = []
    for fixed in ({},) if len(sweep.knobs) == 1 else tuple({sweep.knobs[1].name: value} for value in sweep.knobs[1].values):
        told = []
        for base in bases:
            of = {
                point.settings[first.name]: loss
                for point, loss in placed
                if point.base == base and all(point.settings[name] == value for name, value in fixed.items())
            }
            told.append((base, along(first, of, limit)))
        head = f"{sweep.knobs[1].label}: {said(next(iter(fixed.values())))}. " if fixed else ""
        sentences.append(head + _joined(told))
    return sentences


def _joined(told: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{base}: {phrase}" for base, phrase in told) + "."


def along(knob: Knob, losses: Mapping[Value, Interval], limit: float = IDEAL) -> str:
    """Where the loss exceeds `limit` points, along the declared order of a knob's values.

    By the estimates; where an interval holds the limit, that is said.
    """
    values = [value for value in knob.values if value in losses]
    if not values:
        return "not measured"
    over = [losses[value].estimate > limit for value in values]
    switches = [i for i in range(1, len(over)) if over[i] != over[i - 1]]
    at_most, more = f"at most {points(limit)}", f"more than {points(limit)}"

    def at(i: int) -> str:
        return f"{said(values[i])} ({interval(losses[values[i]])})"

    if not switches:
        estimates = [losses[value].estimate for value in values]
        extreme, name = (min(estimates), "least") if over[0] else (max(estimates), "most")
        everywhere = "" if len(values) == 1 else " everywhere"
        phrase = f"{more if over[0] else at_most}{everywhere}, {name} at {at(estimates.index(extreme))}"
    elif len(switches) == 1:
        k = switches[0]
        before, after = (more, at_most) if over[0] else (at_most, more)
        phrase = f"{before} up to {at(k - 1)}, {after} from {at(k)} on"
    else:
        lossy = [value for value, beyond in zip(values, over, strict=True) if beyond]
        phrase = f"{more} first at {at(over.index(True))}, and not in order: at {_listed(lossy, len(values))}"
    unsure = [value for value in values if losses[value].low <= limit < losses[value].high]
    if unsure:
        phrase += f" [the interval reaches across {points(limit)} at {_listed(unsure, len(values))}]"
    if missing := len(knob.values) - len(values):
        phrase += f" [{missing} of {len(knob.values)} values not measured]"
    return phrase


def _combinations(sweep: SweepInfo, found: Sequence[tuple[Mapping[str, Value], Interval]], limit: float) -> str:
    """How many settings lose at most `limit` points, and which loses most."""
    if not found:
        return "not measured"
    within = sum(loss.estimate <= limit for _, loss in found)
    settings, worst = max(found, key=lambda pair: pair[1].estimate)
    unsure = sum(loss.low <= limit < loss.high for _, loss in found)
    phrase = (
        f"at most {points(limit)} at {within} of {len(found)} settings, most at "
        f"{' and '.join(said(settings[knob.name]) for knob in sweep.knobs)} ({interval(worst)})"
    )
    return phrase + (f" [the interval reaches across {points(limit)} at {unsure} of {len(found)}]" if unsure else "")


def _listed(values: Sequence[Value], of: int) -> str:
    return ", ".join(map(said, values)) if len(values) <= _FEW else f"{len(values)} of {of} values"


def front(seconds: Sequence[float], losses: Sequence[float]) -> list[int]:
    """Positions of the Pareto front, from the fastest to the slowest.

    A point is on it unless another one is at most as slow and at most as lossy, and better in one of the two.
    """
    pairs = list(zip(seconds, losses, strict=True))

    def dominated(mine: tuple[float, float]) -> bool:
        return any(other[0] <= mine[0] and other[1] <= mine[1] and other != mine for other in pairs)

    return sorted((i for i, pair in enumerate(pairs) if not dominated(pair)), key=lambda i: pairs[i])
