"""The layers of a network that are converted, and a copy of the network with others in their place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor, nn

from membench.engines._calls import Call, Forward, wrapped
from membench.errors import MembenchError, UnsupportedError
from membench.words import brief

ROOT = "(the network itself)"

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)

L = TypeVar("L", bound=nn.Module)


def layer_at(network: nn.Module, name: str) -> nn.Module:
    """The layer of that name; a network may be one layer."""
    return network if name == ROOT else network.get_submodule(name)


@dataclass(frozen=True)
class PlannedLayer:
    """A layer that will be converted.

    Attributes:
        aliases: all names under which the network holds this very module.
        reads: vectors that one image puts through it: its outputs over its output channels or features; None where no sample
            was looked at.
        entered: how often the first call entered it in the digital network; None where no sample was looked at.
    """

    name: str
    module: nn.Module
    aliases: tuple[str, ...]
    reads: int | None = None
    entered: int | None = None

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def weight(self) -> Tensor:
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight


@dataclass(frozen=True)
class Plan:
    """Which layers are converted, and what stays digital.

    Attributes:
        layers: to convert.
        digital: names of what stays digital: modules with parameters, matrix products of a module's own forward
            (`MODULE:products`), parameters and buffers.
        keep_digital: what of this the conversion asks for.
        calls: of the network that were looked at; none without a sample.
        depends: whether the way through the network depended on the values of the sample.
    """

    layers: tuple[PlannedLayer, ...]
    digital: tuple[str, ...]
    keep_digital: tuple[str, ...] = ()
    calls: tuple[Call, ...] = field(default=(), repr=False, compare=False)
    depends: bool = False


@dataclass(frozen=True)
class Kept:
    """What stays digital on purpose.

    Attributes:
        modules: by name, with all below them.
        names: of tensors, and `MODULE:products`.
    """

    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, network: nn.Module, wanted: Sequence[str]) -> Kept:
        """What these names of Conversion.keep_digital mean in a network."""
        named = [(name, module) for name, module in network.named_modules(remove_duplicate=False) if name]
        modules = {name: module for name, module in named if any(below(name, kept) for kept in wanted)}
        kept = {id(module) for module in modules.values()}
        tensors = {f"{name}.{own}" for name, module in named if id(module) in kept for own, _ in _own_tensors(module)}
        return cls(modules, frozenset((*tensors, *wanted)))


def below(name: str, module: str) -> bool:
    """Whether a dotted name is that of a module, or of something in it."""
    return name == module or name.startswith(f"{module}.")


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def replaced(
    model: nn.Module,
    layers: Sequence[PlannedLayer],
    made: Callable[[str, nn.Module], L],
    progress: Callable[[str, int, int], None],
) -> tuple[nn.Module, dict[str, tuple[PlannedLayer, L]]]:
    """A copy of `model` with other layers in place of the planned ones; `model` stays as it is.

    Wherever `model` holds a planned layer, the copy holds the new one: under each of its names, and in lists, dicts and other
    objects that can be copied. A function that holds a layer of its own (a closure) is no such object: it keeps the old one.

    Args:
        made: what takes the place of a layer, from its name and a copy of the layer. It is given the layer's hooks and sizes.
        progress: called with ("convert", layers done, layers in all).

    Returns:
        The copy, and what took the place of each planned layer, by its name.

    Raises:
        UnsupportedError: when the network cannot be copied.
    """
    memo: dict[int, Any] = {}
    found: dict[str, tuple[PlannedLayer, L]] = {}
    for done, planned in enumerate(layers):
        progress("convert", done, len(layers))
        digital = _copied(planned.module, {})
        layer = made(planned.name, digital)
        for size in getattr(digital, "__constants__", ()):  # a forward may ask for `self.fc.in_features`
            if not hasattr(layer, size):
                setattr(layer, size, getattr(digital, size))
        for hooks in _HOOKS:
            getattr(layer, hooks).update(getattr(digital, hooks))
        memo[id(planned.module)] = layer
        found[planned.name] = planned, layer
    progress("convert", len(layers), len(layers))
    return _copied(model, memo).eval(), found


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(module, memo)
    except MembenchError:
        raise
    except Exception as error:  # whatever a module holds that cannot be copied
        raise UnsupportedError(
            f"This network cannot be copied, and it is a copy that is converted: {type(error).__name__}: {brief(error)}. Keep what "
            "cannot be copied (a lock, an open file, a tensor that was computed) out of its attributes."
        ) from error


@contextmanager
def observed(modules: Mapping[str, nn.Module]) -> Iterator[Mapping[str, Sequence[tuple[Tensor, Tensor]]]]:
    """The (input, output) of each call of each module, in the order of their first calls; copies, since a ReLU may act in place."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in modules}

    def keep(name: str) -> Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]:
        def around(forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not seen[name]:
                seen[name] = seen.pop(name)  # behind those that were called before
            given = [*args, *kwargs.values()][0].clone()
            output = forward(*args, **kwargs)
            seen[name].append((given, output.clone()))
            return output

        return around

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.enter_context(wrapped(module, keep(name)))
        yield seen


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards as it was: training would move running means, and draw numbers."""
    modes = [(module, module.training) for module in model.modules() if hasattr(module, "training")]  # a frozen script has none
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
