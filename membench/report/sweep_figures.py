"""A sweep as a figure: curves with their intervals, or a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from membench.report.collected import Collected
from membench.report.drawing import IDEAL_LABEL, Style, is_wide, loss_axis, loss_label, loss_ticks, short, style, wrapped
from membench.report.tidy import said
from membench.statistics import Interval
from membench.study import Knob, SweepInfo, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = 3.3  # width and height of a panel, in inches
_MOST = 3  # panels side by side
_ROOM = 0.06  # of the axis: labels of ticks that are nearer than this are left out

Losses = dict[tuple[str, tuple[Value, ...]], Interval]


def losses_of(sweep: SweepInfo, collected: Collected) -> Losses:
    """The loss of each point that is there, by base and the knobs' values."""
    names = [knob.name for knob in sweep.knobs]
    return {
        (point.base, tuple(point.settings[name] for name in names)): record.measured.loss
        for point, record in collected.placed(sweep)
    }


def curves(sweep: SweepInfo, collected: Collected) -> Figure:
    """Loss against the first knob, a line a base, a panel for each value of the second knob."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    assert collected.study is not None
    found, first = losses_of(sweep, collected), sweep.knobs[0]
    others: tuple[tuple[Value, ...], ...] = ((),) if len(sweep.knobs) == 1 else tuple((v,) for v in sweep.knobs[1].values)
    bounds = [bound for loss in found.values() for bound in (loss.low, loss.high)]
    figure, drawn = panels(len(others), title=sweep.title, lonely=5.6)
    styles = {base: style(i) for i, base in enumerate(collected.study.bases)}
    for axes, other in zip(drawn, others, strict=True):
        for base, look in styles.items():
            of = {value: found[base, (value, *other)] for value in first.values if (base, (value, *other)) in found}
            _line(axes, first, of, look)
        loss_axis(axes, bounds)
        _knob_axis(axes, first)
        if other:
            axes.set_title(wrapped(f"{sweep.knobs[1].label}: {said(other[0])}", 40), fontsize=9)
    name_axes(drawn, first.label, loss_label(is_wide(bounds)))
    present = {base for base, _ in found}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dashes, markersize=5, label=base)
        for base, look in styles.items()
        if base in present
    ]
    handles += [Patch(color="0.8", label="95 % interval"), Line2D([], [], color="0.7", linewidth=0.9, label=IDEAL_LABEL)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5), fontsize=8, frameon=False)
    return figure


def heat_map(sweep: SweepInfo, collected: Collected) -> Figure:
    """The loss of each pair of settings, a panel a base: the first knob along, the second upwards."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.colors import Normalize, SymLogNorm

    assert collected.study is not None
    found, (first, second) = losses_of(sweep, collected), sweep.knobs
    estimates = [loss.estimate for loss in found.values()]
    lowest, highest = min(0.0, *estimates), max(1.0, *estimates)
    wide = is_wide(estimates)
    norm = SymLogNorm(1.0, linscale=0.7, vmin=lowest, vmax=highest) if wide else Normalize(lowest, highest)
    colours = mpl.colormaps["cividis_r"].with_extremes(bad="white")
    bases = collected.study.bases
    figure, drawn = panels(len(bases), title=sweep.title, lonely=4.2)
    for axes, base in zip(drawn, bases, strict=True):
        grid = np.full((len(second.values), len(first.values)), np.nan)
        for row, upwards in enumerate(second.values):
            for column, along in enumerate(first.values):
                loss = found.get((base, (along, upwards)))
                grid[row, column] = np.nan if loss is None else loss.estimate
                dark = loss is not None and _lightness(colours(norm(loss.estimate))) < 0.5
                text = "-" if loss is None else short(loss.estimate)
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
        places = (range(len(first.values)), range(len(second.values)))
        image = axes.pcolormesh(*places, np.ma.masked_invalid(grid), cmap=colours, norm=norm, edgecolors="white", linewidth=0.8)
        axes.set_xticks(range(len(first.values)), [said(value) for value in first.values], fontsize=8)
        axes.set_yticks(range(len(second.values)), [said(value) for value in second.values], fontsize=8)
        axes.set_title(base, fontsize=9)
    bar = figure.colorbar(image, ax=list(drawn))
    bar.solids.set(rasterized=False, edgecolor="face")  # type: ignore[union-attr] # no pixels in an SVG
    bar.set_label(wrapped(loss_label(wide), 46), fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    if wide:
        ticks = loss_ticks(lowest, highest)
        bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
        bar.ax.yaxis.set_ticks([], minor=True)
    name_axes(drawn, first.label, second.label)
    return figure


def panels(count: int, *, title: str, lonely: float, share_x: bool = True) -> tuple[Figure, Sequence[Axes]]:
    """So many panels with a shared axis of the loss; `lonely` is the width of one that stands alone, in inches."""
    from matplotlib.figure import Figure

    columns = min(count, _MOST)
    rows = -(-count // columns)
    width = lonely if count == 1 else _PANEL * columns
    figure = Figure(figsize=(width + 0.6, _PANEL * rows + 0.9), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=share_x, sharey=True, squeeze=False).flat)
    figure.suptitle(title, fontsize=10)
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count]:
        axes.tick_params(labelsize=8)
    return figure, grid[:count]


def name_axes(drawn: Sequence[Axes], along: str, upwards: str) -> None:
    """Labels below the lowest panels and beside the left ones. (A label of the whole figure would cover the legend.)"""
    columns = min(len(drawn), _MOST)
    for i, axes in enumerate(drawn):
        if i + columns >= len(drawn):
            axes.set_xlabel(wrapped(along, 46), fontsize=8.5)
            axes.tick_params(axis="x", labelbottom=True)
        if i % columns == 0:
            axes.set_ylabel(wrapped(upwards, 46), fontsize=8.5)


def _line(axes: Axes, knob: Knob, losses: dict[Value, Interval], look: Style) -> None:
    """A base's line with its band, broken nowhere: points that are missing are passed over."""
    if not losses:
        return
    places = [_place(knob, value) for value in losses]
    low, high = [loss.low for loss in losses.values()], [loss.high for loss in losses.values()]
    if len(places) == 1:
        axes.plot(places * 2, [low[0], high[0]], color=look.colour, linewidth=3, alpha=0.3)
    axes.fill_between(places, low, high, color=look.colour, alpha=0.14, linewidth=0)
    for edge in (low, high):
        axes.plot(places, edge, color=look.colour, linewidth=0.4, alpha=0.6)
    estimates = [loss.estimate for loss in losses.values()]
    axes.plot(
        places,
        estimates,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        linewidth=1.3,
        markersize=4.5,
        markerfacecolor="white",
    )


def _place(knob: Knob, value: Value) -> float:
    return float(value) if knob.numeric else float(knob.values.index(value))


def _knob_axis(axes: Axes, knob: Knob) -> None:
    """A tick at each value; a label, too, where there is room."""
    import math

    places = [_place(knob, value) for value in knob.values]
    if knob.numeric and knob.log:
        axes.set_xscale("log")
    shown = [math.log10(place) if knob.numeric and knob.log else place for place in places]
    span = (max(shown) - min(shown)) or 1.0
    labels, last = [], -math.inf
    for value, place in zip(knob.values, shown, strict=True):
        far = (place - last) / span >= _ROOM
        labels.append(_tick(value) if far or not knob.numeric else "")
        last = place if far else last
    long = not knob.numeric and sum(len(label) + 2 for label in labels) > 50
    axes.set_xticks(places, labels, fontsize=8, rotation=35 if long else 0, ha="right" if long else "center")
    axes.set_xticks([], minor=True)


def _tick(value: Value) -> str:
    """A number as a power of ten where it is a large or small one."""
    if isinstance(value, str) or 1e-3 <= abs(value) < 1e4 or not value:
        return said(value)
    mantissa, exponent = f"{value:.3e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1" else f"${mantissa} \\times {power}$"


def _lightness(colour: tuple[float, float, float, float]) -> float:
    """0 (black) to 1 (white)."""
    red, green, blue, _ = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue
