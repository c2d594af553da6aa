"""A factory that loads a checkpoint is not trained over without a word: a network of 98.0 % had 92.8 % afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored import RECIPE, Stored, drawn, network, write
from torch import Tensor, nn

from membench.errors import InputError
from membench.models import Network, _weights, cross_validate, obtain
from membench.models._factory import set_by_factory
from membench.runtime import pinned_threads

STORED = Stored()
KEPT = {
    name: torch.randn(value.shape) if value.ndim else value
    for name, value in network().build(3, (1, 6, 6)).state_dict().items()
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "data", drawn())


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_weights, "train", lambda *_, **__: pytest.fail("it was trained"))


def loading(names: tuple[str, ...] = tuple(KEPT), frozen: bool = False, **recipe: Any) -> Network:
    """A network whose factory loads some of a checkpoint."""

    def build(classes: int, shape: Any) -> nn.Module:
        model = network().build(classes, shape)
        model.load_state_dict({name: KEPT[name].abs() + 0.1 if "var" in name else KEPT[name] for name in names}, strict=False)
        for name, value in model.named_parameters():
            value.requires_grad_(not frozen or name not in names)
        return model

    return Network("mine", build, RECIPE.replace(**recipe))


REFUSED = (
    r"Network 'mine': its factory sets 1\.weight \(64, 36\).*: the same for two seeds, as where it loads a checkpoint\. Training would "
    r"overwrite it\. To measure such weights as they are: Network\('mine', \.\.\., weights='own\.pt'\)\. To train on from them: "
    r"Recipe\(fine_tune=True\)"
)


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    "mine",
    [
        pytest.param(loading(), id="the whole network"),
        pytest.param(loading(("1.weight", "1.bias")), id="all but the last layer"),
        pytest.param(loading(("1.weight", "1.bias"), frozen=True), id="a layer that is kept from training"),
    ],
)
def test_a_factory_that_loads_a_checkpoint_is_refused_with_both_remedies(mine: Network, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=REFUSED):
        obtain(mine, STORED, root=data, folder=tmp_path / "weights")
    with pytest.raises(InputError, match=REFUSED):
        cross_validate(mine, STORED, 2, root=data, folder=tmp_path / "folds")


def test_how_many_more_are_set_is_told() -> None:
    from membench.models._factory import check_factory

    with pytest.raises(InputError, match=r"sets 1\.weight \(64, 36\) and 1 more:"):
        check_factory(loading(), STORED, RECIPE)


def test_fine_tuning_goes_on_from_them_and_is_said_in_the_card(data: Path, tmp_path: Path) -> None:
    with pinned_threads(1):
        tuned = obtain(loading(fine_tune=True), STORED, root=data, folder=tmp_path)
        fresh = obtain(network(), STORED, root=data, folder=tmp_path)
    assert tuned.card.recipe == RECIPE.replace(fine_tune=True)
    assert tuned.card.pretrained == "the factory of mine, trained on"
    assert fresh.card.pretrained is None
    assert tuned.card.key != fresh.card.key
    assert not torch.equal(tuned.model.get_parameter("1.weight"), KEPT["1.weight"])
    distance = (tuned.model.get_parameter("1.weight") - KEPT["1.weight"]).abs().mean()
    assert distance < 0.3 * KEPT["1.weight"].abs().mean()  # it began there


def test_another_checkpoint_in_the_factory_is_trained_on_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pinned_threads(1):
        first = obtain(loading(fine_tune=True), STORED, root=data, folder=tmp_path)
        monkeypatch.setitem(KEPT, "1.weight", 0.9 * KEPT["1.weight"])
        second = obtain(loading(fine_tune=True), STORED, root=data, folder=tmp_path)
    assert second.file != first.file


@pytest.mark.usefixtures("never")
def test_fine_tuning_of_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    mine = Network("mine", network().build, RECIPE.replace(fine_tune=True))
    with pytest.raises(InputError, match="its recipe has fine_tune=True, but its factory sets no weights"):
        obtain(mine, STORED, root=data, folder=tmp_path)


@pytest.mark.usefixtures("never")
def test_a_factory_that_seeds_torch_itself_is_told_to_leave_that_out(data: Path, tmp_path: Path) -> None:
    """Else the seed of the recipe would do nothing."""

    def build(classes: int, shape: Any) -> nn.Module:
        torch.manual_seed(42)
        return network().build(classes, shape)

    with pytest.raises(InputError, match=r"If the factory seeds torch itself, leave that out: Recipe\.seed does it"):
        obtain(Network("mine", build, RECIPE), STORED, root=data, folder=tmp_path)


class Filters(nn.Module):
    """Filters that are fixed by design."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", torch.linspace(-1, 1, 36).view(1, 36))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kernels  # type: ignore[no-any-return, operator]


def of(start: Callable[[Tensor], object]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layer = nn.Linear(64, 64)
        start(layer.weight)
        return layer

    return make


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(nn.PReLU, id="a number"),
        pytest.param(lambda: nn.LayerNorm(64), id="ones and zeros in a vector"),
        pytest.param(of(nn.init.zeros_), id="a matrix of zeros"),
        pytest.param(of(nn.init.eye_), id="the identity"),
        pytest.param(of(lambda weight: nn.init.constant_(weight, 0.01)), id="a constant matrix"),
        pytest.param(of(nn.init.orthogonal_), id="drawn from the seed"),
        pytest.param(lambda: nn.Sequential(nn.Unflatten(1, (1, 64)), nn.Conv1d(1, 1, 1), nn.Flatten()), id="one random number"),
    ],
)
def test_what_initial_weights_usually_are_is_not_taken_for_a_checkpoint(between: Callable[[], nn.Module]) -> None:
    assert set_by_factory(network(between=between), STORED, 0) == {}


def test_dirac_s_kernels_are_not_taken_for_a_checkpoint() -> None:
    def build(classes: int, shape: Any) -> nn.Module:
        layer = nn.Conv2d(1, 4, 3)
        nn.init.dirac_(layer.weight)
        return nn.Sequential(layer, nn.Flatten(), nn.Linear(64, classes))

    assert set_by_factory(Network("mine", build, RECIPE), STORED, 0) == {}


def test_fixed_filters_in_a_buffer_are_not_taken_for_a_checkpoint() -> None:
    def build(classes: int, shape: Any) -> nn.Module:
        return nn.Sequential(nn.Flatten(), Filters(), nn.Linear(36, classes))

    assert set_by_factory(Network("mine", build, RECIPE), STORED, 0) == {}


@pytest.mark.parametrize("scale", [1.0, 1e-3, -1.0])
def test_signs_that_are_the_same_for_each_seed_are_a_checkpoint(scale: float) -> None:
    """Binary weights are no constant."""
    signs = torch.where(torch.arange(64 * 64).view(64, 64) % 3 == 0, scale, -scale)
    found = set_by_factory(network(between=of(lambda weight: weight.data.copy_(signs))), STORED, 0)
    assert found == {"4.weight": (64, 64)}
