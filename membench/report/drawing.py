"""What the figures of a report share: the axis of the loss, lines that can be told apart without colour, SVG as equal bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Literal, NamedTuple

from membench.storage import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IDEAL_LABEL = "1 point"
SPAN = 10.0  # points: a larger loss makes the axis logarithmic beyond 1 point, so that 0.1 and 80 can both be read
_TICKS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100)


Dashes = Literal["-", "--", "-.", ":"]


class Style(NamedTuple):
    """Of a line: by colour (of different lightness), marker and dashes."""

    colour: str
    marker: str
    dashes: Dashes


_COLOURS = ("#000000", "#d55e00", "#0072b2", "#7a1f6b", "#8a8a00", "#777777")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")


def style(index: int) -> Style:
    """The style of the line `index`."""
    return Style(_COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)], _DASHES[index % len(_DASHES)])


def is_wide(bounds: Iterable[float]) -> bool:
    """Whether the axis of the loss is to be logarithmic beyond 1 point: where a bound is larger than SPAN points."""
    return max((abs(bound) for bound in bounds), default=0.0) > SPAN


def loss_label(wide: bool) -> str:
    return "loss, points" + ("\n(linear within ±1, logarithmic beyond)" if wide else "")


def wrapped(label: str, width: int) -> str:
    """A label on as many lines as it needs."""
    return "\n".join(fill(line, width) for line in label.split("\n"))


def loss_axis(axes: Axes, bounds: Sequence[float], *, along: str = "y") -> None:
    """Scale and ticks of the loss, the same for all panels that are given the same bounds; lines at 0 and at 1 point."""
    lowest, highest = min(0.0, *bounds), max(1.0, *bounds)
    axis, limits = (axes.yaxis, axes.set_ylim) if along == "y" else (axes.xaxis, axes.set_xlim)
    (axes.axhline if along == "y" else axes.axvline)(0, color="black", linewidth=0.9, linestyle=":", zorder=0.5)
    (axes.axhline if along == "y" else axes.axvline)(1, color="0.7", linewidth=0.9, linestyle="-", zorder=0.4)
    if not is_wide(bounds):
        edge = 0.06 * (highest - lowest)
        limits(lowest - edge, highest + edge)
        return
    (axes.set_yscale if along == "y" else axes.set_xscale)("symlog", linthresh=1.0, linscale=0.7)
    low, high = (1.3 * lowest if lowest < -1 else lowest - 0.25), 1.3 * highest
    limits(low, high)
    ticks = loss_ticks(low, high)
    axis.set_ticks(ticks, [str(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def loss_ticks(low: float, high: float) -> list[int]:
    """Where the logarithmic axis of the loss is labelled, in points."""
    return [tick for tick in _TICKS if low <= tick <= high]


def short(loss: float) -> str:
    """A loss as a cell of a heat map: as many digits as can be read there."""
    text = f"{loss:.1f}" if abs(loss) < 9.95 else f"{loss:.0f}"
    return text.removeprefix("-") if float(text) == 0 else text


def svg(figure: Figure) -> bytes:
    """The figure as SVG: the same bytes each time, its text as outlines, so that it looks the same everywhere."""
    import matplotlib as mpl

    held = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "membench", "svg.fonttype": "path"}):
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return held.getvalue()


def write_picture(figure: Figure, file: Path) -> Path:
    """Write a figure in the format that the name of `file` ends in, at 150 dots an inch.

    Raises:
        EnvironmentProblemError: when it cannot be written; an older file is then untouched.
    """
    held = io.BytesIO()
    figure.savefig(held, dpi=150, format=file.suffix[1:])
    return write_atomically(file, held.getvalue())
