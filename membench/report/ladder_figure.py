"""One figure of an explanation: what accuracy each step leaves, and how clean each layer's output is."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from membench.errors import InputError
from membench.explanation import Explanation, Step, measured_on
from membench.report.drawing import write_picture
from membench.report.explained import interval
from membench.storage import check_writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
_ROW = 0.5  # height of a step or layer, in inches


def check_file(file: Path) -> None:
    """Raise InputError where a figure cannot be written there: better known before anything is measured."""
    if file.suffix not in FORMATS:
        raise InputError(f"The figure {file} ends in {file.suffix!r}; allowed: {', '.join(FORMATS)}.")
    if not file.parent.is_dir():
        raise InputError(f"The figure {file} cannot be written: there is no folder {file.parent}.")
    if file.is_dir():
        raise InputError(f"The figure {file} cannot be written: it is a folder. Name a file.")
    check_writable(file.parent, "--figure")


def write_figure(explanation: Explanation, file: Path) -> Path:
    """Draw an explanation to a file of the format that its name ends in; return its path.

    Raises:
        InputError: when the format is unknown, or there is no such folder.
        EnvironmentProblemError: when the file cannot be written.
    """
    check_file(file)
    return write_picture(draw(explanation), file)


def draw(explanation: Explanation) -> Figure:
    """The ladder on the left, the layers on the right where there are any. It needs no colour to be read."""
    from matplotlib.figure import Figure

    rows = max(len(explanation.steps) + 1, len(explanation.layers))
    size = (12.6 if explanation.layers else 6.6, 1.1 + _ROW * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, 2 if explanation.layers else 1, squeeze=False)[0]
    _ladder(panels[0], explanation)
    if explanation.layers:
        _layers(panels[1], explanation)
    return figure


def _ladder(panel: Axes, explanation: Explanation) -> None:
    """Accuracy from top to bottom; a bar spans what a step changes, a line the interval of the accuracy."""
    digital = before = 100 * explanation.digital_accuracy
    culprit = explanation.culprit.step if explanation.culprit else ""
    panel.axvline(digital, color="black", linewidth=0.8, linestyle=":")
    panel.plot([digital], [0], "kD", markersize=6)
    for row, step in enumerate(explanation.steps, start=1):
        now, loss = 100 * step.accuracy, step.loss
        shade = "0.55" if step.name == culprit else "0.85"
        panel.barh(row, now - before, left=before, height=0.5, color=shade, edgecolor="black", linewidth=0.6)
        panel.plot([digital - loss.high, digital - loss.low], [row, row], "k-", linewidth=1.2)
        panel.plot([now], [row], "ko", markersize=5)
        before = now
    names = ["digital", *(step.name for step in explanation.steps)]
    _rows(panel, ["digital", *map(_label, explanation.steps)], bold=[name == culprit for name in names])
    accuracies = [explanation.digital_accuracy, *(step.accuracy for step in explanation.steps)]
    _written_right(panel, "accuracy", [f"{100 * accuracy:.2f} %" for accuracy in accuracies])
    panel.margins(x=0.06)
    panel.set_xlabel("accuracy, %   (bar: change by this step, line: 95 % interval, dotted: digital)", fontsize=8)
    panel.set_title(f"{explanation.case}, {measured_on(explanation.images, explanation.seeds)}", fontsize=10)


def _label(step: Step) -> str:
    return fill(
        step.what if step.name in step.what else f"{step.name}: {step.what}",
        38,
        max_lines=3,
        placeholder=" ...",
        break_long_words=False,
    )


def _layers(panel: Axes, explanation: Explanation) -> None:
    """Signal-to-noise ratio of each layer, on its own and as it happens; on the right what its protection wins back."""
    layers = explanation.layers
    finite = [snr for layer in layers for snr in (layer.snr_db_alone, layer.snr_db_arriving) if math.isfinite(snr)]
    lowest, highest = min([0.0, *finite]), max([10.0, *finite])
    beyond = highest + 0.1 * (highest - lowest)  # where a layer without any error is drawn

    def place(snr: float) -> float:
        return snr if math.isfinite(snr) else (beyond if snr > 0 else lowest)

    for row, layer in enumerate(layers):
        alone, arriving = place(layer.snr_db_alone), place(layer.snr_db_arriving)
        panel.plot([alone, arriving], [row, row], color="0.6", linewidth=1.5, zorder=1)
        panel.plot([alone], [row], "ks", markersize=8, markerfacecolor="white", label="" if row else "given the digital input")
        panel.plot([arriving], [row], "ko", markersize=5, label="" if row else "given what arrives")
    if any(place(snr) == beyond for layer in layers for snr in (layer.snr_db_alone, layer.snr_db_arriving)):
        panel.axvline(beyond, color="black", linewidth=0.8, linestyle=":")
        panel.text(beyond, len(layers) - 0.45, "exact ", va="bottom", ha="right", fontsize=8)
    _rows(
        panel,
        [f"{layer.name}\n{layer.kind}" for layer in layers],
        bold=[layer.name == explanation.most_valuable for layer in layers],
    )
    if explanation.culprit is None or explanation.culprit.by == "loss":
        _written_right(panel, "wins back if left\ndigital, points", [interval(layer.protected_gain) for layer in layers])
    else:
        _written_right(panel, "logit error if\nleft digital", [f"{layer.protected_logit_error:.2g}" for layer in layers])
    edge = 0.05 * (beyond - lowest)
    panel.set_xlim(lowest - edge, beyond + edge)
    panel.set_xlabel("signal-to-noise ratio of the layer's output, dB", fontsize=8)
    panel.set_title(f"layers, {measured_on(explanation.layer_images, explanation.layer_seeds)}", fontsize=10)
    panel.set_ylim(len(layers) - 0.4, -1.1)  # a row more, for the legend
    panel.legend(fontsize=8, loc="upper center", ncols=2, frameon=False)


def _rows(panel: Axes, labels: list[str], bold: list[bool]) -> None:
    """One row each, from top to bottom."""
    panel.set_yticks(range(len(labels)), labels, fontsize=8)
    for label, strong in zip(panel.get_yticklabels(), bold, strict=True):
        label.set_fontweight("bold" if strong else "normal")
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.tick_params(axis="x", labelsize=8)


def _written_right(panel: Axes, head: str, texts: list[str]) -> None:
    """A number beside each row, outside the panel, under a heading."""
    panel.text(1.01, 1.01, head, transform=panel.transAxes, va="bottom", ha="left", fontsize=8)
    for row, text in enumerate(texts):
        panel.text(1.01, row, text, transform=panel.get_yaxis_transform(), va="center", ha="left", fontsize=8)
