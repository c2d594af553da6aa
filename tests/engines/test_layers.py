"""What cannot be represented is refused by name, before anything is run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from membench import Conversion, Tuning
from membench.engines import ENGINES, Plan
from membench.errors import UnsupportedError

IMAGE = torch.rand(2, 4, 12, 12)


def plan(model: nn.Module, conversion: Conversion | None = None, sample: torch.Tensor = IMAGE) -> Plan:
    return ENGINES.get("memtorch").plan(model, conversion or Conversion(), (), sample)


class Mine(nn.Conv2d):
    """A subclass may compute anything in its forward."""


class Loose(nn.Module):
    """Holds a matrix of its own beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.matrix = nn.Parameter(torch.rand(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3)) @ self.matrix


class Idle(nn.Module):
    """Holds a layer that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), "groups=2"),
        (nn.Conv2d(4, 4, 3, groups=4), "groups=4"),
        (nn.Conv2d(4, 4, 3, dilation=2), "dilation"),
        (nn.Conv2d(4, 4, (3, 1)), "kernel_size"),
        (nn.Conv2d(4, 4, 3, stride=(1, 2)), "stride"),
        (nn.Conv2d(4, 4, 3, padding="same"), "padding='same'"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "padding_mode"),
        (nn.Conv3d(1, 4, 3), "Conv3d"),
        (nn.ConvTranspose2d(4, 4, 3), "it holds weight"),
        (nn.MultiheadAttention(4, 1), "it holds in_proj_weight"),
        (nn.LSTM(4, 4), "it holds weight_ih_l0"),
        (nn.Embedding(4, 4), "it holds weight"),
        (Mine(4, 4, 3), "subclass of Conv2d"),
        (nn.Conv2d(4, 4, 3).double(), "float64"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), "parametri"),
    ],
)
def test_a_layer_that_cannot_be_represented_is_refused_by_name(layer: nn.Module, reason: str) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ModuleDict({"odd": layer}))
    with pytest.raises(UnsupportedError, match=reason) as error:
        plan(model)
    assert "1.odd" in str(error.value)
    assert "keep_digital" in str(error.value)


def test_every_fault_is_named_at_once() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, dilation=2))
    with pytest.raises(UnsupportedError) as error:
        plan(model)
    assert "0 (Conv2d): groups=2" in str(error.value)
    assert "1 (Conv2d): dilation" in str(error.value)


@pytest.mark.parametrize(("value", "reason"), [(0.0, "all its weights are zero"), (float("nan"), "NaN")])
def test_weights_that_cannot_be_mapped_are_refused(value: float, reason: str) -> None:
    layer = nn.Linear(4, 2)
    nn.init.constant_(layer.weight, value)
    with pytest.raises(UnsupportedError, match=reason):
        plan(nn.Sequential(layer), sample=torch.rand(2, 4))


def test_a_matrix_outside_a_layer_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="it holds matrix"):
        plan(Loose())


def test_a_layer_that_is_never_called_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"idle \(Conv2d\): the network never calls it"):
        plan(Idle())


def test_an_input_of_another_shape_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"its input has shape \(2, 4, 12, 12\)"):
        plan(nn.Sequential(nn.Linear(12, 3)))


def test_a_network_without_layers_to_convert_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no layer would be converted at all"):
        plan(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))


def test_keep_digital_leaves_a_layer_and_lists_it() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=2))
    found = plan(model, Conversion(keep_digital=("2",)))
    assert [layer.name for layer in found.layers] == ["0"]
    assert found.digital == ("1", "2")


def test_keep_digital_of_an_unknown_layer_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="'head', which the network does not have"):
        plan(nn.Sequential(nn.Conv2d(4, 4, 3)), Conversion(keep_digital=("head",)))


def test_a_kernel_larger_than_the_tuning_noise_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="its kernel of 9 does not fit tuning noise of 8"):
        plan(nn.Sequential(nn.Conv2d(4, 4, 9)), Conversion(tuning=Tuning(conv_size=8)))
