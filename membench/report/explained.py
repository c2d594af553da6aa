"""An explanation for a terminal: the ladder, the layers, and what they say in a sentence or two."""

from __future__ import annotations

from tabulate import tabulate

from membench.explanation import Explanation, LayerBlame, measured_on
from membench.statistics import Interval

STEP_HEADERS = ("step", "adds", "accuracy %", "loss, points [95 %]", "change, points [95 %]", "logit error")
LAYER_HEADERS = (
    "layer",
    "kind",
    "SNR alone,\ndB",
    "SNR arriving,\ndB",
    "currents\nclipped, %",
    "images\nscaled, %",
    "left digital it wins\nback, points [95 %]",
    "left digital:\nlogit error",
)


def explained(explanation: Explanation) -> str:
    """Both tables, with what they were measured on, and the closing sentences."""
    parts = [
        f"{explanation.case} on engine {explanation.engine}: {measured_on(explanation.images, explanation.seeds)}, "
        "each step with all steps before it",
        _steps(explanation),
    ]
    if explanation.layers:
        parts += [
            f"Layers of the whole case: signals over {measured_on(explanation.layer_images, explanation.layer_seeds)}, "
            f"protection over {measured_on(explanation.images, explanation.layer_seeds)}",
            _layers(explanation),
        ]
    return "\n\n".join([*parts, sentence(explanation)])


def sentence(explanation: Explanation) -> str:
    """What is to blame, and what would help most."""
    found, loss = explanation.culprit, explanation.steps[-1].loss
    if found is None:
        return f"Nothing is lost: the logits are the digital network's. {explanation.note}".rstrip()
    if found.by == "loss":
        others = "" if loss.low > 0 else " (these devices lose it; others might not)"
        said = f"The step that loses most is {found}, of {interval(loss)} in all{others}."
    else:
        said = f"The loss of {interval(loss)} points cannot be told from none; the step that moves the logits most is {found}."
    best = next((layer for layer in explanation.layers if layer.name == explanation.most_valuable), None)
    return " ".join(part for part in (said, _protection(best, found.by) if best else "", explanation.note) if part)


def interval(value: Interval) -> str:
    """An estimate with its bounds."""
    return f"{value.estimate:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _protection(layer: LayerBlame, by: str) -> str:
    if by == "loss":
        return f"Leaving layer {layer.name} digital would win back most: {interval(layer.protected_gain)} points."
    return f"Leaving layer {layer.name} digital would mend most: the logit error would be {layer.protected_logit_error:.2g}."


def _steps(explanation: Explanation) -> str:
    rows = [("digital", "", f"{100 * explanation.digital_accuracy:.2f}", "", "", "")]
    rows += [
        (
            step.name,
            step.what,
            f"{100 * step.accuracy:.2f}",
            interval(step.loss),
            interval(step.change),
            f"{step.logit_error:.2g}",
        )
        for step in explanation.steps
    ]
    return tabulate(
        rows,
        headers=STEP_HEADERS,
        colalign=("left", "left", "right", "right", "right", "right"),
        maxcolwidths=[None, 44, None, None, None, None],
        disable_numparse=True,
    )


def _layers(explanation: Explanation) -> str:
    rows = [
        (
            layer.name,
            layer.kind,
            f"{layer.snr_db_alone:.1f}",
            f"{layer.snr_db_arriving:.1f}",
            f"{100 * layer.clipped:.2g}",
            f"{100 * layer.scaled:.0f}",
            interval(layer.protected_gain),
            f"{layer.protected_logit_error:.2g}",
        )
        for layer in explanation.layers
    ]
    return tabulate(
        rows,
        headers=LAYER_HEADERS,
        colalign=("left", "left", *["right"] * 6),
        disable_numparse=True,
    )
