"""How a network is called: with a batch of one tensor or of several, and with another function in place of a module's forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Forward = Callable[..., Any]


class Call(NamedTuple):
    """The arguments of one call of a network."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}

    @classmethod
    def of(cls, batch: Any) -> Call:
        """Of a batch: a tensor, a tuple of positional arguments, or a dict of named ones."""
        if isinstance(batch, Call):
            return batch
        if isinstance(batch, Mapping):
            return cls((), dict(batch))
        return cls(batch) if isinstance(batch, tuple) else cls((batch,))

    def __call__(self, network: Callable[..., Any]) -> Any:
        """The network's output."""
        return network(*self.args, **self.kwargs)


@dataclass(frozen=True)
class Batches:
    """A sample of more than one batch.

    Attributes:
        first: a small one, which goes through the converted network as well.
        sizes: of the other sizes that will be measured, since a network may do something else with larger ones.
        others: more of them, for a network whose way depends on the values that it is given (a mixture of experts, an early exit).
    """

    first: Any
    sizes: tuple[Any, ...]
    others: Callable[[], Iterable[Any]]

    @classmethod
    def of(cls, images: Tensor, batch_size: int) -> Batches:
        """Two of these images; a whole batch, and the last one; all batches."""
        batches = torch.split(images, batch_size)
        return cls(images[:2], (batches[0], batches[-1]) if len(batches[-1]) < batch_size else batches[:1], lambda: batches)


def images_in(calls: Iterable[Call]) -> int:
    """How many images go through a network in these calls: the length of the first tensor of each."""
    found = [tensors_in(list(call)) for call in calls]
    return sum(len(tensors[0]) for tensors in found if tensors and tensors[0].ndim)


def tensors_in(tree: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists, dicts and dataclasses."""
    leaves = tree_leaves(tree)
    inner = [tensor for leaf in leaves if is_dataclass(leaf) for tensor in tensors_in(list(vars(leaf).values()))]
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)] + inner


@contextmanager
def wrapped(module: nn.Module, around: Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]) -> Iterator[None]:
    """Call `around(forward, args, kwargs)` in place of a module's forward, whether the network calls `m(x)` or `m.forward(x)`."""
    forward, own = module.forward, "forward" in module.__dict__

    def instead(*args: Any, **kwargs: Any) -> Any:
        return around(forward, args, kwargs)

    module.__dict__["forward"] = instead
    try:
        yield
    finally:
        if own:
            module.__dict__["forward"] = forward
        else:
            del module.__dict__["forward"]
