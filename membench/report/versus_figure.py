"""One figure of a comparison of engines: what each loses, and what each of its layers does."""

from __future__ import annotations

from pathlib import Path

from membench.comparison import Comparison
from membench.explanation import measured_on
from membench.report.drawing import is_wide, loss_axis, loss_label, style, write_picture
from membench.report.ladder_figure import check_file
from membench.words import counted

_ROW = 0.45  # height of an engine, in inches


def write_figure(comparison: Comparison, file: Path) -> Path:
    """Draw a comparison to a file of the format that its name ends in; return its path.

    Raises:
        InputError: when the format is unknown, or there is no such folder.
        EnvironmentProblemError: when the file cannot be written.
    """
    from matplotlib.figure import Figure

    check_file(file)
    able = [(one.engine, one.measured) for one in comparison.contenders if one.measured is not None]
    figure = Figure(figsize=(12.0, 2.6 + _ROW * len(able)), layout="constrained")
    left, right = figure.subplots(1, 2)
    bounds = [bound for _, measured in able for bound in (measured.loss.low, measured.loss.high)]
    for row, (_, measured) in enumerate(able):
        loss = measured.loss
        left.plot([loss.low, loss.high], [row, row], "k-", linewidth=1.2)
        left.plot([loss.estimate], [row], "ko", markersize=5)
        text = f" {100 * measured.accuracy:.2f} %, {measured.ratio:.3g} x digital"
        left.text(1.01, row, text, transform=left.get_yaxis_transform(), va="center", fontsize=8)
    left.set_yticks(range(len(able)), [name for name, _ in able])
    left.set_ylim(len(able) - 0.5, -0.5)
    loss_axis(left, bounds, along="x")
    left.set_xlabel(loss_label(is_wide(bounds)))
    left.set_title(f"{comparison.case}, {measured_on(comparison.images, comparison.seeds)}", fontsize=10)
    for index, (name, measured) in enumerate(able):
        drawn, places = style(index), range(len(measured.layers))
        alone = [max(layer.alone, 1e-8) for layer in measured.layers]
        right.semilogy(
            places,
            alone,
            color=drawn.colour,
            marker=drawn.marker,
            markersize=12 - 2.5 * min(index, 3),  # lines that agree lie upon each other
            markerfacecolor="none",
            linestyle=drawn.dashes,
            label=name,
        )
    names = [layer.name for layer in able[0][1].layers]
    right.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    right.set_ylabel("error of the output, relative")
    right.set_title(f"each layer, given the digital input, {counted(comparison.layer_images, 'image')}", fontsize=10)
    right.legend(fontsize=8)
    return write_picture(figure, file)
