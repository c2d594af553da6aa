"""Networks that are written in other ways than a stack of layers, through every command: they work, or are refused in words."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from conftest import make_case
from torch import Tensor, nn

from membench import ADC, Case, Conversion, run_case
from membench.errors import InputError, UnsupportedError
from membench.explain import explain
from membench.models import NETWORKS, Network, Recipe
from membench.parity import compare
from membench.versus import versus

TILED = Conversion(tile_shape=(16, 8), adc=ADC(bits=8, range="calibrated"), max_input_voltage=6.0)


class Listed(nn.Module):
    """Walks a plain list of its layers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 5, stride=4), nn.Linear(144, classes)
        self.steps = [self.conv, F.relu, nn.Flatten(), self.head]

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(lambda y, step: step(y), self.steps, x)


class Closed(Listed):
    """Holds its layers in a function."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        conv, head = self.conv, self.head
        self.run = lambda x: head(F.relu(conv(x)).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Experts(Listed):
    """Which layers it calls depends on the image."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.other = nn.Linear(144, classes)

    def forward(self, x: Tensor) -> Tensor:
        y, bright = F.relu(self.conv(x)).flatten(1), x.mean((1, 2, 3)) > 0.05
        out = y.new_zeros(len(x), self.head.out_features)
        for chosen, expert in ((bright, self.head), (~bright, self.other)):
            if chosen.any():
                out[chosen] = expert(y[chosen])
        return out


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Listed]], Case]:
    """A case on such a network."""

    def declare(kind: type[Listed]) -> Case:
        name = kind.__name__.lower()
        network = Network(name, lambda classes, shape: kind(classes), Recipe(epochs=1, mirror=False, shift=0))
        NETWORKS.names()
        monkeypatch.setitem(NETWORKS._items, name, network)
        return make_case(name=name, network=name, images=100, conversion=TILED)

    return declare


def test_a_list_of_layers_goes_through_every_command(declared: Callable[[type[Listed]], Case]) -> None:
    case = declared(Listed)
    exact = case.replace(conversion=Conversion(tile_shape=(16, 8)))
    assert run_case(case).measured.logit_error > 10 * run_case(exact).measured.logit_error  # the ADC is read
    assert [layer.name for layer in explain(case).layers] == ["conv", "head"]
    assert compare(exact).faults == ()
    assert [pair.parting for pair in versus(exact, ("vectorized", "memtorch")).pairs] == [None]


def test_layers_in_a_closure_are_refused_by_every_command(declared: Callable[[type[Listed]], Case]) -> None:
    case = declared(Closed)
    for command, conversion in ((run_case, TILED), (explain, TILED), (compare, Conversion())):
        with pytest.raises(UnsupportedError, match="hold the digital layer"):
            command(case.replace(conversion=conversion))
    with pytest.raises(InputError, match="hold the digital layer"):
        versus(case, ("vectorized", "memtorch"))


def test_a_mixture_of_experts_is_measured_on_all_ways(declared: Callable[[type[Listed]], Case]) -> None:
    case = declared(Experts)
    record = run_case(case)
    assert [layer.name for layer in record.measured.layers] == ["conv", "head", "other"]
    found = explain(case)
    assert found.layers == ()
    assert "depends on its input" in found.note
    with pytest.raises(InputError, match="which layers its network calls depends on the input"):
        versus(case.replace(conversion=Conversion(tile_shape=(16, 8))), ("vectorized", "memtorch"))


def test_a_way_that_the_first_images_do_not_take_is_found(declared: Callable[[type[Listed]], Case]) -> None:
    """Two images of one expert: the other one is looked at, too, and a product in it is refused."""

    class Hidden(Experts):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            if x.mean((1, 2, 3)).min() < 0.02:
                y = y @ torch.eye(10)
            return y

    with pytest.raises(UnsupportedError, match="mm with a matrix that is no parameter"):
        run_case(declared(Hidden))


@pytest.mark.parametrize(("engine", "reference"), [("digital", "memtorch"), ("vectorized", "digital")])
def test_parity_with_an_engine_without_crossbars_is_refused(engine: str, reference: str) -> None:
    with pytest.raises(InputError, match="The engine digital has no crossbars"):
        compare(make_case(), engine=engine, reference=reference)
