"""Weights that others trained, as tensors under the names of a network: safetensors, or what torch.save wrote of a state dict.

No file may run code while it is read: torch reads with weights_only=True.
"""

from __future__ import annotations

import difflib
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from torch import Tensor, nn

from membench.errors import FileFormatError, InputError
from membench.words import brief, capped, quoted

OF_TORCH = (".pt", ".pth", ".ckpt", ".bin")
_USUAL = ("state_dict", "model_state_dict", "model")  # under which training scripts keep the state dict
_COMPILED = "_orig_mod."  # what torch.compile adds
_UNUSED = "num_batches_tracked"  # of BatchNorm: it moves no answer, and older files lack it
_SHOWN = 4  # of each kind of fault


def tensors_in(data: bytes, file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint.

    Args:
        data: content of the file.
        file: its path; the suffix says what it is, and messages name it.

    Raises:
        FileFormatError: when it is damaged, holds no state dict, or cannot be read without running code.
    """
    if data.startswith(b"version https://git-lfs"):
        raise FileFormatError(f"{file} is a pointer of Git LFS, not the weights themselves. Get them with: git lfs pull")
    if file.suffix == ".safetensors":
        try:
            return dict(from_safetensors(data))
        except (SafetensorError, ValueError, KeyError, OverflowError) as error:
            raise FileFormatError(f"{file} is no safetensors file, or damaged: {brief(error)}.") from error
    if file.suffix in OF_TORCH:
        return _state_dict(_loaded(data, file), file)
    raise FileFormatError(
        f"{file} has the suffix {quoted(file.suffix)}. Allowed: .safetensors, {', '.join(OF_TORCH)}. Save the weights where the network "
        f"is: {_remedy(file)}"
    )


def _remedy(file: Path) -> str:
    return f"torch.save(model.state_dict(), '{file.stem}.pt')"


def _loaded(data: bytes, file: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say of a sparse tensor would be taken for an error in a gate
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file almost any
        said = str(error)
        if named := re.search(r"GLOBAL ([\w.]+)", said):
            raise FileFormatError(
                f"{file} needs the code of {named.group(1)} to be read, and a file that is read must not run code. Save the tensors alone, "
                f"where that code is: {_remedy(file)}"
            ) from error
        if "TorchScript" in said:
            raise FileFormatError(
                f"{file} is a TorchScript archive, which is code. Save the tensors alone: {_remedy(file)}"
            ) from error
        raise FileFormatError(f"{file} is nothing that torch.save wrote, or damaged: {brief(error)}.") from error


def _state_dict(content: object, file: Path) -> dict[str, Tensor]:
    """The state dict in what was loaded: the whole, or the value of one key beside others (epoch, optimizer, ...)."""
    if not isinstance(content, Mapping):
        raise FileFormatError(f"{file} holds a {type(content).__name__}, not a state dict. Save one: {_remedy(file)}")
    if _is_state(content):
        return dict(content)
    inside = [key for key, value in content.items() if _is_state(value)]
    chosen = inside if len(inside) == 1 else [key for key in inside if key in _USUAL]
    if len(chosen) == 1:
        return dict(content[chosen[0]])
    keys = ", ".join(f"{quoted(key)} ({type(value).__name__})" for key, value in list(content.items())[:8])
    what = f"several state dicts ({', '.join(map(quoted, inside))})" if inside else "no state dict, of names and tensors"
    raise FileFormatError(
        capped(f"{file} holds {what}; its keys: {keys or 'none'}. Save one alone: {_remedy(file)}", str(file))
    )


def _is_state(value: object) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())


def fitted(tensors: Mapping[str, Tensor], model: nn.Module, file: Path, network: str) -> dict[str, Tensor]:
    """The tensors under the network's own names, in its own types of numbers.

    What wrappers add to names is taken off where the network has no such names: `_orig_mod.` of torch.compile, and what all names begin
    with, as `module.` of DataParallel, or `model.` of a Lightning module.

    Raises:
        InputError: lists each tensor that does not fit, with its shape and the nearest name of the network; and each that is missing.
    """
    wanted = model.state_dict()
    found = _unwrapped(tensors, wanted)
    other, missing = _faults(found, wanted)
    if other or missing:
        head = (
            f"{file} does not fit the network {network!r}: {len(other)} of its {len(found)} tensors do not fit, and {len(missing)} of "
            f"the network's {len(wanted)} are missing."
        )
        raise InputError(capped("\n  ".join([head, *_some(other), *_some(missing)]), str(file)))
    parameters = {name for name, _ in model.named_parameters()}
    state: dict[str, Tensor] = {}
    for name, value in wanted.items():
        given = found.get(name, value).detach().to(value.dtype)
        if name in parameters and not bool(torch.isfinite(given).all()):
            raise InputError(f"{file}: {name} holds NaN or infinity.")
        state[name] = given
    return state


def _unwrapped(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what all their names begin with, as far as more of the network's names come out by it."""
    found = dict(tensors)
    if not any(_COMPILED in name for name in wanted):
        found = {name.replace(_COMPILED, ""): value for name, value in found.items()}
    best = found
    while len({name.partition(".")[0] for name in found}) == 1 and all(name.partition(".")[2] for name in found):
        found = {name.partition(".")[2]: value for name, value in found.items()}
        if len(found.keys() & wanted.keys()) > len(best.keys() & wanted.keys()):
            best = found
    return best


def _faults(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """A line for each tensor that has no place in the network, and one for each that is missing."""
    unknown = [name for name in found if name not in wanted]
    missing = [name for name in wanted if name not in found and not name.endswith(_UNUSED)]
    other = [line for name in found if name in wanted and (line := _other_kind(name, found[name], wanted[name]))]
    other += [
        f"{_shown(name, found[name])}: the network has no such tensor; {_nearest(name, missing or list(wanted), wanted)}"
        for name in unknown
    ]
    return other, [f"{_shown(name, wanted[name])} is missing; {_nearest(name, unknown, found)}" for name in missing]


def _some(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]


def _other_kind(name: str, given: Tensor, wanted: Tensor) -> str:
    if given.shape != wanted.shape:
        return f"{_shown(name, given)}: the network's has the shape {tuple(wanted.shape)}"
    plain = given.layout is torch.strided and given.device.type == "cpu" and not given.is_quantized
    if plain and (given.dtype == wanted.dtype or (given.is_floating_point() and wanted.is_floating_point())):
        return ""
    kinds = [str(value.dtype).removeprefix("torch.") for value in (given, wanted)]
    return f"{_shown(name, given)} holds {kinds[0]}{'' if plain else ', not as plain numbers'}; the network's holds {kinds[1]}"


def _shown(name: str, value: Any) -> str:
    return f"{quoted(name)[1:-1]} {tuple(value.shape)}"


def _nearest(name: str, names: list[str], tensors: Mapping[str, Tensor]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    return f"nearest: {_shown(close[0], tensors[close[0]])}" if close else "no name is near"
