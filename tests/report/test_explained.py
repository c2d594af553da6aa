"""An explanation for people: the tables, the closing sentence and the figure say what was measured, and nothing overlaps."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from membench.errors import MembenchError
from membench.explanation import Culprit, Explanation, LayerBlame, Step
from membench.report.explained import explained, sentence
from membench.report.ladder_figure import draw, write_figure
from membench.statistics import Interval


def points(estimate: float, width: float = 0.5) -> Interval:
    return Interval(estimate=estimate, low=estimate - width, high=estimate + width, seeds=2)


def step(name: str, what: str, loss: float, change: float, **more: Any) -> Step:
    fields: dict[str, Any] = {
        "accuracy": 0.95 - loss / 100,
        "loss": points(loss),
        "change": points(change),
        "logit_error": 0.25,
    }
    return Step(**{"name": name, "what": what, "certain": True, **fields, **more})


def layer(name: str, alone: float, arriving: float, gain: float) -> LayerBlame:
    return LayerBlame(
        name=name, kind="Conv2d", snr_db_alone=alone, snr_db_arriving=arriving, clipped=0.0123, scaled=0.75,
        protected_gain=points(gain), protected_logit_error=0.125,
    )  # fmt: skip


STEPS = (
    step("mapped", "VTEAM, 14 kohm to 50 Mohm, double-column, 90 % of the weights in range, tuned", 0.0, 0.0),
    step("tiles", "64x64 tiles", 0.0, 0.0),
    step("input limit", "MIV 6 V", 0.25, 0.25),
    step("ADC", "4-bit ADC(overflow_rate=0.25)", 4.25, 4.0),
    step(
        "endurance", f"endurance(p_lrs=({', '.join(['0.921'] * 8)}), p_hrs=({', '.join(['0.921'] * 8)}), cycles=10)", 6.0, 1.75
    ),
)
LAYERS = (
    layer("features.0", math.inf, math.inf, 0.0),
    layer("features.3", 40.0, 12.5, 1.5),
    layer("classifier", -3.0, -math.inf, -0.25),
)
WHOLE = Explanation(
    case="small", fingerprint="f" * 64, engine="vectorized", images=200, seeds=(0, 1), layer_images=100, layer_seeds=(0,),
    digital_accuracy=0.95, steps=STEPS, layers=LAYERS, most_valuable="features.3",
    culprit=Culprit(step="ADC", by="loss", before=0.25, after=4.25),
)  # fmt: skip
BY_LOGITS = WHOLE.replace(
    steps=(*STEPS[:-1], step("ADC", "4-bit ADC", 0.1, -4.0)),
    culprit=Culprit(step="ADC", by="logit error", before=0.02, after=0.25),
)
LADDER_ONLY = WHOLE.replace(layers=(), layer_images=0, layer_seeds=(), most_valuable=None, note="No layers here.")
EVERY = pytest.mark.parametrize("explanation", [WHOLE, BY_LOGITS, LADDER_ONLY], ids=["loss", "logits", "ladder only"])


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return line.split()


def test_the_tables_show_what_was_measured() -> None:
    text = explained(WHOLE)
    assert text.startswith("small on engine vectorized: 200 images x 2 seeds")
    assert row(text, "digital") == ["digital", "95.00"]
    assert row(text, "tiles") == [
        "tiles",
        "64x64",
        "tiles",
        "95.00",
        "0.00",
        "[-0.50,",
        "0.50]",
        "0.00",
        "[-0.50,",
        "0.50]",
        "0.25",
    ]
    assert row(text, "ADC")[-7:] == ["4.25", "[3.75,", "4.75]", "4.00", "[3.50,", "4.50]", "0.25"]
    assert row(text, "features.0")[1:6] == ["Conv2d", "inf", "inf", "1.2", "75"]
    assert row(text, "features.3")[1:] == ["Conv2d", "40.0", "12.5", "1.2", "75", "1.50", "[1.00,", "2.00]", "0.12"]
    assert "signals over 100 images x 1 seed, protection over 200 images x 1 seed" in text
    assert text.endswith(sentence(WHOLE))
    assert max(map(len, text.splitlines()[:-1])) <= 150


def test_the_sentence_names_step_and_layer() -> None:
    assert sentence(WHOLE) == (
        "The step that loses most is ADC (0.25 -> 4.25 points), of 6.00 [5.50, 6.50] in all. "
        "Leaving layer features.3 digital would win back most: 1.50 [1.00, 2.00] points."
    )
    assert sentence(BY_LOGITS) == (
        "The loss of 0.10 [-0.40, 0.60] points cannot be told from none; the step that moves the logits most is "
        "ADC (logit error 0.02 -> 0.25). Leaving layer features.3 digital would mend most: the logit error would be 0.12."
    )
    assert sentence(LADDER_ONLY).endswith("of 6.00 [5.50, 6.50] in all. No layers here.")
    assert sentence(WHOLE.replace(culprit=None, layers=())) == "Nothing is lost: the logits are the digital network's."
    uncertain = WHOLE.replace(steps=(*STEPS[:-1], STEPS[-1].replace(loss=points(6.0, 20.0))), layers=())
    assert "these devices lose it; others might not" in sentence(uncertain)


def texts(figure: Figure) -> list[Text]:
    return [found for found in figure.findobj(Text) if found.get_text() and found.get_visible()]


@EVERY
def test_no_text_of_the_figure_overlaps_another_or_is_cut_off(explanation: Explanation) -> None:
    figure = draw(explanation)
    figure.savefig(io.BytesIO())  # the layout settles in two passes
    boxes = [(found.get_text(), found.get_window_extent()) for found in texts(figure)]
    boxes = [(text, box.shrunk(0.98, 0.98)) for text, box in boxes if box.width and figure.bbox.overlaps(box)]
    assert len(boxes) >= 15
    for (first, one), (second, other) in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), f"{first!r} overlaps {second!r}"
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text


def test_the_figure_says_what_was_measured_with_units() -> None:
    said = "\n".join(found.get_text() for found in texts(draw(WHOLE)))
    for words in (
        "small, 200 images x 2 seeds",
        "accuracy, %",
        "dB",
        "points",
        "90.75 %",
        "1.50 [1.00, 2.00]",
        "MIV 6 V",
        "exact",
    ):
        assert words in said
    bold = [found.get_text() for found in texts(draw(WHOLE)) if found.get_fontweight() == "bold"]
    assert bold == ["4-bit ADC(overflow_rate=0.25)", "features.3\nConv2d"]
    assert len(draw(LADDER_ONLY).axes) == 1


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_figure_is_written(tmp_path: Path, suffix: str) -> None:
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert write_figure(WHOLE, tmp_path / f"figure{suffix}").read_bytes().startswith(starts[suffix])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("figure.gif", "ends in '.gif'; allowed: .png"),
        ("no/figure.png", "there is no folder"),
        ("taken.png", "it is a folder"),
    ],
)
def test_a_figure_that_cannot_be_written_is_refused(tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(MembenchError, match=words):
        write_figure(WHOLE, tmp_path / file)
