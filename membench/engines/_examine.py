"""Which layers of a network are converted: decided, compared with what the network executes, and refused by name where they differ.

Three comparisons, from the cheapest to the last: the modules that a network holds; what its forward executes, in the digital network
and in a copy with stand-ins for its layers; and what the converted network executes (`check_converted`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from membench.arrays.geometry import Geometry
from membench.case import Conversion
from membench.engines._calls import Batches, Call, images_in, tensors_in
from membench.engines._layers import ROOT, Kept, Plan, PlannedLayer, below, evaluated, layer_at, replaced
from membench.engines._operators import is_matrix
from membench.engines._watch import PRODUCTS, Execution, execute
from membench.errors import NotConvertedError, UnsupportedError
from membench.words import brief

# What a layer's input must look like: (dimensions, in words).
_INPUTS: dict[type[nn.Module], tuple[int, str]] = {
    nn.Linear: (2, "(n, features)"),
    nn.Conv1d: (3, "(n, channels, length)"),
    nn.Conv2d: (4, "(n, channels, height, width)"),
    nn.Conv3d: (5, "(n, channels, depth, height, width)"),
}
_SAME = 1e-5  # of the largest output: the same products, perhaps added up in another order

Refuse = Callable[[nn.Module], str | None]


def examine(model: nn.Module, conversion: Conversion, sample: Any, refuse: Refuse) -> Plan:
    """Decide for each module of a network; then let a sample through, and see that the network does what was decided.

    A module whose own parameters are all vectors (normalisation, PReLU, a scale of each channel) stays digital and is listed. One
    with a matrix or kernel is converted, or the network is refused; so is a matrix product outside of all layers. Only what
    Conversion.keep_digital names stays digital beside that.

    Args:
        sample: a batch as the network takes it (a tensor, a tuple of arguments, or a dict of named ones), `Batches` of such, or
            None: what the network executes is not looked at.
        refuse: the engine's own reason why it cannot represent a layer of a kind that it knows, or None.

    Raises:
        UnsupportedError: with a line for each fault.
    """
    plan, faults = _decided(model, conversion, refuse)
    if not faults and sample is not None:
        with evaluated(model):
            plan, faults = _compared(model, plan, sample)
    if faults:
        raise UnsupportedError(
            "This network cannot be converted as declared:\n  "
            + "\n  ".join(faults)
            + "\nChange this, or name it in Conversion.keep_digital to leave it digital on purpose: a module, a parameter, or "
            f"MODULE{PRODUCTS}, the matrix products of a module's own forward ({PRODUCTS} of the network's)."
        )
    return plan


# What a network holds


def _decided(model: nn.Module, conversion: Conversion, refuse: Refuse) -> tuple[Plan, list[str]]:
    names: dict[int, list[str]] = {}
    modules: dict[int, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
        modules[id(module)] = module
    wanted = conversion.keep_digital
    kept = {id(module) for module in Kept.of(model, wanted).modules.values()}
    layers: list[PlannedLayer] = []
    digital: list[str] = []
    faults: list[str] = []
    for key, module in modules.items():
        label, aliases = names[key][0] or ROOT, names[key]
        own = dict(module.named_parameters(recurse=False))
        if not own:
            continue
        if key in kept:
            digital.append(label)
        elif type(module) in _INPUTS:
            if reason := refuse(module) or _unfit(module, own):
                faults.append(f"{label} ({type(module).__name__}): {reason}")
            layers.append(PlannedLayer(label, module, tuple(aliases)))
        else:
            full = {name: f"{aliases[0]}.{name}".lstrip(".") for name in own}
            if matrices := [name for name in own if full[name] not in wanted and _is_matrix(own[name])]:
                faults.append(f"{label} ({type(module).__name__}): {_unmapped(module, matrices)}")
            chosen = [full[name] for name in own if full[name] in wanted]
            digital += chosen if len(chosen) == len(own) else [label, *chosen]
    faults = [*_unknown(model, wanted, layers), *faults]
    if not layers:
        faults.append("no layer would be converted at all")
    return Plan(tuple(layers), tuple(digital), wanted), faults


def _unknown(model: nn.Module, wanted: Sequence[str], layers: Sequence[PlannedLayer]) -> list[str]:
    """A line for each name in keep_digital that means nothing."""
    modules = {name for name, _ in model.named_modules(remove_duplicate=False)}
    tensors = {
        name for name, _ in (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    }
    of_layers = {f"{alias}.{own}".lstrip(".") for layer in layers for alias in layer.aliases for own in ("weight", "bias")}
    faults = []
    for name in wanted:
        if name in of_layers:
            faults.append(f"keep_digital names {name!r}, a parameter of a layer that is converted; name the layer")
        elif not name or (name not in modules | tensors and name.removesuffix(PRODUCTS) not in modules):
            faults.append(f"keep_digital names {name!r}, which the network does not have")
    return faults


def _is_matrix(parameter: Tensor) -> bool:
    return nn.parameter.is_lazy(parameter) or is_matrix(parameter)


def _unmapped(module: nn.Module, matrices: Sequence[str]) -> str:
    if any(map(nn.parameter.is_lazy, module.parameters(recurse=False))):
        return "its parameters have no shape yet; let a batch go through the network first"
    base = next((kind.__name__ for kind in _INPUTS if isinstance(module, kind)), None)
    if base:
        return f"a subclass of {base}, whose forward may differ"
    return f"it holds {', '.join(matrices)}, and no engine maps its kind"


def _unfit(module: nn.Module, own: Mapping[str, Tensor]) -> str | None:
    weight = own.get("weight")
    if weight is None:
        return "its weight is no parameter of its own (parametrised or pruned? Make that permanent)"
    if type(weight) is not nn.Parameter:
        return f"its weight is a {type(weight).__name__}, a kind of tensor that may compute something else"
    if weight.is_meta:
        return "its weights are not in memory (they are on the device meta); load them"
    if "forward" in vars(module):
        return "its forward was replaced by a function of its own, which no engine takes over"
    if weight.dtype != torch.float32:
        return f"its weights are {weight.dtype}; float32 is needed"
    if not bool(torch.isfinite(weight).all()):
        return "its weights hold NaN or infinity"
    if not bool(weight.any()):
        return "all its weights are zero, so there is no largest one to map to 1 / r_on"
    return None


# What a network executes


class _StandIn(nn.Module):
    """Computes a layer's products from its weights and geometry alone, as perfect crossbars would."""

    def __init__(self, digital: nn.Module) -> None:
        super().__init__()
        self.geometry = Geometry.of(digital)
        weight, bias = digital.weight, digital.bias
        assert isinstance(weight, Tensor)
        assert bias is None or isinstance(bias, Tensor)
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)  # a forward may ask for the network's parameters
        self.register_buffer("bias", None if bias is None else bias.detach())
        self._programmed = weight.detach().clone(), None if bias is None else bias.detach().clone()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch's own layers name it
        with torch._C.DisableTorchFunction():  # what stands around functions of torch does not stand around crossbars
            return self.geometry.multiply(input, *self._programmed)


def _compared(model: nn.Module, plan: Plan, sample: Any) -> tuple[Plan, list[str]]:
    """The plan with what the sample showed, and a line for each thing that the network does beside it."""
    copied, _ = replaced(model, plan.layers, lambda name, digital: _StandIn(digital), lambda *_: None)
    modules, kept = {layer.name: layer.module for layer in plan.layers}, Kept.of(model, plan.keep_digital)
    batches = sample if isinstance(sample, Batches) else Batches(sample, (), tuple)
    calls: tuple[Call, ...] = (Call.of(batches.first), *map(Call.of, batches.sizes))
    versions = _versions(model)
    first = seen = execute(model, calls[:1], modules, kept)
    if batches.sizes or first.depends:
        calls = (*calls, *map(Call.of, batches.others())) if first.depends else calls
        seen = execute(model, calls, modules, kept)
    moved = [name for name, version in _versions(model).items() if version != versions.get(name)]
    images = max(1, images_in(calls))
    layers = tuple(
        dataclasses.replace(
            layer,
            reads=seen.elements[layer.name] // (layer.weight.shape[0] * images) or None,
            entered=first.entered[layer.name],
        )
        for layer in plan.layers
    )
    digital = list(plan.digital)
    digital += [name for name in (*seen.digital, *seen.constants) if not any(below(name, listed) for listed in digital)]
    found = dataclasses.replace(plan, layers=layers, digital=tuple(digital), calls=calls, depends=seen.depends is not None)
    faults = [*_inputs(layers, seen), *_outside(seen), *_idle(found)]
    faults += [
        f"the network changes {name} when it is called in evaluation mode: results depend on what it saw before"
        for name in moved
    ]
    faults = faults or _inconstant(model, calls[0], seen.answers[0])
    return found, faults or _changed(found, seen, copied)


def _inputs(layers: Sequence[PlannedLayer], seen: Execution) -> list[str]:
    faults = []
    beside = {one.matrix for one in seen.products}
    for layer in layers:
        dimensions, words = _INPUTS[type(layer.module)]
        entered = seen.entered[layer.name]
        if not entered and beside & {f"{alias}.weight".lstrip(".") for alias in layer.aliases}:
            continue  # its weights are used, but not by it: the product is named
        if not entered:
            faults.append(f"{layer.name} ({layer.kind}): the network never calls it, so its crossbars would take no part")
        elif len(seen.shapes[layer.name]) != dimensions:
            faults.append(f"{layer.name} ({layer.kind}): its input has shape {seen.shapes[layer.name]}; {words} is needed")
    return faults


def _outside(seen: Execution) -> list[str]:
    """A line for each thing that runs outside of the layers and does not stay digital on purpose."""
    faults = [
        f"{one}, outside of every layer: it would stay digital (keep_digital: '{one.module}{PRODUCTS}')"
        for one in seen.products
    ]
    faults += [f"{one} takes activations out of torch, so that nothing is known of what is done with them" for one in seen.left]
    faults += [f"{one} in evaluation mode, so that no result could be had again" for one in seen.random]
    if not seen.follows and not seen.left:
        faults.append("the network itself: its output does not follow from its input by torch's operators")
    return faults


def _idle(plan: Plan) -> list[str]:
    """A line for each name in keep_digital in which nothing is left digital."""
    return [
        f"keep_digital names {name!r}, in which there is nothing to keep digital"
        for name in plan.keep_digital
        if not any(below(label, name) for label in plan.digital)
    ]


def _versions(model: nn.Module) -> dict[str, int]:
    """How often each parameter and buffer was changed."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return {name: value._version for name, value in tensors if not (value.is_inference() or nn.parameter.is_lazy(value))}


def _inconstant(model: nn.Module, call: Call, answer: Any) -> list[str]:
    """What is wrong with a network that answers otherwise when it is asked again."""
    with torch.no_grad():
        again = call(model)
    if all(_same(*pair) for pair in zip(tensors_in(answer), tensors_in(again), strict=True)):
        return []
    return [
        "the network itself gives another output for the same input when it is called again, so that no result could be had again"
    ]


def _changed(plan: Plan, seen: Execution, copied: nn.Module) -> list[str]:
    """What differs in a copy with stand-ins for the layers, which compute the same products. Nothing should."""
    try:
        found = _executed(copied, plan, plan.calls)
    except Exception as error:  # of the user's forward, which may ask a layer for anything
        return [f"with other layers in place of its own the network fails: {type(error).__name__}: {brief(error)}"]
    if faults := _unlike(plan, _executed(copied, plan, plan.calls[:1])) or _unlike(plan, found, counted=False):
        return faults
    pairs = zip(tensors_in(seen.answers), tensors_in(found.answers), strict=True)
    if all(_same(*pair) for pair in pairs):
        return []
    return [
        "with other layers in place of its own, which compute the same products, the network gives another output: it uses something of a "
        "layer beside weights, bias and geometry"
    ]


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    one, other = one.double(), other.double()
    largest = float(one.abs().nan_to_num(posinf=0.0).max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=_SAME * largest, equal_nan=True)


def _executed(network: nn.Module, plan: Plan, calls: Sequence[Call]) -> Execution:
    """What a network executes that has other layers in place of the planned ones."""
    layers = {layer.name: layer_at(network, layer.name) for layer in plan.layers}
    weights = {f"{layer.name}.weight": layer.weight for layer in plan.layers if not isinstance(layer.module, nn.Identity)}
    return execute(network, calls, layers, Kept.of(network, plan.keep_digital), weights)


def _unlike(plan: Plan, seen: Execution, counted: bool = True) -> list[str]:
    """A line for each layer that a converted network does not enter as the digital one does, and each product beside its layers.

    Args:
        counted: whether it is the first call alone that was looked at, of which the digital network's counts are known.
    """
    faults = []
    for layer in plan.layers if counted else ():
        now, then = seen.entered[layer.name], layer.entered
        if then is None or plan.depends:
            if now == 0 and not plan.depends:
                faults.append(f"{layer.name}: the converted network does not enter it")
        elif now != then:
            faults.append(f"{layer.name}: the converted network enters it {now} times, the digital one {then} times")
    held = "does a function (a lambda, a closure, a bound method) hold the digital layer? Call layers by their attributes"
    if plan.depends:
        held = "which way the network takes depends on values, and is another one here; keep_digital may name what is there"
    return faults + [f"{one}, outside of every converted layer; {held}" for one in (*seen.products, *seen.left)]


# What a converted network executes


def check_converted(network: nn.Module, plan: Plan) -> None:
    """Call a converted network as the plan did the digital one: it must enter its layers as often, and multiply nowhere else.

    Raises:
        NotConvertedError: with a line for each layer or product.
    """
    left = [layer.name for layer in plan.layers if type(layer_at(network, layer.name)) in _INPUTS]
    if faults := [f"{name}: it is digital still" for name in left] or _unlike(plan, _executed(network, plan, plan.calls[:1])):
        raise _not_converted(faults)


def _not_converted(faults: Sequence[str]) -> NotConvertedError:
    return NotConvertedError("The converted network does not execute what was converted:\n  " + "\n  ".join(faults))


@dataclass
class FirstCall:
    """The forward of a converted network of which no sample was looked at: the first batch is looked at while it runs.

    It takes itself away when a batch has passed.
    """

    network: nn.Module
    plan: Plan

    @classmethod
    def watch(cls, network: nn.Module, plan: Plan) -> None:
        """Look at the first batch that goes through `network`."""
        names = tuple(dataclasses.replace(layer, module=nn.Identity()) for layer in plan.layers)  # the layers need not be kept
        network.__dict__["forward"] = cls(network, dataclasses.replace(plan, layers=names))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        del self.network.__dict__["forward"]
        passed = False
        try:
            seen = _executed(self.network, self.plan, [Call(args, kwargs)])
            faults = list(dict.fromkeys([*_unlike(self.plan, seen), *_outside(seen)]))
            passed = not faults
        finally:
            if not passed:
                self.network.__dict__["forward"] = self
        if faults:
            raise _not_converted(faults)
        return seen.answers[0]
