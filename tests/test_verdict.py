"""The nine verdicts, the order in which they are decided, and what the gate makes of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from records import make_baseline, make_record

from membench import Conversion, DeviceFaults
from membench.errors import DataMissingError, EffectDidNothingError, EnvironmentProblemError, InputError, NotConvertedError
from membench.outcome import Outcome, gate_failures, unaccounted
from membench.verdict import Status, Verdict, decide, failed

BASE: dict[str, Any] = {"images": 100, "batch_size": 20}
FIRST = range  # FIRST(k): the first k images


def judged(now: dict[str, Any], before: dict[str, Any] | None) -> Verdict:
    baseline = None if before is None else make_baseline(make_record(**{**BASE, **before}))
    return decide(make_record(**{**BASE, **now}), baseline)


# id: what the run measured, its baseline, the verdict, words of the reason.
GOLDEN: dict[str, tuple[dict[str, Any], dict[str, Any] | None, Status, str]] = {
    # INVALID
    "NaN predictions": ({"broken": (3, 4)}, {}, Status.INVALID, "2 of 100 converted outputs hold NaN"),
    "NaN predictions of two seeds": ({"broken": (3,), "seeds": (0, 1)}, None, Status.INVALID, "2 of 200 converted outputs"),
    "digital NaN": ({"digital_broken": (3,)}, {}, Status.INVALID, "the digital network's own outputs"),
    "infinite logit error": ({"logit_error": math.inf}, {}, Status.INVALID, "not finite"),
    "NaN logit error": ({"logit_error": math.nan}, {}, Status.INVALID, "not finite"),
    "digital at chance": ({"digital_wrong": range(10, 100)}, {}, Status.INVALID, "at chance (10.0 % on 10 classes)"),
    "digital below chance": ({"digital_wrong": range(5, 100)}, {}, Status.INVALID, "at chance (5.0 % on 10 classes)"),
    "digital at chance of two": (
        {"classes": 2, "digital_wrong": range(50)}, {"classes": 2}, Status.INVALID, "at chance (50.0 % on 2 classes)",
    ),
    "digital just above chance": ({"digital_wrong": range(11, 100)}, None, Status.NO_BASELINE, ""),
    "one class has no chance level": ({"classes": 1, "digital_wrong": range(100)}, None, Status.NO_BASELINE, ""),
    "INVALID before OVER_THRESHOLD": (
        {"broken": range(100), "max_loss_points": 1.0}, None, Status.INVALID, "100 of 100 converted outputs",
    ),
    "INVALID before STALE_BASELINE": ({"broken": (0,)}, {"weights": "b" * 64}, Status.INVALID, "1 of 100"),
    # OVER_THRESHOLD
    "over the threshold": (
        {"wrong": range(11), "max_loss_points": 10.0}, {}, Status.OVER_THRESHOLD, "lost 11.00 points (95 %: ",
    ),
    "at the threshold": ({"wrong": range(10), "max_loss_points": 10.0}, {"wrong": range(10)}, Status.PASS, ""),
    "only what the digital network had right is lost": (
        {"wrong": range(20), "digital_wrong": range(15), "max_loss_points": 5.0},
        {"wrong": range(20), "digital_wrong": range(15)},
        Status.PASS,
        "",
    ),
    "OVER_THRESHOLD before NO_BASELINE": (
        {"wrong": range(11), "max_loss_points": 10.0}, None, Status.OVER_THRESHOLD, "10 are accepted",
    ),
    "OVER_THRESHOLD before STALE_BASELINE": (
        {"wrong": range(11), "max_loss_points": 10.0}, {"weights": "b" * 64}, Status.OVER_THRESHOLD, "",
    ),
    "OVER_THRESHOLD though it is as the baseline": (
        {"wrong": range(11), "max_loss_points": 10.0}, {"wrong": range(11)}, Status.OVER_THRESHOLD, "",
    ),
    # NO_BASELINE
    "no baseline": (
        {}, None, Status.NO_BASELINE, 'membench baseline update small --engine memtorch --reason "..."',
    ),
    # STALE_BASELINE
    "another engine": ({}, {"engine": "vectorized"}, Status.STALE_BASELINE, "measured on engine vectorized"),
    "another conversion": (
        {}, {"conversion": Conversion(retained=0.9)}, Status.STALE_BASELINE, "the case changed since: conversion;",
    ),
    "another effect": (
        {}, {"nonidealities": (DeviceFaults(lrs_proportion=0.1),)}, Status.STALE_BASELINE, "changed since: nonidealities;",
    ),
    "another data set and network": (
        {}, {"dataset": "mnist", "network": "vgg-mnist"}, Status.STALE_BASELINE, "changed since: dataset, network;",
    ),
    "another subset": ({}, {"subset_seed": 1}, Status.STALE_BASELINE, "changed since: subset_seed;"),
    "another batch size": ({}, {"batch_size": 10}, Status.STALE_BASELINE, "changed since: batch_size;"),
    "other weights": ({}, {"weights": "b" * 64}, Status.STALE_BASELINE, "measured with other weights"),
    "more images": ({"images": 120}, {}, Status.STALE_BASELINE, "the baseline has 100 images and seeds (0,), the run 120"),
    "more seeds": ({"seeds": (0, 1)}, {}, Status.STALE_BASELINE, "seeds (0,), the run 100 and (0, 1)"),
    "another seed": ({"seeds": (1,)}, {}, Status.STALE_BASELINE, "seeds (0,), the run 100 and (1,)"),
    "fewer images, no multiple of the batch": (
        {"images": 50}, {}, Status.STALE_BASELINE, "50 images are no multiple of the batch of 20",
    ),
    "other images": ({"image_prefix": "other"}, {}, Status.STALE_BASELINE, "measured on other images"),
    "fewer images, and others": ({"image_prefix": "other", "images": 40}, {}, Status.STALE_BASELINE, "on other images"),
    "another label": ({"relabelled": (7,)}, {}, Status.STALE_BASELINE, "measured on other images"),
    "the digital network has become worse, and so the converted one": (
        {"digital_wrong": range(28), "wrong": range(28)}, {"wrong": (0,)}, Status.STALE_BASELINE,
        "the digital network answers otherwise than in the baseline, with the same weights (100.0 % -> 72.0 % right): its code, or the",
    ),
    "the digital network has become better": (
        {"wrong": range(5)}, {"digital_wrong": range(5), "wrong": range(5)}, Status.STALE_BASELINE, "(95.0 % -> 100.0 % right)",
    ),
    "the digital network gives other wrong answers, as many": (
        {"digital_wrong": range(5)}, {"digital_wrong": range(5, 10)}, Status.STALE_BASELINE, "(95.0 % -> 95.0 % right)",
    ),
    "the digital logits are others": ({"digital_power": 1.001}, {}, Status.STALE_BASELINE, "the digital network answers otherwise"),
    "fewer images, and the digital network answers otherwise on these": (
        {"images": 40, "digital_wrong": range(5)}, {}, Status.STALE_BASELINE, "(100.0 % -> 87.5 % right)",
    ),
    "a weights file that the case names": ({"weights_file": "own.pt"}, {}, Status.STALE_BASELINE, "the case changed since: weights;"),
    "STALE_BASELINE before REGRESSED": ({"wrong": range(50)}, {"weights": "b" * 64}, Status.STALE_BASELINE, ""),
    "a stale reason says what to do": ({}, {"weights": "b" * 64}, Status.STALE_BASELINE, "membench baseline update small"),
    # compared though not all is the same
    "as many images as the baseline, no multiple of the batch": ({"images": 50}, {"images": 50}, Status.PASS, ""),
    "the baseline's last batch is smaller, the run's are whole": ({"images": 40}, {"images": 50}, Status.PASS, ""),
    "the digital logits are rounded otherwise": ({"digital_power": 1 + 5e-5}, {}, Status.PASS, ""),
    "one image of all turned over, as where two classes tie": (
        {"digital_wrong": (3,), "wrong": (3,)}, {}, Status.PASS, "loss +0.00 points",
    ),
    "the digital network differs on images that the run leaves out": (
        {"images": 40, "digital_wrong": ()}, {"digital_wrong": range(40, 60)}, Status.PASS, "loss +0.00 points",
    ),
    "another description": ({"description": "New words."}, {}, Status.PASS, ""),
    "other thresholds": ({"max_loss_points": 7.0}, {"max_loss_points": 90.0}, Status.PASS, ""),
    # REGRESSED
    "lower accuracy": (
        {"wrong": range(20)}, {}, Status.REGRESSED, "loss +20.00 points against the baseline",
    ),
    "larger logit error alone": ({"logit_error": 0.2}, {}, Status.REGRESSED, "logit error 0.1000 -> 0.2000"),
    "larger logit error though accuracy rose": (
        {"logit_error": 0.2}, {"wrong": range(20)}, Status.REGRESSED, "logit error 0.1000 -> 0.2000",
    ),
    "lower accuracy though logit error fell": (
        {"wrong": range(20), "logit_error": 0.01}, {}, Status.REGRESSED, "loss +20.00 points",
    ),
    "logit error just beyond 5 %": ({"logit_error": 0.1051}, {}, Status.REGRESSED, ""),
    "own tolerance of the logit error": ({"logit_error": 0.102, "tolerance_logit_error": 0.01}, {}, Status.REGRESSED, ""),
    "explicit tolerance of 0": ({"wrong": (0,), "tolerance_points": 0.0}, {}, Status.REGRESSED, "(tolerance 0.00)"),
    "beyond an explicit tolerance": ({"wrong": range(3), "tolerance_points": 2.0}, {}, Status.REGRESSED, "(tolerance 2.00)"),
    "one seed of two": (
        {"seeds": (1,), "wrong": range(30)}, {"seeds": (0, 1), "wrong": {0: range(60), 1: ()}}, Status.REGRESSED, "+30.00",
    ),
    "fewer images, worse on these": (
        {"images": 40, "wrong": range(20)}, {"wrong": range(40, 100)}, Status.REGRESSED, "loss +50.00 points",
    ),
    "fewer images, larger logit error on these": (
        {"images": 40, "logit_error": 0.2}, {"logit_error": {0: (0.1, 0.1, 0.9, 0.9, 0.9)}}, Status.REGRESSED, "0.1000 -> 0.2000",
    ),
    # IMPROVED
    "higher accuracy": (
        {}, {"wrong": range(20)}, Status.IMPROVED, "loss -20.00 points against the baseline",
    ),
    "smaller logit error": ({"logit_error": 0.05}, {}, Status.IMPROVED, "update the baseline to hold it"),
    "better by more than an explicit tolerance": (
        {"tolerance_points": 0.5}, {"wrong": (0,)}, Status.IMPROVED, "loss -1.00",
    ),
    # PASS
    "the same": ({}, {}, Status.PASS, "loss +0.00 points"),
    "2 images of 100 are within the interval": ({"wrong": (0, 1)}, {}, Status.PASS, "loss +2.00 points"),
    "within an explicit tolerance": ({"wrong": range(20), "tolerance_points": 20.0}, {}, Status.PASS, "(tolerance 20.00)"),
    "other images wrong, as many": ({"wrong": range(5)}, {"wrong": range(5, 10)}, Status.PASS, "loss +0.00"),
    "logit error within 5 %": ({"logit_error": 0.1049}, {}, Status.PASS, ""),
    "logit error within 5 %, smaller": ({"logit_error": 0.0951}, {}, Status.PASS, ""),
    "logit error within the spread of the baseline's seeds": (
        {"seeds": (0, 1), "logit_error": 0.15}, {"seeds": (0, 1), "logit_error": {0: 0.05, 1: 0.15}}, Status.PASS, "",
    ),
    "no logit error at all": ({"logit_error": 0.0}, {"logit_error": 0.0}, Status.PASS, ""),
    "rounding is no logit error": ({"logit_error": 5e-6}, {"logit_error": 0.0}, Status.PASS, ""),
    "fewer images are compared with the beginning": (
        {"images": 40, "logit_error": 0.1},
        {"wrong": range(40, 100), "logit_error": {0: (0.1, 0.1, 0.9, 0.9, 0.9)}},
        Status.PASS,
        "loss +0.00 points",
    ),
    "fewer seeds are compared with the same seeds": (
        {"seeds": (1,), "logit_error": 0.1},
        {"seeds": (0, 1, 2), "wrong": {0: range(50), 2: range(50)}, "logit_error": {0: 0.9, 1: 0.1, 2: 0.9}},
        Status.PASS,
        "logit error 0.1000 -> 0.1000",
    ),
    "seeds in another order": (
        {"seeds": (1, 0), "wrong": {0: range(50)}, "logit_error": {0: 0.9, 1: 0.1}},
        {"seeds": (0, 1), "wrong": {0: range(50)}, "logit_error": {0: 0.9, 1: 0.1}},
        Status.PASS,
        "loss +0.00 points",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_the_verdict_on(name: str) -> None:
    now, before, status, words = GOLDEN[name]
    verdict = judged(now, before)
    assert verdict.status is status, verdict.reason
    assert words in verdict.reason
    assert len(verdict.reason) > 10
    assert "\n" not in verdict.reason


def test_the_table_knows_every_verdict_that_a_record_can_get() -> None:
    assert {status for _, _, status, _ in GOLDEN.values()} == set(Status) - {Status.SKIPPED, Status.ERROR}


@pytest.mark.parametrize("points", range(0, 101, 1))
def test_a_loss_of_exactly_what_is_accepted_is_accepted(points: int) -> None:
    """7 of 100 images are 7 points: neither the threshold nor a tolerance of 7 may refuse them."""
    assert judged({"wrong": FIRST(points), "max_loss_points": float(points)}, None).status is Status.NO_BASELINE
    assert judged({"wrong": FIRST(points), "tolerance_points": float(points)}, {}).status is Status.PASS


def test_the_tolerance_grows_with_the_spread_between_seeds() -> None:
    """The same mean loss, evenly or unevenly over the seeds: only the first can be told from no change."""
    before = {"seeds": (0, 1, 2)}
    even = {"seeds": (0, 1, 2), "wrong": {0: FIRST(10), 1: FIRST(10), 2: FIRST(10)}}
    uneven = {"seeds": (0, 1, 2), "wrong": {0: FIRST(1), 1: FIRST(4), 2: FIRST(25)}}
    assert judged(even, before).status is Status.REGRESSED
    assert judged(uneven, before).status is Status.PASS


@pytest.mark.parametrize("lost", range(0, 40, 3))
@pytest.mark.parametrize("digital", [0, 1])
def test_a_verdict_speaks_of_what_the_table_shows(lost: int, digital: int) -> None:
    """It said "loss +28.00 points" beside a loss of 0.00 and a baseline of 1.50: it compared accuracies and called them losses.

    One image that the digital network turns over is no other network; then the drop is what changes, not the accuracy.
    """
    before, now = {"wrong": range(2)}, {"wrong": range(lost), "digital_wrong": range(digital)}
    change = make_record(**{**BASE, **now}).measured.loss.estimate - make_record(**{**BASE, **before}).measured.loss.estimate
    assert f"loss {change:+.2f} points against the baseline" in judged(now, before).reason


def test_a_digital_network_that_turns_one_image_over_loses_nothing_by_it() -> None:
    """Accuracies fell by a point each; the drop, which is what the hardware costs, did not."""
    strict = {"tolerance_points": 0.0}
    assert judged({"digital_wrong": (3,), "wrong": (3,), **strict}, {}).status is Status.PASS
    assert judged({"digital_wrong": (3,), **strict}, {}).status is Status.IMPROVED
    assert judged({"wrong": (3,), **strict}, {}).status is Status.REGRESSED


def test_more_images_tell_a_smaller_change() -> None:
    few, many = {"images": 100}, {"images": 2000}
    assert judged({**few, "wrong": FIRST(2)}, few).status is Status.PASS
    assert judged({**many, "wrong": FIRST(40)}, many).status is Status.REGRESSED


# ---- exceptions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "reason", "code"),
    [
        (DataMissingError("no cifar10; get it with: x"), Status.SKIPPED, "no cifar10; get it with: x", 3),
        (EnvironmentProblemError("no memtorch"), Status.ERROR, "EnvironmentProblemError: no memtorch", 3),
        (EffectDidNothingError("drift"), Status.ERROR, "EffectDidNothingError: drift", 1),
        (NotConvertedError("conv1"), Status.ERROR, "NotConvertedError: conv1", 1),
        (InputError("bad"), Status.ERROR, "InputError: bad", 2),
        (InputError("two\nlines\x1b"), Status.ERROR, "InputError: two\nlines\\x1b", 2),
        (ValueError("odd"), Status.ERROR, "ValueError: odd", 1),
        (ValueError("\x1b[2Jodd"), Status.ERROR, "ValueError: \\x1b[2Jodd", 1),
        (MemoryError(), Status.ERROR, "MemoryError: ", 1),
    ],
)
def test_a_run_that_ended_with_an_exception(error: Exception, status: Status, reason: str, code: int) -> None:
    assert failed(error) == Verdict(status, reason, code)
    assert not failed(error).green


def test_an_unexpected_exception_says_where_it_was_raised() -> None:
    try:
        {}["nothing"]
    except KeyError as error:
        reason = failed(error).reason
    assert reason.startswith("KeyError: 'nothing' (at ")
    assert "test_verdict.py:" in reason


# ---- the gate -----------------------------------------------------------------------------------------------------------


def outcome(status: Status, name: str | None = None) -> Outcome:
    return Outcome(name or status.value.lower(), "memtorch", Verdict(status, "for a reason"))


def test_only_pass_and_improved_are_green() -> None:
    assert len(Status) == 9
    assert [status for status in Status if status.green] == [Status.PASS, Status.IMPROVED]
    assert [status for status in Status if Verdict(status, "").green] == [Status.PASS, Status.IMPROVED]


def test_everything_else_keeps_the_gate_closed() -> None:
    outcomes = [outcome(status) for status in Status]
    assert {item.verdict.status for item in gate_failures(outcomes)} == set(Status) - {Status.PASS, Status.IMPROVED}
    assert gate_failures([outcome(Status.PASS), outcome(Status.IMPROVED)]) == []


def test_allowing_skips_allows_nothing_else() -> None:
    outcomes = [outcome(status) for status in Status]
    allowed = {Status.PASS, Status.IMPROVED, Status.SKIPPED}
    assert {item.verdict.status for item in gate_failures(outcomes, allow_skip=True)} == set(Status) - allowed


def test_a_case_of_which_nothing_came_is_an_error() -> None:
    lost = unaccounted(["a", "b", "c"], [outcome(Status.PASS, "b")], "memtorch")
    assert [(item.name, item.engine, item.verdict.status) for item in lost] == [
        ("a", "memtorch", Status.ERROR),
        ("c", "memtorch", Status.ERROR),
    ]
    assert all("declared and gave no record" in item.verdict.reason for item in lost)
    assert len(gate_failures(lost)) == 2


@pytest.mark.parametrize("status", Status)
def test_any_outcome_accounts_for_its_case(status: Status) -> None:
    assert unaccounted(["a"], [outcome(status, "a")], "memtorch") == []
