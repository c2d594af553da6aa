"""What `power` promises is kept: at the images or seeds that it asks for, the change is found about four times in five."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from scipy import stats
from simulated import Losses

from membench.compare.power import Need, chance_to_find, chance_within, to_find, to_rule_out
from membench.compare.significance import Change, Components, change_of

Draw = Callable[[Generator, int, int], Losses]


def alike(lost: float, won: float) -> tuple[Draw, float, Components]:
    """B's loss less A's where each seed answers alike, with its true mean and components."""

    def draw(rng: Generator, seeds: int, images: int) -> Losses:
        u = rng.random(images)
        return np.tile((u < lost) * 1.0 - (u > 1 - won), (seeds, 1))

    return draw, lost - won, Components(images=lost + won - (lost - won) ** 2, seeds=0.0, scatter=0.0)


def scattered(lost: float, won: float) -> tuple[Draw, float, Components]:
    """The same where every answer is by itself."""

    def draw(rng: Generator, seeds: int, images: int) -> Losses:
        u = rng.random((seeds, images))
        return (u < lost) * 1.0 - (u > 1 - won)

    return draw, lost - won, Components(images=0.0, seeds=0.0, scatter=lost + won - (lost - won) ** 2)


def by_device(lost: float, won: float, spread: float, shared: float) -> tuple[Draw, float, Components]:
    """Each device loses a part of its own, uniform around `lost`; on a part `shared` of the images, all devices lose the same ones."""

    def draw(rng: Generator, seeds: int, images: int) -> Losses:
        of_device = rng.uniform(lost - 3**0.5 * spread, lost + 3**0.5 * spread, (seeds, 1))
        u = np.where(rng.random(images) < shared, rng.random(images), rng.random((seeds, images)))
        return (u < of_device) * 1.0 - (u > 1 - won)

    # Two devices lose a shared image together as often as the smaller of their losses: lost - spread / sqrt(3) on average.
    together = shared * (lost - spread / 3**0.5 + won - (lost - won) ** 2)
    rest = lost + won - (lost - won) ** 2 - together - spread**2
    return draw, lost - won, Components(images=together, seeds=spread**2, scatter=rest)


def planned(effect: float, parts: Components, images: int, seeds: int, cases: int = 1) -> Need:
    """As after a first run of that size which saw the truth."""
    return to_find(Change(effect, effect, 0.0, (), images, seeds, parts), cases)


def found(draw: Draw, images: int, seeds: int, cases: int, runs: int) -> int:
    rng = np.random.default_rng(21)
    zero = np.zeros((seeds, images))
    return sum(change_of(zero, draw(rng, seeds, images)).p_value() <= 0.05 / cases for _ in range(runs))


def about_80_percent(hits: int, runs: int, tolerance: float = 0.03) -> bool:
    """Within the binomial's 99.9 %, and 3 points for the normal distribution in it."""
    low, high = (stats.binom.ppf(q, runs, 0.8 + side) for q, side in ((0.0005, -tolerance), (0.9995, tolerance)))
    return bool(low <= hits <= high)


@pytest.mark.parametrize(
    "model",
    [alike(0.03, 0.01), scattered(0.03, 0.02), by_device(0.08, 0.05, 0.02, 0.5)],
    ids=["alike", "scattered", "devices"],
)
def test_the_parts_in_which_a_change_varies_are_told_apart(model: tuple[Draw, float, Components]) -> None:
    """Few images, so that the scatter of answers, divided by them, is of the size of the spread between devices."""
    draw, _, truth = model
    rng = np.random.default_rng(20)
    zero = np.zeros((4, 300))
    parts = [change_of(zero, draw(rng, 4, 300)).components for _ in range(400)]
    whole = truth.images + truth.seeds + truth.scatter
    for name, within in (("images", 0.03), ("scatter", 0.03), ("seeds", 0.0015)):
        seen = np.mean([getattr(part, name) for part in parts])
        assert seen == pytest.approx(getattr(truth, name), abs=within * whole), name


@pytest.mark.parametrize(
    ("model", "seeds", "cases"),
    [
        (alike(0.012, 0.004), 1, 1),
        (alike(0.012, 0.004), 5, 10),
        (scattered(0.03, 0.02), 5, 1),
        (scattered(0.03, 0.02), 20, 10),
        (by_device(0.08, 0.05, 0.012, 0.5), 8, 1),
    ],
    ids=["one seed", "seeds alike", "scattered", "scattered, 20 seeds", "devices"],
)
def test_the_images_asked_for_find_the_change(model: tuple[Draw, float, Components], seeds: int, cases: int) -> None:
    draw, effect, parts = model
    need = planned(effect, parts, 10, seeds, cases)
    assert need.images is not None
    assert about_80_percent(found(draw, need.images, seeds, cases, 300), 300)


@pytest.mark.parametrize("model", [by_device(0.08, 0.05, 0.04, 0.3), scattered(0.04, 0.02)], ids=["devices", "scattered"])
def test_the_seeds_asked_for_find_the_change(model: tuple[Draw, float, Components]) -> None:
    draw, effect, parts = model
    need = planned(effect, parts, 800, 2, 10)
    assert need.seeds is not None
    assert about_80_percent(found(draw, 800, need.seeds, 10, 300), 300)


@pytest.mark.slow
@pytest.mark.parametrize("cases", [1, 40])
@pytest.mark.parametrize("effect", [0.005, 0.02])
def test_plans_of_many_sizes_are_kept(effect: float, cases: int) -> None:
    models = (alike(effect + 0.02, 0.02), scattered(effect + 0.02, 0.02), by_device(effect + 0.03, 0.03, effect / 5, 0.5))
    for (draw, true, parts), seeds in zip(models, (5, 10, 12), strict=True):
        need = planned(true, parts, 10, seeds, cases)
        assert need.images is not None
        assert about_80_percent(found(draw, need.images, seeds, cases, 400), 400)


def test_it_promises_less_than_it_keeps_where_all_changed_images_are_lost() -> None:
    """The variance then falls with the change seen, which the plan does not know: 80 to 95 %."""
    draw, effect, parts = alike(0.02, 0.0)
    need = planned(effect, parts, 10, 5)
    assert need.images is not None
    assert 0.8 < found(draw, need.images, 5, 1, 500) / 500 < 0.95


def test_half_the_images_do_not_do() -> None:
    draw, effect, parts = alike(0.012, 0.004)
    need = planned(effect, parts, 10, 5)
    assert need.images is not None
    assert found(draw, need.images // 2, 5, 1, 300) / 300 < 0.65


def test_the_spread_of_few_devices_is_not_made_smaller_by_images() -> None:
    """A change of 5 points, with a spread of 5: no number of images makes five devices enough; more devices do."""
    _, effect, parts = by_device(0.10, 0.05, 0.05, 0.3)
    need = planned(effect, parts, 500, 3)
    assert need.images is None
    assert need.seeds is not None
    assert 8 <= need.seeds <= 20


def test_seeds_do_not_help_where_all_answer_alike() -> None:
    _, effect, parts = alike(0.006, 0.004)
    need = planned(effect, parts, 500, 5)
    assert need.seeds is None
    assert need.images is not None


def test_one_seed_says_nothing_about_seeds() -> None:
    assert planned(0.01, Components(0.05, 0.0, 0.0), 500, 1).seeds is None


def test_no_more_images_are_asked_for_than_there_are() -> None:
    """3,954 are enough."""
    few, all_ = (Change(0.01, 0.01, 0.0, (), images, 1, Components(0.05, 0.0, 0.0)) for images in (500, 5000))
    needs = [to_find(few, most=most).images for most in (10_000, 3960, 3950, 500)]
    assert needs == [4000, 3960, None, None]
    assert to_find(all_, most=5000).images is None
    assert to_rule_out(few, 0.02, most=1000).images is None


def test_more_cases_and_smaller_changes_need_more() -> None:
    parts = Components(images=0.02, seeds=0.0, scatter=0.02)
    needs = [planned(effect, parts, 100, 5, cases).images for effect, cases in ((0.02, 1), (0.02, 40), (0.01, 40))]
    assert all(need is not None for need in needs)
    assert needs == sorted(needs, key=lambda need: need or 0)
    assert len(set(needs)) == 3


def test_the_plan_is_for_more_than_there_is() -> None:
    change = change_of(np.zeros((1, 200)), np.array([[1.0] * 4 + [0.0] * 196]))
    need = to_find(change)
    assert need.images is not None
    assert need.images > 200


def test_the_power_is_that_of_the_textbook_for_many_images() -> None:
    """One seed, many images: n = (z(0.975) + z(0.8))^2 variance / effect^2."""
    parts, effect = Components(images=0.3, seeds=0.0, scatter=0.0), 0.01
    n = int((stats.norm.isf(0.025) + stats.norm.isf(0.2)) ** 2 * 0.3 / effect**2)
    assert chance_to_find(effect, parts, n, 1, 0.05) == pytest.approx(0.8, abs=0.002)


def test_the_images_asked_for_rule_the_margin_out() -> None:
    draw, effect, parts = scattered(0.011, 0.01)
    need = to_rule_out(Change(effect, effect, 0.0, (), 10, 5, parts), margin=0.01)
    assert need.images is not None
    rng = np.random.default_rng(22)
    zero = np.zeros((5, need.images))
    hits = sum(change_of(zero, draw(rng, 5, need.images)).p_within(0.01) <= 0.05 for _ in range(300))
    assert about_80_percent(hits, 300)


def test_a_change_beyond_the_margin_cannot_be_ruled_out() -> None:
    parts = Components(images=0.02, seeds=0.0, scatter=0.0)
    assert chance_within(0.02, 0.01, parts, 10**6, 5, 0.05) < 1e-6
    assert to_rule_out(Change(0.02, 0.02, 0.0, (), 10, 5, parts), margin=0.01) == Need(images=None, seeds=None)
