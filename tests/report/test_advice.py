"""Which setting is recommended, and where the loss exceeds a limit: rules on numbers given by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import write_study

from membench.report.advice import Choice, along, candidates_of, choice_said, choices, choose, excess, front
from membench.report.collected import collect
from membench.report.tidy import table
from membench.statistics import Interval
from membench.study import Knob, Recommendation

ADVICE = Recommendation(what="a setting", sweep="s", cost="adc_energy", at_most=1.0)


def rows(*points: tuple[float | None, float, float]) -> pd.DataFrame:
    """(cost, loss, upper bound of the loss) each."""
    frame = pd.DataFrame(points, columns=["adc_energy", "loss", "loss_high"])
    frame["adc_energy"] = frame["adc_energy"].astype("Int64")
    return frame


@pytest.mark.parametrize(
    ("points", "chosen"),
    [
        ([(8, 0.1, 0.4), (4, 0.5, 0.9), (2, 0.8, 1.2)], 1),  # the cheapest whose upper bound keeps to it, not whose loss does
        ([(8, 0.1, 0.4), (4, 0.5, 1.0)], 1),  # at most: the limit itself will do
        ([(8, 3.0, 4.0), (4, 2.0, 9.0), (2, 2.5, 2.6)], 1),  # none keeps to it: least loss, not least bound or cost
        ([(4, 0.5, 0.9), (4, 0.2, 0.9), (4, 0.2, 0.8)], 1),  # equal cost: least loss; equal loss: declared order
        ([(8, 2.0, 3.0), (4, 2.0, 3.0)], 1),  # none keeps to it, equal loss: least cost
        ([(None, 0.0, 0.1), (4, 0.5, 0.9)], 1),  # no known cost: no candidate
        ([(None, 0.0, 0.1)], None),
        ([], None),
    ],
)
def test_the_rule_of_a_recommendation(points: list[tuple[float | None, float, float]], chosen: int | None) -> None:
    assert choose(rows(*points), ADVICE) == chosen


def test_a_recommendation_looks_only_at_the_points_it_names() -> None:
    frame = rows((2, 0.1, 0.4), (4, 0.5, 0.9), (8, 0.2, 0.3)).assign(scale=["kept", "undone", "undone"])
    assert choose(frame, ADVICE.replace(where={"scale": "undone"})) == 1
    assert choose(frame, ADVICE.replace(where={"scale": "kept"})) == 0
    assert choose(frame[:1], ADVICE.replace(where={"scale": "undone"})) is None


@pytest.mark.parametrize("bits", [[2, 4, 8], [2.0, 4.0, 8.0], ["2", "4", "8"]])
def test_a_value_is_named_as_the_study_declares_it_whatever_the_column_holds(bits: list[object]) -> None:
    """A knob's column is text where another sweep has words under the same name."""
    frame = rows((2, 0.1, 0.4), (4, 0.5, 0.9), (8, 0.2, 0.3)).assign(bits=bits)
    for value in (4, 4.0, "4"):
        assert choose(frame, ADVICE.replace(where={"bits": value})) == 1
        assert len(candidates_of(frame, ADVICE.replace(where={"bits": value}))) == 1


def test_a_study_names_a_setting_for_each_base(tmp_path: Path) -> None:
    info = write_study(tmp_path)
    collected = collect(tmp_path)
    frame = table(collected)
    one, two = choices(collected, frame, info.recommendations[0])
    assert isinstance(one, Choice)
    assert isinstance(two, Choice)
    # of base `one`, 2 bit lose 2 of 100 images, and the upper bound of that is beyond 3 points; 4 bit lose none
    assert (one.settings, one.kept, one.candidates) == ("ADC resolution, bit: 4; ADC range: vector", True, 4)
    assert one.cost == (49 * 8 + 20 * 4) * 16
    assert (two.settings, two.kept, two.loss.estimate) == ("ADC resolution, bit: 4; ADC range: vector", False, 20.0)
    assert "none of 4 settings keeps to 3 points, and this one loses least" in choice_said(two, info.recommendations[0])
    (low, _) = choices(collected, frame, info.recommendations[1])
    assert isinstance(low, Choice)
    assert low.settings == "maximum input voltage, V: 0.5; ADC resolution, bit: 4"
    assert choice_said(low, info.recommendations[1]).startswith(
        "one: maximum input voltage, V: 0.5; ADC resolution, bit: 4, with a loss of 3.00 ["
    )


def test_without_reads_nothing_can_be_recommended_by_energy(tmp_path: Path) -> None:
    info = write_study(tmp_path)
    collected = collect(tmp_path)
    frame = table(collected)
    frame["adc_energy"] = pd.NA
    assert choices(collected, frame, info.recommendations[0])[0] == (
        "one: no measured point has a known ADC energy an image, relative"
    )
    assert choices(collected, frame.iloc[:0], info.recommendations[0])[1] == "two: no point is measured yet"


KNOB = Knob(name="bits", label="bits", values=(2, 3, 4, 5))


def losses(*estimates: float | None, width: float = 0.25) -> dict[int | float | str, Interval]:
    return {
        value: Interval(estimate=loss, low=loss - width, high=loss + width, seeds=1)
        for value, loss in zip(KNOB.values, estimates, strict=True)
        if loss is not None
    }


@pytest.mark.parametrize(
    ("estimates", "words"),
    [
        ((9, 4, 0.5, 0), "more than 1 point up to 3 (4.00 [3.75, 4.25]), at most 1 point from 4 (0.50 [0.25, 0.75]) on"),
        ((0, 0.5, 4, 9), "at most 1 point up to 3 (0.50 [0.25, 0.75]), more than 1 point from 4 (4.00 [3.75, 4.25]) on"),
        ((0, 0.5, 0.25, 0), "at most 1 point everywhere, most at 3 (0.50 [0.25, 0.75])"),
        ((9, 8, 4, 5), "more than 1 point everywhere, least at 4 (4.00 [3.75, 4.25])"),
        ((0, 9, 0, 8), "more than 1 point first at 3 (9.00 [8.75, 9.25]), and not in order: at 3, 5"),
        ((9, 0, 9, 0), "more than 1 point first at 2 (9.00 [8.75, 9.25]), and not in order: at 2, 4"),
        (
            (9, None, None, 0),
            "more than 1 point up to 2 (9.00 [8.75, 9.25]), at most 1 point from 5 (0.00 [-0.25, 0.25]) on "
            "[2 of 4 values not measured]",
        ),
        ((None, None, None, None), "not measured"),
        (
            (None, None, 1, None),  # 1 point is at most 1 point, and the interval holds more
            "at most 1 point, most at 4 (1.00 [0.75, 1.25]) [the interval reaches across 1 point at 4] "
            "[3 of 4 values not measured]",
        ),
        (
            (9, 1.125, 0.875, 0),
            "more than 1 point up to 3 (1.12 [0.88, 1.38]), at most 1 point from 4 (0.88 [0.62, 1.12]) on "
            "[the interval reaches across 1 point at 3, 4]",
        ),
    ],
)
def test_where_the_loss_exceeds_a_point(estimates: tuple[float | None, ...], words: str) -> None:
    assert along(KNOB, losses(*estimates)) == words


def test_an_interval_that_ends_at_the_limit_does_not_reach_across_it() -> None:
    assert "reaches" not in along(KNOB, losses(0.75, 0.75, 0.75, 0.75))
    assert "[the interval reaches across 1 point at 5]" in along(KNOB, losses(0, 0, 0, 1.25))  # it begins at it
    assert "reaches across 1 point at 4 of 4 values" not in along(KNOB, losses(0.75, 0.76, 0.75, 0.75))
    knob = KNOB.replace(values=(2, 3, 4, 5, 6))
    same = {value: Interval(estimate=0.9, low=0.5, high=1.5, seeds=1) for value in knob.values}
    assert "[the interval reaches across 1 point at 5 of 5 values]" in along(knob, same)


def test_a_sentence_for_each_value_of_the_second_knob(tmp_path: Path) -> None:
    info = write_study(tmp_path)
    collected = collect(tmp_path)
    sweeps = {sweep.name: sweep for sweep in info.sweeps}
    vector, calibrated = excess(sweeps["adc"], collected)
    assert vector.startswith("ADC range: vector. one: more than 1 point up to 2 (2.00 [")
    assert calibrated.startswith("ADC range: calibrated. one: ")
    assert "; two: more than 1 point everywhere, least at 4 (20.00 [" in vector
    (told,) = excess(sweeps["miv-bits"], collected)
    assert told.startswith("one: at most 1 point at 1 of 4 settings, most at 0.5 and 2 (5.00 [")
    (told,) = excess(sweeps["tile"], collected)
    assert told.startswith("one: at most 1 point everywhere, most at 8 (0.00 [")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 6)), min_size=1, max_size=25))
def test_no_member_of_the_front_is_dominated_and_every_other_point_is(points: list[tuple[int, int]]) -> None:
    found = front([time for time, _ in points], [loss for _, loss in points])

    def beats(other: tuple[int, int], mine: tuple[int, int]) -> bool:
        no_worse = other[0] <= mine[0] and other[1] <= mine[1]
        return no_worse and (other[0] < mine[0] or other[1] < mine[1])

    assert found
    assert len(set(found)) == len(found)
    for i, mine in enumerate(points):
        assert any(beats(other, mine) for other in points) != (i in found)
    times = [points[i][0] for i in found]
    assert times == sorted(times)
    assert not math.isnan(sum(times))


def test_the_front_of_three() -> None:
    assert front([3.0, 1.0, 2.0, 2.0], [0.0, 5.0, 5.0, 1.0]) == [1, 3, 0]
    assert front([1.0, 1.0], [2.0, 2.0]) == [0, 1]  # equals beat one another in nothing
