"""Loss against what the simulation costs, and the forest of a folder's records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from membench.record import Record
from membench.report.advice import front
from membench.report.collected import Collected
from membench.report.drawing import is_wide, loss_axis, loss_label
from membench.report.explained import interval
from membench.report.sweep_figures import name_axes, panels
from membench.report.tidy import said
from membench.statistics import Interval
from membench.study import SweepInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Where a label may stand, seen from its point: (dx, dy) in points of 1/72 inch.
_AROUND = tuple(
    (dx * far, dy * far)
    for far in (7, 14, 22, 32, 44)
    for dx, dy in ((1, 0.5), (-1, 0.5), (1, -0.5), (-1, -0.5), (0, 1), (0, -1))
)


@dataclass(frozen=True)
class Spot:
    """A point of a figure: time an image in seconds, loss in points."""

    label: str
    seconds: float
    loss: Interval


def changes_time(sweep: SweepInfo, collected: Collected) -> bool:
    """Whether a curve's knob changes the shape of tiles, which is what changes the time of a simulation."""
    shapes = {record.case.conversion.tile_shape for _, record in collected.placed(sweep)}
    return sweep.kind == "curve" and len(shapes) > 1


def threads_said(records: Sequence[Record]) -> str:
    """With how many threads the records were timed."""
    counts = sorted({record.costs.threads for record in records})
    return f"{' or '.join(map(str, counts))} thread{'' if counts == [1] else 's'}"


def sweep_spots(sweep: SweepInfo, collected: Collected, base: str) -> list[Spot]:
    """The points of a base that are there, labelled with the knobs' values."""
    return [
        Spot(
            ", ".join(said(point.settings[knob.name]) for knob in sweep.knobs),
            record.costs.seconds_per_image,
            record.measured.loss,
        )
        for point, record in collected.placed(sweep)
        if point.base == base
    ]


def groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """By network and data set: only within one is time against loss a choice that somebody has."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(f"{record.case.network} on {record.case.dataset}", []).append(record)
    return found


def record_label(record: Record, records: Sequence[Record]) -> str:
    """The case's name, with the engine where there are several."""
    return record.case.name if len({one.engine for one in records}) == 1 else f"{record.case.name} ({record.engine})"


def record_spots(records: Sequence[Record], among: Sequence[Record]) -> list[Spot]:
    return [Spot(record_label(r, among), r.costs.seconds_per_image, r.measured.loss) for r in records]


def front_of(spots: Sequence[Spot]) -> list[int]:
    """Positions of the Pareto front."""
    return front([spot.seconds for spot in spots], [spot.loss.estimate for spot in spots])


def against_time(title: str, spots: dict[str, list[Spot]], threads: str, *, label_all: bool) -> Figure:
    """Loss against simulated time, a panel a group; the Pareto front is a line through filled points."""
    everywhere = [spot for some in spots.values() for spot in some]
    bounds = [bound for spot in everywhere for bound in (spot.loss.low, spot.loss.high)]
    figure, drawn = panels(len(spots), title=title, lonely=5.6, share_x=False)
    labels: list[tuple[Axes, list[Spot], list[int]]] = []
    for axes, (name, some) in zip(drawn, spots.items(), strict=True):
        on_front = front_of(some)
        _spots(axes, some, on_front)
        loss_axis(axes, bounds)
        _time_axis(axes, some)
        axes.set_title(name, fontsize=9)
        labels.append((axes, some, list(range(len(some))) if label_all else on_front))
    name_axes(drawn, f"simulated time an image, ms ({threads})", loss_label(is_wide(bounds)))
    _legend(figure)
    figure.draw_without_rendering()  # the layout settles before labels look for room
    for axes, some, shown in labels:
        _label(axes, [(some[i].label, 1e3 * some[i].seconds, some[i].loss.estimate) for i in shown], some)
    return figure


def _spots(axes: Axes, spots: Sequence[Spot], on_front: Sequence[int]) -> None:
    for i, spot in enumerate(spots):
        time = 1e3 * spot.seconds
        axes.plot([time, time], [spot.loss.low, spot.loss.high], color="0.55", linewidth=1.0, zorder=1)
        face = "black" if i in on_front else "white"
        axes.plot([time], [spot.loss.estimate], marker="o", markersize=5, color="black", markerfacecolor=face, zorder=3)
    line = [spots[i] for i in on_front]
    axes.plot(
        [1e3 * spot.seconds for spot in line],
        [spot.loss.estimate for spot in line],
        color="#d55e00",
        linestyle="--",
        linewidth=1.3,
        zorder=2,
    )


def _time_axis(axes: Axes, spots: Sequence[Spot]) -> None:
    """Logarithmic where the slowest takes more than five times the fastest; with room at both ends for labels."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

    times = [1e3 * spot.seconds for spot in spots]
    low, high = min(times), max(times)
    if high > 5 * low > 0:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.12, high * (high / low) ** 0.12)
        places = [m * 10.0**e for e in range(-6, 9) for m in (1, 2, 5)]
        inside = [place for place in places if low / 1.2 <= place <= high * 1.2]
        axes.xaxis.set_major_locator(FixedLocator(inside if len(inside) <= 7 else inside[::2]))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        edge = 0.15 * (high - low) or 0.2 * high
        axes.set_xlim(low - edge, high + edge)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(labelsize=8)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    dot = {"marker": "o", "color": "black", "linestyle": "none", "markersize": 5}
    handles = [
        Line2D([], [], **dot, label="on the Pareto front"),  # type: ignore[arg-type]
        Line2D([], [], **dot, markerfacecolor="white", label="not on it"),  # type: ignore[arg-type]
        Line2D([], [], color="#d55e00", linestyle="--", linewidth=1.3, label="Pareto front"),
        Line2D([], [], color="0.55", linewidth=1.0, label="95 % interval"),
        Line2D([], [], color="0.7", linewidth=0.9, label="1 point"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, frameon=False)


def _label(axes: Axes, texts: Sequence[tuple[str, float, float]], spots: Sequence[Spot]) -> None:
    """Labels at the first place around their points where they cover no other label and no point."""
    from matplotlib.transforms import Bbox

    points = axes.transData.transform([(1e3 * spot.seconds, spot.loss.estimate) for spot in spots])
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
    for text, x, y in texts:
        best: tuple[int, Annotation, Bbox] | None = None
        for dx, dy in _AROUND:
            note, box = _note(axes, text, x, y, dx, dy)
            clashes = sum(box.overlaps(other) for other in taken) + (not _inside(box, axes.bbox))
            if best is None or clashes < best[0]:
                if best is not None:
                    best[1].remove()
                best = (clashes, note, box)
            else:
                note.remove()
            if not clashes:
                break
        assert best is not None
        taken.append(best[2])


def _note(axes: Axes, text: str, x: float, y: float, dx: float, dy: float) -> tuple[Annotation, Bbox]:
    far = max(abs(dx), abs(dy)) > 10
    note = axes.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        fontsize=7.5,
        ha="left" if dx > 0 else "right" if dx < 0 else "center",
        va="center" if dx else "bottom" if dy > 0 else "top",
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.4", "shrinkA": 0, "shrinkB": 3} if far else None,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3},
        zorder=2.5,  # over the intervals, under the points
    )
    note.set_in_layout(False)  # the panel must stay where it was when the label found its place
    from matplotlib.text import Text

    note.get_window_extent()  # puts the text where it belongs
    return note, Text.get_window_extent(note).padded(1)  # of the words alone, not of the line to the point


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)


def forest(records: Sequence[Record]) -> Figure:
    """The loss of every record with its interval, the largest on top."""
    from matplotlib.figure import Figure

    ordered = sorted(records, key=lambda record: (-record.measured.loss.estimate, record.case.name, record.engine))
    bounds = [bound for record in ordered for bound in (record.measured.loss.low, record.measured.loss.high)]
    figure = Figure(figsize=(8.2, 1.0 + 0.27 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    for row, record in enumerate(ordered):
        loss = record.measured.loss
        axes.plot([loss.low, loss.high], [row, row], color="black", linewidth=1.2)
        axes.plot([loss.estimate], [row], "ko", markersize=4.5)
        axes.text(1.01, row, interval(loss), transform=axes.get_yaxis_transform(), va="center", ha="left", fontsize=8)
    loss_axis(axes, bounds, along="x")
    axes.set_yticks(range(len(ordered)), [record_label(record, ordered) for record in ordered], fontsize=8)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("line: 95 % interval of the " + loss_label(is_wide(bounds)), fontsize=9)
    return figure
