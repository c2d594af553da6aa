"""The few numbers that tell what a network computes: they differ with the function, and not with the machine."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from stored import RECIPE, Stored, network
from torch import Tensor, nn

from membench.datasets import DATASETS
from membench.models import NETWORKS, read, shipped_file
from membench.models._probe import DIGITS, MOST, Probe, probe, same, start_of
from membench.models._train import build
from membench.models._weights import SHIPPED
from membench.runtime import pinned_threads

STORED = Stored()
MODEL = build(network(), STORED, 0)


def test_a_probe_is_the_same_each_time_whatever_was_drawn_before() -> None:
    first = probe(MODEL, STORED)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    with pinned_threads(2):
        assert probe(MODEL, STORED) == first
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_numbers_of_a_probe_are_few_and_short() -> None:
    found = probe(MODEL, STORED)
    assert [[len(row) for row in block] for block in found] == [[MOST], [3, 3], [3, 3], [3, 3], [3, 3]]
    numbers = [value for block in found for row in block for value in row]
    assert all(value is not None and value == float(f"{value:.{DIGITS}g}") for value in numbers)


def test_of_many_classes_some_are_kept() -> None:
    found = probe(nn.Sequential(nn.Flatten(), nn.Linear(36, 1000)), STORED)
    assert {len(row) for block in found for row in block} == {MOST}


def test_a_probe_leaves_the_network_as_it_was_but_for_evaluation_mode() -> None:
    model = copy.deepcopy(MODEL).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    probe(model, STORED)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


def test_what_is_not_finite_has_no_number_and_is_compared_all_the_same() -> None:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.log()

    found = probe(nn.Sequential(nn.Flatten(), Log()), STORED)
    assert None in [value for block in found for row in block for value in row]
    assert same(found, found)
    assert not same(found, probe(nn.Flatten(), STORED))


def moved(found: Probe, share: float, block: int, rows: int) -> Probe:
    """Some rows of a block moved by a proportion of their largest number."""
    changed = [
        tuple(value + share * max(map(abs, row)) for value in row) if number < rows else row  # type: ignore[operator, arg-type]
        for number, row in enumerate(found[block])
    ]
    return (*found[:block], tuple(changed), *found[block + 1 :])


@pytest.mark.parametrize("block", range(5))
def test_what_other_machines_round_is_the_same_and_more_is_not(block: int) -> None:
    found = probe(MODEL, STORED)
    rows = len(found[block])
    assert same(found, moved(found, 5e-5, block, rows))
    assert not same(found, moved(found, 1e-3, block, rows))
    assert same(found, moved(found, 1e-3, block, rows), tolerance=2e-3)
    if rows == 2:  # as where a sign turns over in one image
        assert same(found, moved(found, 0.5, block, 1))


def test_another_number_of_classes_is_another_network() -> None:
    wider = probe(nn.Sequential(nn.Flatten(), nn.Linear(36, 4)), STORED)
    assert not same(probe(MODEL, STORED), wider)
    assert not same(probe(MODEL, STORED), probe(MODEL, STORED)[:-1])


@pytest.mark.parametrize("channel", range(16))
def test_one_mean_of_many_shows(channel: int) -> None:
    """Among the values that are kept, or in the answers."""

    class Wide(Stored):
        shape = (16, 2, 3)  # type: ignore[assignment]
        mean = (0.5,) * 16
        std = (0.25,) * 16

    class Other(Wide):
        mean = tuple(0.5 + 0.05 * (each == channel) for each in range(16))

    model = nn.Sequential(nn.Flatten(), nn.Linear(96, 10))
    assert not same(probe(model, Wide()), probe(model, Other()))


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.json")), ids=lambda file: file.stem)
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_shipped_weights_answer_as_their_cards_say_with_other_code_for_products(file: Path, enabled: bool) -> None:
    """Torch's own convolutions in place of oneDNN's add up in another order, as another machine does."""
    name, _, of = file.stem.partition("-")
    dataset, net = DATASETS.get(name), NETWORKS.get(of)
    found = read(shipped_file(net, dataset), net, dataset)
    assert found is not None
    assert found.card.probe is not None
    with torch.backends.mkldnn.flags(enabled=enabled):
        now = probe(found.model, dataset)
    assert same(found.card.probe, now, tolerance=2e-5)
    for kept, block in zip(found.card.probe, now, strict=True):
        for one, other in zip(kept, block, strict=True):
            largest = max(abs(value) for value in one if value is not None)
            assert all(math.isclose(a, b, abs_tol=2e-5 * largest) for a, b in zip(one, other, strict=True))  # type: ignore[arg-type]


def test_a_start_is_the_same_each_time_and_differs_with_the_seed() -> None:
    one, again = (start_of(network(), STORED, RECIPE) for _ in range(2))
    other = start_of(network(), STORED, RECIPE.replace(seed=1))
    assert one is not None
    assert other is not None
    assert one == again
    assert not same(one, other, 1e-3)


def test_a_network_that_cannot_take_a_step_on_few_images_has_no_start() -> None:
    class Needy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.training and len(x) < 16:
                raise ValueError("too few images")
            return x

    assert start_of(network(between=Needy), STORED, RECIPE) is None
