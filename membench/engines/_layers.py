"""Which layers of a network will be converted: decided, and refused, by name before anything is run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from membench.case import Conversion
from membench.errors import UnsupportedError

# What a layer's input must look like: (dimensions, in words).
_INPUTS: dict[type[nn.Module], tuple[int, str]] = {
    nn.Linear: (2, "(n, features)"),
    nn.Conv1d: (3, "(n, channels, length)"),
    nn.Conv2d: (4, "(n, channels, height, width)"),
    nn.Conv3d: (5, "(n, channels, depth, height, width)"),
}


ROOT = "(the network itself)"

L = TypeVar("L", bound=nn.Module)


def layer_at(network: nn.Module, name: str) -> nn.Module:
    """The layer of that name; a network may be one layer."""
    return network if name == ROOT else network.get_submodule(name)


def with_layer(network: nn.Module, planned: PlannedLayer, layer: nn.Module) -> nn.Module:
    """The network with `layer` under every name of a planned one."""
    if planned.name == ROOT:
        return layer
    for alias in planned.aliases:
        network.set_submodule(alias, layer)
    return network


@dataclass(frozen=True)
class PlannedLayer:
    """A layer that will be converted.

    Attributes:
        aliases: all names under which the network holds this very module.
        reads: vectors that one image puts through it: its outputs over its output channels or features; None where no sample
            was looked at.
    """

    name: str
    module: nn.Module
    aliases: tuple[str, ...]
    reads: int | None = None

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
    """Layers to convert, and names of those with parameters that stay digital."""

    layers: tuple[PlannedLayer, ...]
    digital: tuple[str, ...]


def replaced(
    model: nn.Module, plan: Plan, made: Callable[[str, nn.Module], L], progress: Callable[[str, int, int], None]
) -> tuple[nn.Module, dict[str, tuple[PlannedLayer, L]]]:
    """A copy of `model` with other layers in place of the planned ones; `model` stays as it is.

    Args:
        made: what takes the place of a layer, from its name and the layer.
        progress: called with ("convert", layers done, layers in all).

    Returns:
        The copy, and what took the place of each planned layer, by its name.
    """
    network = copy.deepcopy(model).eval()
    found: dict[str, tuple[PlannedLayer, L]] = {}
    for done, planned in enumerate(plan.layers):
        progress("convert", done, len(plan.layers))
        layer = made(planned.name, layer_at(network, planned.name))
        network = with_layer(network, planned, layer)
        found[planned.name] = planned, layer
    progress("convert", len(plan.layers), len(plan.layers))
    return network, found


def examine(model: nn.Module, conversion: Conversion, sample: Tensor | None, refuse: Callable[[nn.Module], str | None]) -> Plan:
    """Walk the network and decide for each module.

    A module whose own parameters are all vectors (normalisation, PReLU) stays digital and is listed. One with a matrix or
    kernel is converted, or the network is refused: nothing stays digital unasked.

    Args:
        sample: a batch as the network takes it, or None: what passes each layer is not looked at.
        refuse: the engine's own reason why it cannot represent a layer of a kind that it knows, or None.

    Raises:
        UnsupportedError: with a line for each fault.
    """
    names: dict[int, list[str]] = {}
    modules: dict[int, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
        modules[id(module)] = module
    known = {name for aliases in names.values() for name in aliases}
    faults = [
        f"keep_digital names {name!r}, which the network does not have" for name in conversion.keep_digital if name not in known
    ]
    layers: list[PlannedLayer] = []
    digital: list[str] = []
    for key, module in modules.items():
        own = dict(module.named_parameters(recurse=False))
        label = names[key][0] or ROOT
        if not own:
            continue
        if any(name == kept or name.startswith(f"{kept}.") for name in names[key] for kept in conversion.keep_digital):
            digital.append(label)
        elif type(module) in _INPUTS:
            reason = refuse(module) or _unfit_weight(module, own)
            if reason:
                faults.append(f"{label} ({type(module).__name__}): {reason}")
            layers.append(PlannedLayer(label, module, tuple(names[key])))
        elif matrices := [name for name, value in own.items() if value.ndim >= 2]:
            base = next((kind.__name__ for kind in _INPUTS if isinstance(module, kind)), None)
            why = (
                f"a subclass of {base}, whose forward may differ"
                if base
                else f"it holds {', '.join(matrices)}, and no engine maps its kind"
            )
            faults.append(f"{label} ({type(module).__name__}): {why}")
        else:
            digital.append(label)
    if not layers:
        faults.append("no layer would be converted at all")
    if not faults and sample is not None:
        layers = _passed(model, layers, sample, faults)
    if faults:
        raise UnsupportedError(
            "This network cannot be converted as declared:\n  "
            + "\n  ".join(faults)
            + "\nChange these layers, or name them in Conversion.keep_digital to leave them digital on purpose."
        )
    return Plan(tuple(layers), tuple(digital))


@contextmanager
def observed(modules: Mapping[str, nn.Module]) -> Iterator[Mapping[str, Sequence[tuple[Tensor, Tensor]]]]:
    """The (input, output) of each call of each module, in the order of their first calls; copies, since a ReLU may act in place."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in modules}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
            if not seen[name]:
                seen[name] = seen.pop(name)  # behind those that were called before
            seen[name].append(([*inputs, *named.values()][0].clone(), output.clone()))

        return hook

    hooks = [module.register_forward_hook(keep(name), with_kwargs=True) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards as it was: training would move running means, and draw numbers."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def _unfit_weight(module: nn.Module, own: Mapping[str, Tensor]) -> str | None:
    weight = own.get("weight")
    if weight is None:
        return "its weight is no parameter of its own (parametrised?)"
    if weight.dtype != torch.float32:
        return f"its weights are {weight.dtype}; float32 is needed"
    if not bool(torch.isfinite(weight).all()):
        return "its weights hold NaN or infinity"
    if not bool(weight.any()):
        return "all its weights are zero, so there is no largest one to map to 1 / r_on"
    return None


def _passed(model: nn.Module, layers: list[PlannedLayer], sample: Tensor, faults: list[str]) -> list[PlannedLayer]:
    """The layers with how often an image goes through each, seen when `sample` goes through the digital network.

    Adds to `faults` those that are never passed, or with inputs of another shape.
    """
    with observed({layer.name: layer.module for layer in layers}) as seen, torch.inference_mode(), evaluated(model):
        model(sample)
    found = []
    for layer in layers:
        dimensions, words = _INPUTS[type(layer.module)]
        if not seen[layer.name]:
            faults.append(f"{layer.name} ({layer.kind}): the network never calls it, so its crossbars would take no part")
        elif (passed := seen[layer.name][-1][0]).ndim != dimensions:
            faults.append(f"{layer.name} ({layer.kind}): its input has shape {tuple(passed.shape)}; {words} is needed")
        outputs = sum(output.numel() for _, output in seen[layer.name])
        found.append(dataclasses.replace(layer, reads=outputs // (layer.weight.shape[0] * len(sample))))
    return found
