"""What a network executes: seen by torch's dispatcher, whatever way its forward is written.

A module that was replaced says nothing about what runs. So a batch goes through the network, and every operator is looked at:
which layers are entered and how often, and which products of activations with matrices run outside of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from membench.engines import _operators as operators
from membench.engines._calls import Call, Forward, tensors_in, wrapped
from membench.engines._layers import Kept

PRODUCTS = ":products"  # after a module's name: the matrix products that its own forward computes
CONSTANTS = ":constants"  # the matrices that its own forward uses and that are neither parameters nor buffers

_OWN = f"{Path(__file__).parents[1]}/"
_TORCH = f"{Path(torch.__file__).parent}/"
_LEAVES_TORCH = frozenset({"numpy", "tolist", "__array__", "__dlpack__"})
_COPIES = frozenset({"clone", "_to_copy", "copy"})


@dataclass(frozen=True)
class Seen:
    """Something that a network did outside of its layers.

    Attributes:
        module: dotted name of the innermost module that was entered; "" is the network itself.
        what: in words, with the operator's name.
        where: file and line of the user's code; empty where it is not known.
        matrix: name of the parameter or buffer that takes part; empty where it is neither, None where there is none.
    """

    module: str
    what: str
    where: str = ""
    matrix: str | None = None

    def __str__(self) -> str:
        other = "" if self.matrix is None else f" with {self.matrix or 'a matrix that is no parameter'}"
        place = f" at {self.where}" if self.where else ""
        return f"{self.module or 'the network itself'}: {self.what}{other}{place}"


@dataclass
class Execution:
    """What a network executed.

    Attributes:
        entered: how often each layer was entered, by its name.
        elements: of all outputs of each layer.
        shapes: of the last input of each layer.
        products: matrix products outside of the layers.
        digital: names of what stays digital on purpose and ran: modules, `MODULE:products`, tensors.
        constants: names of matrices that took part and multiply nothing (a mask, a position embedding).
        random: draws of random numbers.
        left: activations that left torch, so that nothing is known of what became of them.
        depends: where the way through the network depends on values; None: nowhere.
        answers: the network's output for each batch.
        follows: whether all outputs follow from the inputs by torch's operators.
    """

    entered: Counter[str] = field(default_factory=Counter)
    elements: Counter[str] = field(default_factory=Counter)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    products: list[Seen] = field(default_factory=list)
    digital: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    random: list[Seen] = field(default_factory=list)
    left: list[Seen] = field(default_factory=list)
    depends: Seen | None = None
    answers: list[Any] = field(default_factory=list)
    follows: bool = True


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a network, by name."""
    return dict((*network.named_parameters(), *network.named_buffers()))


def execute(
    network: nn.Module,
    calls: Sequence[Call],
    layers: Mapping[str, nn.Module],
    kept: Kept,
    weights: Mapping[str, Tensor] | None = None,
) -> Execution:
    """Call a network, and see what it executes.

    Args:
        network: is left as it was, but for what its own forward changes.
        calls: with which arguments.
        layers: that are converted, or will be, by name; what runs in them is not looked at.
        kept: what stays digital on purpose.
        weights: of the digital layers by name, where the network holds others in their place.
    """
    of_layers = {name for name, layer in layers.items() for name in (f"{name}.weight", f"{name}.bias")}
    watch = _Watch({**_tensors(network), **(weights or {})}, kept.names, of_layers)
    escapes = _Escapes(watch)
    with ExitStack() as stack:
        around = {id(module): watch.in_layer(name) for name, module in layers.items()}
        for name, module in kept.modules.items():
            around.setdefault(id(module), watch.in_kept(name))
        for name, module in network.named_modules():
            stack.enter_context(wrapped(module, around.get(id(module)) or watch.in_module(name)))
        stack.enter_context(torch.no_grad())
        for call in calls:
            watch.feed(tensors_in(list(call)))
            with watch, escapes:
                given = call(network)
            watch.end(given)
    return watch.seen


@dataclass(frozen=True)
class _Constant:
    """A tensor that does not follow from the inputs: weights, and what is made of them.

    Attributes:
        name: of the parameter or buffer; empty for another tensor.
        matrix: whether it is a matrix, or a part of one.
        parameter: whether it is a parameter.
    """

    name: str
    matrix: bool
    parameter: bool = False


class _Watch(TorchDispatchMode):
    """Looks at every operator. What follows from the inputs is known by its memory: views share it, and in-place operators keep it."""

    def __init__(self, tensors: Mapping[str, Tensor], kept_names: frozenset[str], of_layers: Collection[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = Execution()
        self._kept_names = kept_names
        self._of_layers = of_layers
        self._modules = [""]
        self._kept: list[str] = []
        self._inside = 0
        self._fed: set[object] = set()
        self._constants: dict[object, _Constant] = {}
        self._scaled: dict[object, tuple[torch.Size, frozenset[int], str | None]] = {}
        for name, value in tensors.items():
            if not nn.parameter.is_lazy(value):
                self._constants[_memory(value)] = _Constant(name, operators.is_matrix(value), isinstance(value, nn.Parameter))

    # Which module runs

    def in_layer(self, name: str) -> Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]:
        def around(forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            self._inside += 1
            try:
                out = forward(*args, **kwargs)
            finally:
                self._inside -= 1
            given, made = tensors_in([args, kwargs]), tensors_in(out)
            if given:
                self.seen.entered[name] += 1
                self.seen.shapes[name] = tuple(given[0].shape)
                self.seen.elements[name] += sum(one.numel() for one in made)
            if any(map(self._is_fed, given)):
                self.feed(made)
            return out

        return around

    def in_module(self, name: str) -> Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]:
        return self._entered(self._modules, name)

    def in_kept(self, name: str) -> Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]:
        return self._entered(self._kept, name)

    @staticmethod
    def _entered(names: list[str], name: str) -> Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]:
        def around(forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            names.append(name)
            try:
                return forward(*args, **kwargs)
            finally:
                names.pop()

        return around

    @property
    def looking(self) -> bool:
        """Whether what runs now is outside of every layer."""
        return self._inside == 0

    # What follows from the inputs

    def feed(self, tensors: Iterable[Tensor]) -> None:
        """These are inputs, or follow from them."""
        self._fed.update(map(_memory, tensors))

    def _is_fed(self, tensor: Tensor) -> bool:
        return _memory(tensor) in self._fed

    def end(self, given: Any) -> None:
        """The network gave this output for a batch."""
        tensors = tensors_in(given)
        self.seen.follows = self.seen.follows and bool(tensors) and all(map(self._is_fed, tensors))
        self.seen.answers.append(given)

    def _constant(self, tensor: Tensor) -> _Constant:
        return self._constants.setdefault(_memory(tensor), _Constant("", operators.is_matrix(tensor)))

    # Operators

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if not self.looking:
            return func(*args, **named)
        if not operators.is_harmless(func) and operators.is_composite(func):  # it is made of others, as in inference mode
            with self:
                return func.decompose(*args, **named)
        given = tensors_in([args, named])
        fed = [one for one in given if self._is_fed(one)]
        state = torch.get_rng_state() if operators.is_random(func) else None
        out = func(*args, **named)
        made = tensors_in(out)
        if state is not None and (named.get("generator") is not None or not torch.equal(state, torch.get_rng_state())):
            self._note(self.seen.random, f"{operators.base_name(func)} draws random numbers")
        if not fed:
            self._derive(func, given, made)
            return out
        if operators.asks_for_values(func) and self.seen.depends is None:
            self.seen.depends = Seen(self._modules[-1], operators.base_name(func), _place())
        self._look(func, args, fed, [one for one in given if not self._is_fed(one)], made)
        self.feed([*made, *_written(func, args, named)])
        return out

    def _derive(self, func: OpOverload, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """What is made of constants alone is a constant. A part of a matrix is a matrix still where it is scaled or copied."""
        parts = [self._constant(one) for one in given]
        name = next((part.name for part in parts if part.name), "")
        still = any(part.matrix for part in parts) and (operators.is_elementwise(func) or operators.base_name(func) in _COPIES)
        for one in made:
            self._constants.setdefault(_memory(one), _Constant(name, operators.is_matrix(one) or (still and one.numel() > 1)))

    def _look(
        self, func: OpOverload, args: tuple[Any, ...], fed: Sequence[Tensor], others: Sequence[Tensor], made: Sequence[Tensor]
    ) -> None:
        """Look at an operator that activations go into: `fed` follow from the inputs, `others` do not."""
        name = operators.base_name(func)
        constants = [(one, constant) for one in others if (constant := self._constant(one)).name not in self._kept_names]
        matrices = [(one, constant) for one, constant in constants if constant.matrix]
        if not operators.is_harmless(func):
            kept = [constant.name for one in others if (constant := self._constant(one)).matrix]
            if kept and not matrices and not self._kept:  # all matrices in it stay digital on purpose
                self._keep(kept[0])
            else:
                self._product(name, matrices[0][1].name if matrices else None)
            return
        for one, constant in matrices:
            if one.dtype == torch.bool and not _spreads(fed, made):
                continue  # a mask
            if one.is_floating_point() or one.is_complex() or one.dtype == torch.bool:
                if _multiplies(func, args, one, fed, made):
                    self._product(name, constant.name)
                else:
                    self._take_part(constant)
        for _, constant in constants:
            if constant.name in self._of_layers and not constant.matrix:  # a norm of a layer's digital weights, say
                self._take_part(constant)
        self._sum_of_products(func, args, fed, constants, made)

    def _sum_of_products(
        self,
        func: OpOverload,
        args: tuple[Any, ...],
        fed: Sequence[Tensor],
        constants: Sequence[tuple[Tensor, _Constant]],
        made: Sequence[Tensor],
    ) -> None:
        """A product summed at once along what it has in common is a matrix product: of activations with each other, or, in parts, with
        a vector that is no parameter."""
        if operators.base_name(func) == "mul" and made:
            if len(fed) == 2 and not _same_elements(*fed):
                first, second = (operators.long_dimensions(part.shape, made[0].shape) for part in fed)
                self._scaled[_memory(made[0])] = made[0].shape, first & second, None
            for one, constant in constants:
                lengths = operators.long_dimensions(one.shape, made[0].shape)
                if lengths and not constant.parameter and not constant.matrix:
                    self._scaled[_memory(made[0])] = made[0].shape, lengths, constant.name
        elif operators.sums(func) and _memory(args[0]) in self._scaled:
            shape, lengths, name = self._scaled[_memory(args[0])]
            if args[0].shape == shape and lengths & operators.summed_dimensions(args, len(shape)):
                self._product(f"mul and {operators.base_name(func)}", name)

    # What is kept of it

    def _take_part(self, constant: _Constant) -> None:
        label = constant.name or f"{self._modules[-1]}{CONSTANTS}"
        if not self._kept and label not in self.seen.constants:
            self.seen.constants.append(label)

    def _product(self, what: str, matrix: str | None) -> None:
        products = f"{self._modules[-1]}{PRODUCTS}"
        if self._kept:
            self._keep(self._kept[-1])
        elif products in self._kept_names:
            self._keep(products)
        else:
            self._note(self.seen.products, what, matrix)

    def _keep(self, name: str) -> None:
        if name not in self.seen.digital:
            self.seen.digital.append(name)

    def _note(self, notes: list[Seen], what: str, matrix: str | None = None) -> None:
        note = Seen(self._modules[-1], what, _place(), matrix)
        if note not in notes:
            notes.append(note)

    def leave(self, tensor: Tensor, how: str) -> None:
        """A tensor leaves torch."""
        if self.looking and not self._kept and self._is_fed(tensor):
            self._note(self.seen.left, f"Tensor.{how}")


def _multiplies(func: OpOverload, args: tuple[Any, ...], matrix: Tensor, fed: Sequence[Tensor], made: Sequence[Tensor]) -> bool:
    """Whether a harmless operator multiplies activations by this matrix all the same, or looks them up in it."""
    if operators.looks_up(func):
        return args[0] is matrix
    if not operators.is_elementwise(func):
        return False
    if operators.only_adds(func):  # unless each activation meets many elements of the matrix, as in a distance
        return _spreads(fed, made)
    return True


def _spreads(fed: Sequence[Tensor], made: Sequence[Tensor]) -> bool:
    """Whether each activation meets more than one element of what it is combined with."""
    return bool(made) and made[0].numel() > max(map(operators.distinct, fed)) > 1


def _same_elements(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one: a square."""
    return _memory(one) == _memory(other) and one.shape == other.shape and bool(one.storage_offset() == other.storage_offset())


class _Escapes(TorchFunctionMode):
    """Sees activations leave torch, where no operator is dispatched."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LEAVES_TORCH and args and isinstance(args[0], Tensor):
            self._watch.leave(args[0], name)
        return func(*args, **(kwargs or {}))


def _memory(tensor: Tensor) -> object:
    """What tensors of the same memory share. No other memory gets it while it is held, and holding it does not hold the memory."""
    try:
        return StorageWeakRef(tensor.untyped_storage())
    except (NotImplementedError, RuntimeError):  # sparse and other opaque tensors have no storage
        return id(tensor)


def _written(func: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The operands that an operator changes."""
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += tensors_in(args[index] if index < len(args) else kwargs.get(argument.name))
    return found


def _place() -> str:
    """File and line of the innermost code that is neither torch's nor membench's."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_OWN, _TORCH, "<frozen")):
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
