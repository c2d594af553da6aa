"""Whatever stays digital is refused or listed, in ways of writing a network that no rule was made for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from partly_digital import NETWORKS
from torch import Tensor, nn

import membench
from membench import ADC, Conversion, Tuning
from membench.engines import ENGINES, Batches
from membench.errors import UnsupportedError

X = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
HARSH = Conversion(
    tile_shape=(8, 8), adc=ADC(bits=2), max_input_voltage=1.0, tuning=Tuning(conv_images=2, conv_size=12, linear_rows=64)
)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stays_digital_is_refused_or_listed(name: str) -> None:
    network = NETWORKS[name]
    engine = ENGINES.get("vectorized")
    if network.said.startswith("listed: "):
        assert network.said.removeprefix("listed: ") in engine.plan(network.build(), HARSH, (), X).digital
        return
    with pytest.raises(UnsupportedError, match=network.said):
        engine.plan(network.build(), HARSH, (), X)


class Fused(nn.Module):
    """Larger batches take one matrix in place of two."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(8, 4, bias=False), nn.Linear(4, 3, bias=False)
        self.both = (self.up.weight @ self.down.weight).detach()

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.both.T if len(x) > 3 else self.up(self.down(x))


@pytest.mark.parametrize(("images", "batch_size"), [(X, 4), (X[:3].repeat(3, 1), 4)])
def test_batches_of_every_size_that_is_measured_are_looked_at(images: Tensor, batch_size: int) -> None:
    assert len(ENGINES.get("vectorized").plan(Fused(), HARSH, (), Batches.of(images, 3)).layers) == 2
    with pytest.raises(UnsupportedError, match="mm with a matrix that is no parameter"):
        ENGINES.get("vectorized").plan(Fused(), HARSH, (), Batches.of(images, batch_size))


class Clean(nn.Module):
    """What networks do between their layers, none of it a product with a matrix."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8))
        self.branches = nn.ModuleDict({"one": nn.Conv2d(8, 8, 1), "three": nn.Conv2d(8, 8, 3, padding=1)})
        self.blocks = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1), nn.GroupNorm(4, 16)])
        self.squeeze, self.excite = nn.Linear(16, 4), nn.Linear(4, 16)
        self.gamma = nn.Parameter(torch.full((16, 1, 1), 0.5))
        self.register_buffer("mean", torch.tensor([0.4, 0.5]).view(1, 2, 1, 1))
        self.head = nn.Linear(16, 5)

    mean: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(next(self.parameters()).device)
        x = (x - self.mean) / x.std((2, 3), keepdim=True).clamp(min=1e-3)
        y = F.interpolate(self.stem(x), scale_factor=0.5, mode="bilinear")
        y = torch.cat([branch(y) for branch in self.branches.values()], 1)
        for _ in range(2):  # one layer, called twice
            y = y + self.gamma * F.gelu(self.blocks[1](self.blocks[0](y)))
        gate = torch.sigmoid(self.excite(F.silu(self.squeeze(y.mean((2, 3))))))
        y = F.avg_pool2d(y * gate[:, :, None, None], 2).roll(1, 2).transpose(2, 3)
        y = torch.where(y > y.mean(), y, torch.zeros_like(y)).masked_fill(y.isnan(), 0.0)
        parts = [part.amax((2, 3)) for part in y.chunk(2, 3)]
        return F.log_softmax(self.head(F.normalize(torch.stack(parts).sum(0))), -1)


def test_what_is_no_product_is_converted_without_a_complaint() -> None:
    plan = ENGINES.get("vectorized").plan(Clean(), HARSH, (), torch.rand(2, 2, 12, 12))
    assert {layer.name: layer.entered for layer in plan.layers} == {
        "stem.0": 1, "branches.one": 1, "branches.three": 1, "blocks.0": 2, "squeeze": 1, "excite": 1, "head": 1,
    }  # fmt: skip
    assert plan.digital == ("(the network itself)", "stem.1", "stem.2", "blocks.1")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121", "vgg11_bn"])
def test_published_networks_are_converted_without_a_complaint(name: str) -> None:
    model = torchvision.models.get_model(name, weights=None)
    plan = ENGINES.get("vectorized").plan(model, Conversion(tuning=None), (), torch.rand(2, 3, 64, 64))
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(plan.layers) == len(convolutions)
    assert not any(name.endswith((":products", ":constants")) for name in plan.digital)


def test_a_network_that_asks_for_its_parameters_finds_some() -> None:
    """`next(self.parameters()).device` is how many networks find their device."""
    converted = membench.convert(Asking(), HARSH, sample=X, verbose=False)
    assert converted(X).shape == (4, 3)
    assert not any(parameter.requires_grad for parameter in converted.parameters())


class Asking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.to(next(self.parameters()).device))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch asks for torch.compile in its place
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_frozen_script_beside_the_layers_is_let_alone() -> None:
    script = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.ReLU(), nn.Flatten()).eval()))
    assert (
        len(ENGINES.get("vectorized").plan(nn.Sequential(nn.Linear(8, 8), script, nn.Linear(8, 3)), HARSH, (), X).layers) == 2
    )
