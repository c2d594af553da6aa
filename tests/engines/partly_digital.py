"""Networks of which a part stays digital when their layers are converted, as people write them. Used by test_partly_digital.py."""

from __future__ import annotations

import copy
import functools
import math
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Net(nn.Module):
    """Two layers, and something between them that stays digital."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(F.relu(self.a(x))))

    def between(self, y: Tensor) -> Tensor:
        return y


@dataclass(frozen=True)
class Awkward:
    """A network.

    Attributes:
        build: makes it.
        said: what the refusal says, or the name under which it is listed as digital.
    """

    build: Callable[[], nn.Module]
    said: str


NETWORKS: dict[str, Awkward] = {}


def awkward(said: str) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    def keep(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        NETWORKS[build.__name__] = Awkward(build, said)
        return build

    return keep


# Products by another name


@awkward("bmm with w")
class Einsum(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(8, 8))

    def between(self, y: Tensor) -> Tensor:
        return torch.einsum("ni,oi->no", y, self.w)


@awkward("trilinear with w")
class Bilinear(Einsum):
    def between(self, y: Tensor) -> Tensor:
        return F.bilinear(y, y, self.w.expand(8, 8, 8).contiguous())


@awkward("cdist_forward with w")
class Prototypes(Einsum):
    def between(self, y: Tensor) -> Tensor:
        return torch.cdist(y, self.w)


@awkward("div with w|mul with w")
class Cosine(Einsum):
    def between(self, y: Tensor) -> Tensor:
        return F.cosine_similarity(y.unsqueeze(1), self.w, dim=-1)


@awkward("sub with w")
class Adder(Einsum):
    """AdderNet: L1 distances in place of products."""

    def between(self, y: Tensor) -> Tensor:
        return -(y.unsqueeze(1) - self.w).abs().sum(-1)


@awkward("embedding with w")
class Codebook(Einsum):
    """Vector quantisation: activations choose rows of a table."""

    def between(self, y: Tensor) -> Tensor:
        return F.embedding(y.argmax(1), self.w)


@awkward("mm with w")
class OneHot(Einsum):
    def between(self, y: Tensor) -> Tensor:
        return F.one_hot(y.argmax(1), 8).float() @ self.w


@awkward("fft_r2c")
class Fourier(Net):
    def between(self, y: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(y) * torch.linspace(1, 0, 5), n=8)


@awkward("convolution with w")
class Transposed(Einsum):
    def between(self, y: Tensor) -> Tensor:
        return F.conv_transpose1d(y.unsqueeze(1), self.w[:1, None, :3], padding=1).squeeze(1)


@awkward("convolution$|convolution at")
class Dynamic(Net):
    """A hypernetwork: the filter comes from the input."""

    def between(self, y: Tensor) -> Tensor:
        return F.conv1d(y.unsqueeze(0), y[:, None, :3], padding=1, groups=len(y)).squeeze(0)


@awkward("mul with w")
class Unfolded(Einsum):
    """A depthwise convolution written out."""

    def between(self, y: Tensor) -> Tensor:
        return (F.pad(y, (1, 1)).unfold(1, 3, 1) * self.w[:, :3]).sum(-1)


@awkward("mul with w")
class Columns(Einsum):
    """One column after the other."""

    def between(self, y: Tensor) -> Tensor:
        out = torch.zeros_like(y)
        for i in range(8):
            out = out + y[:, i : i + 1] * self.w[i]
        return out


@awkward("dot with w|mv with w")
class Rows(Einsum):
    def between(self, y: Tensor) -> Tensor:
        return torch.stack([torch.mv(self.w, row) for row in y])


@awkward("sparse_addmm")
class Sparse(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", (torch.randn(8, 8) * (torch.rand(8, 8) > 0.5)).to_sparse())

    def between(self, y: Tensor) -> Tensor:
        return torch.sparse.mm(self.w, y.T).T


@awkward("mm with w")
class Complex(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(8, 8, dtype=torch.complex64))

    def between(self, y: Tensor) -> Tensor:
        return (y.to(torch.complex64) @ self.w).abs()


@awkward("mul with w")
class Spline(Net):
    """A Kolmogorov-Arnold layer: a function of each input for each output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(8, 8, 4))
        self.register_buffer("knots", torch.linspace(-1, 1, 4))

    def between(self, y: Tensor) -> Tensor:
        basis = torch.exp(-((y.unsqueeze(-1) - self.knots) ** 2))
        return (basis.unsqueeze(1) * self.w).sum((-1, -2))


@awkward("lu_solve|linalg_solve")
class Solved(Einsum):
    """An implicit layer."""

    def between(self, y: Tensor) -> Tensor:
        return torch.linalg.solve(self.w + 8 * torch.eye(8), y.T).T


# Weights that are kept elsewhere


@awkward("addmm with a matrix that is no parameter")
class PlainTensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.low = [torch.randn(8, 2), torch.randn(2, 8)]  # a LoRA adapter that nobody registered

    def between(self, y: Tensor) -> Tensor:
        return torch.addmm(y, y @ self.low[0], self.low[1])


@awkward("Tensor.numpy")
class InNumpy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.w = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)

    def between(self, y: Tensor) -> Tensor:
        return y + torch.from_numpy(y.numpy() @ self.w)


@awkward("Tensor.__array__|Tensor.numpy")
class ByNumpy(InNumpy):
    def between(self, y: Tensor) -> Tensor:
        return y + torch.as_tensor(np.tanh(np.asarray(y)) @ self.w)


@awkward("Tensor.tolist")
class InLists(InNumpy):
    def between(self, y: Tensor) -> Tensor:
        rows = [[sum(v * w for v, w in zip(row, column, strict=True)) for column in self.w.T.tolist()] for row in y.tolist()]
        return y + torch.tensor(rows)


@awkward("mm with a matrix that is no parameter")
class FromABase(Net):
    table = torch.eye(8) * 2  # of the class, not of the instance

    def between(self, y: Tensor) -> Tensor:
        return y @ self.table


@awkward("int_mm with w|_int_mm|mm with w")
class Quantised(Net):
    """Integer weights, scaled when they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", torch.randint(-128, 127, (8, 8), dtype=torch.int8))

    def between(self, y: Tensor) -> Tensor:
        return y @ (self.w.float() / 127)


@awkward("bmm")
class Ensemble(Net):
    """Three layers as one batched product."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(8, 8) for _ in range(3)]
        self.stacked, _ = torch.func.stack_module_state(layers)
        self.base = [copy.deepcopy(layers[0]).to("meta")]

    def between(self, y: Tensor) -> Tensor:
        def one(state: dict[str, Tensor], x: Tensor) -> Tensor:
            return torch.func.functional_call(self.base[0], state, (x,))

        return torch.vmap(one, (0, None))(self.stacked, y).mean(0)


# Layers that are reached in other ways


@awkward("with b.weight")
class DefaultArgument(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = functools.partial(lambda y, layer: layer(y), layer=self.b)

        def head(y: Tensor, layer: nn.Module = self.b) -> Tensor:
            return layer(y)

        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.a(x)))


@awkward("with b.weight")
class Weak(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = weakref.ref(self.b)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.head()
        assert layer is not None
        return layer(F.relu(self.a(x)))


_GLOBAL: dict[str, nn.Module] = {}


@awkward("with b.weight")
class Global(Net):
    def __init__(self) -> None:
        super().__init__()
        _GLOBAL["head"] = self.b

    def forward(self, x: Tensor) -> Tensor:
        return _GLOBAL["head"](F.relu(self.a(x)))


@awkward("with [ab].weight")
class Replaced(Net):
    """Its forward is replaced on the instance."""

    def __init__(self) -> None:
        super().__init__()
        a, b = self.a, self.b
        self.forward = lambda x: b(F.relu(a(x)))  # type: ignore[method-assign]


@awkward("its forward was replaced")
class Patched(Net):
    """A layer with another forward: quantisation that someone patched in."""

    def __init__(self) -> None:
        super().__init__()

        def forward(self: nn.Linear, x: Tensor) -> Tensor:
            return F.linear(x.round(), self.weight, self.bias)

        self.a.forward = types.MethodType(forward, self.a)  # type: ignore[method-assign]


@awkward("the network fails|enters it 0 times|gives another output")
class ByType(Net):
    """Calls what is a Linear."""

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = F.relu(module(x)) if isinstance(module, nn.Linear) else x
        return x


@awkward("gives another output|mm with")
class Recomputed(Net):
    """A hook gives the layer new weights at each call, as weight normalisation of old did."""

    def __init__(self) -> None:
        super().__init__()

        def normalise(module: nn.Module, args: Any) -> None:
            assert isinstance(module.weight, Tensor)
            module.weight.data = module.weight.data / module.weight.data.norm()

        self.a.register_forward_pre_hook(normalise)


@awkward("mm with a matrix that is no parameter|addmm with")
class Lazily(Net):
    """Makes a layer at its first call."""

    def between(self, y: Tensor) -> Tensor:
        if "late" not in self.__dict__:
            generator = torch.Generator().manual_seed(0)
            self.__dict__["late"] = torch.randn(8, 8, generator=generator)
        return y @ self.__dict__["late"]


@awkward("with a matrix that is no parameter|with a.weight|the network fails|enters it")
class Copied(Net):
    """Keeps a copy of a layer for later."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [nn.Linear(8, 8)]

    def between(self, y: Tensor) -> Tensor:
        return self.kept[0](y)


@awkward("gives another output")
class Functional(Net):
    """Calls a layer with other weights."""

    def between(self, y: Tensor) -> Tensor:
        return torch.func.functional_call(self.a, {"weight": self.a.weight * 2}, (y,))


@awkward("mm with")
class Function(Net):
    """A function of autograd's."""

    def between(self, y: Tensor) -> Tensor:
        class Mix(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x @ torch.ones(8, 8)

        result: Tensor = Mix.apply(y)
        return result


# Results that depend on chance


@awkward("draws random numbers")
class AlwaysDropped(Net):
    def between(self, y: Tensor) -> Tensor:
        return F.dropout(y, 0.1)


@awkward("draws random numbers")
class Jittered(Net):
    def between(self, y: Tensor) -> Tensor:
        return y + torch.randn_like(y) / 10


@awkward("gives another output for the same input when it is called again")
class ByNumpysChance(Net):
    def between(self, y: Tensor) -> Tensor:
        return y * float(np.random.uniform(0.9, 1.1))


@awkward("gives another output for the same input when it is called again")
class Counting(Net):
    """Answers otherwise each time."""

    calls = 0

    def between(self, y: Tensor) -> Tensor:
        self.calls += 1
        return y * (1 + self.calls)


# Other functions than the layers', and results that depend on what came before


class Ternary(Tensor):
    """Weights that torch's functions take as -1, 0 or 1."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            return F.linear(args[0], args[1].as_subclass(Tensor).sign(), *args[2:])
        return super().__torch_function__(func, types, args, kwargs)


@awkward("its weight is a Ternary")
class OfAnotherKind(Net):
    def __init__(self) -> None:
        super().__init__()
        self.b.weight = nn.Parameter(self.b.weight.detach().as_subclass(Ternary))


class Coarse(TorchFunctionMode):
    """Rounds every weight that F.linear takes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            args = (args[0], args[1].round(), *args[2:])
        return func(*args, **(kwargs or {}))


@awkward("gives another output")
class InAMode(Net):
    def forward(self, x: Tensor) -> Tensor:
        with Coarse():
            return super().forward(x)


@awkward("eq with signs")
class Xnor(Net):
    """Counts equal signs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("signs", torch.rand(8, 8) > 0.5)

    def between(self, y: Tensor) -> Tensor:
        return ((y > 0.1).unsqueeze(1) == self.signs).float().sum(-1)


@awkward("mul and sum at")
class Involution(Net):
    """Filters that are computed from the input, multiplied element by element."""

    def between(self, y: Tensor) -> Tensor:
        return (y.softmax(1)[:, None] * y[:, :, None].expand(-1, -1, 8)).sum(2)


@awkward("listed: b.weight")
class ByItsNorm(Net):
    """Divides by the norms of the digital weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / self.b.weight.norm(dim=1)


@awkward("the network changes scale when it is called in evaluation mode")
class FirstBatch(Net):
    """Takes its scale from the first batch that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.ready = nn.Parameter(torch.ones(8)), False

    def between(self, y: Tensor) -> Tensor:
        if not self.ready:
            self.scale.copy_(1 / y.std(0))
            self.ready = True
        return y * self.scale


@awkward("they are on the device meta")
class NotLoaded(Net):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Linear(8, 3, device="meta")


# Listed, not refused


@awkward("listed: position")
class Positions(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position", torch.randn(4, 8))

    def between(self, y: Tensor) -> Tensor:
        return y + self.position[: len(y)]


@awkward("listed: :constants")
class PlainPositions(Net):
    def between(self, y: Tensor) -> Tensor:
        return y + torch.outer(torch.arange(len(y)), torch.arange(8)) / math.pi


@awkward("listed: norm")
class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def between(self, y: Tensor) -> Tensor:
        normed: Tensor = self.norm(y)
        return normed
