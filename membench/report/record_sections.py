"""What a report says of records that belong to no study: the extremes, the Pareto front, a forest of all losses."""

from __future__ import annotations

from membench.report import cost_figures
from membench.report.collected import Collected
from membench.report.document import Grid, Picture, Section
from membench.report.drawing import svg
from membench.report.explained import interval
from membench.report.study_sections import LOSS
from membench.report.tidy import quantities
from membench.words import counted


def answer(collected: Collected) -> Section:
    """How many cases, the largest and the smallest loss, and who is on the Pareto front."""
    records = collected.records
    cases = counted(len({(record.case.name, record.engine) for record in records}), "case")
    loss = {cost_figures.record_label(record, records): record.measured.loss for record in records}
    worst = max(records, key=lambda record: record.measured.loss.estimate)
    best = min(records, key=lambda record: record.measured.loss.estimate)
    sentences = [f"{cases}, {counted(len(records), 'record')}."]
    if len(loss) > 1:
        for word, record in (("largest", worst), ("smallest", best)):
            name = cost_figures.record_label(record, records)
            sentences.append(f"The {word} loss is {interval(record.measured.loss)} points, of {name}.")
    else:
        sentences.append(f"The loss of {cost_figures.record_label(worst, records)} is {interval(worst.measured.loss)} points.")
    threads = cost_figures.threads_said(records)
    points = []
    for group, members in cost_figures.groups(records).items():
        spots = cost_figures.record_spots(members, records)
        front = "; ".join(
            f"{spots[i].label} ({1e3 * spots[i].seconds:.3g} ms, {interval(spots[i].loss)} points)"
            for i in cost_figures.front_of(spots)
        )
        points.append(f"On the Pareto front of simulated time an image ({threads}) and loss, {group}: {front}.")
    return Section("The answer", "answer", sentences=tuple(sentences), points=tuple(points), after=(LOSS,))


def sections(collected: Collected) -> list[Section]:
    """The forest with its table, and loss against time."""
    records = collected.records
    threads = cost_figures.threads_said(records)
    spots = {name: cost_figures.record_spots(some, records) for name, some in cost_figures.groups(records).items()}
    figure = cost_figures.against_time("Loss against simulated time", spots, threads, label_all=False)
    forest = Picture(
        "losses", "Loss of each record in points, the largest on top; line: 95 % interval.", svg(cost_figures.forest(records))
    )
    time = Picture(
        "losses-time",
        f"Loss in points against simulated time an image in ms, on {threads}; filled and named: the Pareto front.",
        svg(figure),
    )
    return [
        Section("Losses", "losses", pictures=(forest,), grids=(_table(collected, threads),)),
        Section("Loss against time", "losses-time", pictures=(time,)),
    ]


def _table(collected: Collected, threads: str) -> Grid:
    rows = []
    for record in collected.records:
        row = quantities(record)
        voltage = row["max_input_voltage"]
        rows.append(
            (
                cost_figures.record_label(record, collected.records),
                f"{row['images']:,} x {row['seeds']}",
                row["tile"],
                "none" if row["adc_bits"] is None else str(row["adc_bits"]),
                "none" if voltage is None else f"{voltage:g}",
                f"{100 * row['digital_accuracy']:.2f}",
                interval(record.measured.loss),
                f"{row['logit_error']:.2g}",
                f"{1e3 * row['seconds_per_image']:.3g}",
            )
        )
    head = (
        "case",
        "images x seeds",
        "tile",
        "ADC, bit",
        "MIV, V",
        "digital accuracy, %",
        "loss, points [95 %]",
        "logit error",
        f"ms an image ({threads})",
    )
    return Grid(head, tuple(rows))
