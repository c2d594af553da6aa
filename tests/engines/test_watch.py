"""What a network executes, operator by operator: what is a product, what is none, and what follows from the input."""

from __future__ import annotations

import dataclasses
import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import membench
from membench import Conversion, Profile, ReadNoise, Tuning
from membench.engines import ENGINES, Plan, check_converted
from membench.engines._examine import examine
from membench.errors import NotConvertedError, UnsupportedError

X = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
LIGHT = Conversion(tuning=Tuning(conv_images=2, conv_size=12, linear_rows=64))


class Body(nn.Module):
    """Two layers with something between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 3)
        self.register_buffer("w", torch.randn(8, 8))
        self.register_buffer("order", torch.randint(8, (4, 8)))
        self.register_buffer("scale", torch.rand(8))
        self.gamma = nn.Parameter(torch.rand(8))
        self.generator = [torch.Generator()]

    w: Tensor
    order: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(self.a(x)))

    def between(self, y: Tensor) -> Tensor:
        return y


@torch.library.custom_op("membench_tests::roll", mutates_args=())
def roll(x: Tensor, w: Tensor) -> Tensor:
    """Has the name of a harmless operator, and is a product."""
    return x @ w


class Rolled(Body):
    def between(self, y: Tensor) -> Tensor:
        return roll(y, self.w)


class Columns(Body):
    """A matrix product as a sum of scaled columns."""

    def between(self, y: Tensor) -> Tensor:
        return torch.stack([y[:, i, None] * (self.w[i] * 2) for i in range(8)]).amax(0)


class Written(Body):
    """An operator that returns nothing, and changes what it is given."""

    def between(self, y: Tensor) -> Tensor:
        out = [torch.zeros(len(y), 8)]
        torch._foreach_add_(out, [y])
        return out[0] @ self.w


class InPlace(Body):
    """A view of a new tensor is written to."""

    def between(self, y: Tensor) -> Tensor:
        out = torch.zeros(len(y), 16)
        out[:, :8] = y
        return out[:, :8] @ self.w


class LookedUp(Body):
    def between(self, y: Tensor) -> Tensor:
        return self.w[y.argmax(1)]


class Drawn(Body):
    def between(self, y: Tensor) -> Tensor:
        return y * random.random()


class Generated(Body):
    def between(self, y: Tensor) -> Tensor:
        return y * torch.rand(1, generator=self.generator[0].manual_seed(0))


class Constant(Body):
    """Its output does not depend on its input."""

    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return self.b.weight + 0


class Inferred(Body):
    """In inference mode torch dispatches whole functions, not what they are made of."""

    def between(self, y: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.einsum("ni,oi->no", y, self.w)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Rolled(), "the network itself: roll with w"),
        (Columns(), "the network itself: mul with w"),
        (Written(), "the network itself: mm with w"),
        (InPlace(), "the network itself: mm with w"),
        (LookedUp(), "the network itself: index with w"),
        (Inferred(), "the network itself: bmm with w"),
        (Drawn(), "gives another output for the same input when it is called again"),
        (Generated(), "rand draws random numbers at test_watch"),
        (Constant(), "its output does not follow from its input"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_is_refused(model: nn.Module, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        examined(model)


class Gathered(Body):
    """Integers say where to look, and multiply nothing."""

    def between(self, y: Tensor) -> Tensor:
        return y.gather(1, self.order)


class Pooled(Body):
    """A scale of each feature, then a sum over others; and a product with a vector that is a parameter, and so is listed."""

    def between(self, y: Tensor) -> Tensor:
        y = (y.unsqueeze(2).expand(-1, -1, 3) * self.scale[:, None]).sum(2)
        return y + (y * self.gamma).sum(1, keepdim=True)


class Asked(Body):
    """numpy reads a constant."""

    def between(self, y: Tensor) -> Tensor:
        return y / float(self.w.numpy().max())


@pytest.mark.parametrize("kind", [Body, Gathered, Pooled, Asked])
def test_what_is_no_product(kind: type[Body]) -> None:
    assert examined(kind()).digital == ("(the network itself)",)  # gamma


class Tied(Body):
    def between(self, y: Tensor) -> Tensor:
        return y @ self.a.weight.t()


def test_a_weight_of_a_layer_that_stays_digital_may_be_used_elsewhere() -> None:
    plan = examined(Tied(), "a")
    assert [layer.name for layer in plan.layers] == ["b"]
    assert plan.digital == ("(the network itself)", "a")


@pytest.mark.parametrize("kind", [Generated, Constant, Rolled])
def test_the_first_batch_is_looked_at_as_a_sample_is(kind: type[Body]) -> None:
    converted = membench.convert(kind(), LIGHT, verbose=False)
    with pytest.raises(NotConvertedError):
        converted(X)


def test_a_converted_network_must_enter_each_layer_as_often() -> None:
    model = Body()
    plan = examined(model)
    converted = membench.convert(model, LIGHT, sample=X, verbose=False)
    check_converted(converted, plan)
    often = dataclasses.replace(plan, layers=tuple(dataclasses.replace(layer, entered=2) for layer in plan.layers))
    with pytest.raises(NotConvertedError, match="a: the converted network enters it 1 times, the digital one 2 times"):
        check_converted(converted, often)


def test_a_layer_that_an_engine_left_digital_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import membench.engines.vectorized as engine

    real = engine.replaced

    def left(model: nn.Module, *rest: Any) -> Any:
        network, found = real(model, *rest)
        network.set_submodule("a", nn.Linear(8, 8))
        return network, found

    monkeypatch.setattr(engine, "replaced", left)
    with pytest.raises(NotConvertedError, match="a: it is digital still"):
        membench.convert(Body(), LIGHT, sample=X, verbose=False)


def examined(model: nn.Module, *keep_digital: str) -> Plan:
    return examine(model, Conversion(keep_digital=keep_digital), X, lambda module: None)


def test_the_digital_engine_converts_nothing_and_checks_nothing() -> None:
    assert torch.equal(membench.convert(Body(), LIGHT, engine="digital", verbose=False)(X), Body()(X))
    assert ENGINES.get("digital").plan(Body(), LIGHT, (), X).layers == ()


def test_a_sample_leaves_no_trace_in_the_noise_of_later_reads() -> None:
    noisy = Profile(name="noisy", source="here", conversion=LIGHT, nonidealities=(ReadNoise(sigma=0.1),))
    one, other = (membench.convert(Body(), noisy, sample=sample, verbose=False) for sample in (X, None))
    assert torch.equal(one(X), other(X))


def test_what_other_threads_draw_is_not_the_networks() -> None:
    """A worker of Dask draws from Python's generator while a point is measured."""
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            random.random()
            np.random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert examined(Body()).digital == ("(the network itself)",)
    finally:
        over.set()
        thread.join()
