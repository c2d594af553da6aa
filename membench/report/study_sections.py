"""What a report says of a study: the answer, then each sweep."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from membench.report import advice, cost_figures
from membench.report.collected import Collected
from membench.report.document import Grid, Picture, Section
from membench.report.drawing import svg
from membench.report.explained import interval
from membench.report.sweep_figures import Losses, curves, heat_map, losses_of
from membench.report.tidy import said
from membench.study import Knob, Recommendation, SweepInfo, Value
from membench.words import counted

LOSS = "Loss is digital minus converted accuracy on the same images, in percentage points, with its 95 % interval over images and seeds."
MISSING = "not measured"


def answer(collected: Collected, frame: pd.DataFrame) -> Section:
    """The recommended settings, and the tables of the study."""
    study = collected.study
    assert study is not None
    grids = [_recommended(collected, frame, one) for one in study.recommendations]
    points = [
        advice.choice_said(choice, one) if isinstance(choice, advice.Choice) else f"{choice} ({one.what})."
        for one in study.recommendations
        for choice in advice.choices(collected, frame, one)
    ]
    for sweep in study.sweeps:
        if sweep.kind == "table":
            grids.append(_headline(sweep, collected))
    return Section(
        "The answer", "answer", sentences=_opening(collected), points=tuple(points), grids=tuple(grids), after=(LOSS,)
    )


def limits(collected: Collected) -> Section:
    """Where each sweep exceeds what is called ideal."""
    assert collected.study is not None
    points = []
    for sweep in collected.study.sweeps:
        over = f" over {sweep.knobs[0].label}" if sweep.kind == "curve" else ""
        points += [f"{sweep.title}{over}: {sentence}" for sentence in advice.excess(sweep, collected)]
    what = (
        f"By the estimates, with 95 % intervals; {advice.points(advice.IDEAL)} is what a conversion may lose and still be called "
        "ideal. Where an interval reaches across that, more images or seeds could move the place."
    )
    return Section(f"Where the loss exceeds {advice.points(advice.IDEAL)}", "limits", sentences=(what,), points=tuple(points))


def sweeps(collected: Collected) -> list[Section]:
    """A section each, but for tables: they stand in the answer."""
    assert collected.study is not None
    return [_section(sweep, collected) for sweep in collected.study.sweeps if sweep.kind != "table"]


def count_said(collected: Collected) -> str:
    """How many of the cases that the study's points name are there; a case may be several points."""
    there, planned = len(collected.records), len(collected.planned)
    if there == planned:
        return "The one case of the study is measured." if planned == 1 else f"All {planned} cases of the study are measured."
    return f"The study is unfinished: {there} of {counted(planned, 'case is', 'cases are')} measured; the rest is missing here."


def _opening(collected: Collected) -> tuple[str, ...]:
    study = collected.study
    assert study is not None
    digital = []
    for base in study.bases:
        found = [record for sweep in study.sweeps for point, record in collected.placed(sweep) if point.base == base]
        if found:
            most = max(found, key=lambda record: record.case.images)
            accuracy = 100 * most.measured.digital_accuracy
            digital.append(
                f"{base} {accuracy:.2f} % (on {most.case.images:,} {'image' if most.case.images == 1 else 'images'})"
            )
    opening = [count_said(collected)]
    if study.quick:
        opening.append("This is the quick form of the study: few images, seeds and values, so that intervals are wide.")
    if digital:
        opening.append(f"Digital accuracy: {'; '.join(digital)}.")
    for one in study.recommendations:
        opening.append(
            f"Recommended {one.what}: of the settings of the sweep {one.sweep} whose loss stays within {advice.points(one.at_most)} at "
            f"the upper bound of its 95 % interval, the one of least {advice.COSTS[one.cost]}."
        )
    return tuple(opening)


def _recommended(collected: Collected, frame: pd.DataFrame, one: Recommendation) -> Grid:
    rows = []
    for found in advice.choices(collected, frame, one):
        if isinstance(found, str):
            base, _, why = found.partition(": ")
            rows.append((base, why, "", "", ""))
        else:
            kept = "yes" if found.kept else "no setting does: least loss"
            rows.append((found.base, found.settings, interval(found.loss), f"{found.cost:.4g}", kept))
    head = ("base", "recommended", "loss, points [95 %]", advice.COSTS[one.cost], f"within {advice.points(one.at_most)}")
    return Grid(head, tuple(rows), heads=2, caption=f"Recommended: {one.what}")


def _headline(sweep: SweepInfo, collected: Collected) -> Grid:
    """Rows: base and all knobs but the last; columns: the last knob. Of one knob: rows alone."""
    assert collected.study is not None
    found, knobs = losses_of(sweep, collected), sweep.knobs
    along, across = (knobs[:-1], knobs[-1:]) if len(knobs) > 1 else (knobs, ())
    others = _settings(across)
    rows = tuple(
        (base, *map(said, values), *(_cell(found, base, (*values, *other)) for other in others))
        for base in collected.study.bases
        for values in _settings(along)
    )
    labels = (said(other[0]) if other else "loss, points [95 %]" for other in others)
    by = f", by {across[0].label}" if across else ""
    return Grid(
        ("base", *(knob.label for knob in along), *labels),
        rows,
        heads=1 + len(along),
        caption=f"{sweep.title}: loss, points [95 %]{by}",
    )


def _settings(knobs: Sequence[Knob]) -> tuple[tuple[Value, ...], ...]:
    return tuple(itertools.product(*(knob.values for knob in knobs)))


def _section(sweep: SweepInfo, collected: Collected) -> Section:
    pictures, grids = [], []
    if losses_of(sweep, collected):
        if sweep.kind == "curve":
            about = f"{sweep.title}: loss in points against {sweep.knobs[0].label}; shaded: 95 % interval."
            pictures.append(Picture(sweep.name, about, svg(curves(sweep, collected))))
        else:
            about = (
                f"{sweep.title}: loss in points for each {sweep.knobs[0].label} (along) and {sweep.knobs[1].label} (upwards)."
            )
            pictures.append(Picture(sweep.name, about, svg(heat_map(sweep, collected))))
    grids.append(_losses(sweep, collected))
    if cost_figures.changes_time(sweep, collected):
        pictures.append(_against_time(sweep, collected))
        grids.append(_times(sweep, collected))
    there = sum(1 for _ in collected.placed(sweep))
    sentences = () if there == len(sweep.points) else (f"{there} of {len(sweep.points)} points are measured.",)
    return Section(
        sweep.title,
        f"sweep-{sweep.name}",
        sentences=sentences,
        points=tuple(advice.excess(sweep, collected)),
        pictures=tuple(pictures),
        grids=tuple(grids),
    )


def _losses(sweep: SweepInfo, collected: Collected) -> Grid:
    """Rows: the knobs' values; columns: bases."""
    assert collected.study is not None
    found, bases = losses_of(sweep, collected), collected.study.bases
    seconds: tuple[tuple[Value, ...], ...] = tuple((v,) for v in sweep.knobs[1].values) if len(sweep.knobs) > 1 else ((),)
    rows = tuple(
        (*(said(value) for value in (first, *second)), *(_cell(found, base, (first, *second)) for base in bases))
        for second in seconds
        for first in sweep.knobs[0].values
    )
    head = (*(knob.label for knob in sweep.knobs), *bases)
    return Grid(head, rows, heads=len(sweep.knobs), caption="loss, points [95 %]")


def _cell(found: Losses, base: str, values: tuple[Value, ...]) -> str:
    loss = found.get((base, values))
    return MISSING if loss is None else interval(loss)


def _spots(sweep: SweepInfo, collected: Collected) -> dict[str, list[cost_figures.Spot]]:
    assert collected.study is not None
    by_base = {base: cost_figures.sweep_spots(sweep, collected, base) for base in collected.study.bases}
    return {base: spots for base, spots in by_base.items() if spots}


def _against_time(sweep: SweepInfo, collected: Collected) -> Picture:
    threads = cost_figures.threads_said([record for _, record in collected.placed(sweep)])
    figure = cost_figures.against_time(
        f"{sweep.title}: loss against simulated time", _spots(sweep, collected), threads, label_all=True
    )
    about = f"{sweep.title}: loss in points against simulated time an image in ms, on {threads}; filled: the Pareto front."
    return Picture(f"{sweep.name}-time", about, svg(figure))


def _times(sweep: SweepInfo, collected: Collected) -> Grid:
    threads = cost_figures.threads_said([record for _, record in collected.placed(sweep)])
    spots = _spots(sweep, collected)
    labels = list(dict.fromkeys(spot.label for some in spots.values() for spot in some))
    cells: dict[tuple[str, str], str] = {}
    for base, some in spots.items():
        on_front = cost_figures.front_of(some)
        for i, spot in enumerate(some):
            cells[base, spot.label] = f"{1e3 * spot.seconds:.3g}{' (front)' if i in on_front else ''}"
    rows = tuple((label, *(cells.get((base, label), MISSING) for base in spots)) for label in labels)
    head = (", ".join(knob.label for knob in sweep.knobs), *spots)
    return Grid(head, rows, caption=f"simulated time an image, ms ({threads}; front: on the Pareto front of time and loss)")
