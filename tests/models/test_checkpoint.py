"""Weights that others trained: what is read, under which names, and what is refused in words that say what to do."""

from __future__ import annotations

import argparse
import collections
import io
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as to_safetensors
from stored import Stored, network
from torch import Tensor, nn

from membench.errors import FileFormatError, InputError, MembenchError
from membench.models._checkpoint import fitted, tensors_in
from membench.models._train import build

MODEL = build(network(), Stored(), 3)
STATE = {name: value.clone() for name, value in MODEL.state_dict().items()}
OWN = Path("own.pt")


def saved(content: object, **how: Any) -> bytes:
    held = io.BytesIO()
    torch.save(content, held, **how)
    return held.getvalue()


def read(data: bytes, name: str = "own.pt") -> dict[str, Tensor]:
    file = Path(name)
    return fitted(tensors_in(data, file), build(network(), Stored(), 0), file, "mine")


def same(found: dict[str, Tensor]) -> bool:
    return list(found) == list(STATE) and all(torch.equal(found[name], value) for name, value in STATE.items())


def named(rename: Callable[[str], str], state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {rename(name): value for name, value in state.items()}


class Lightning(nn.Module):
    """As pytorch_lightning writes a checkpoint of a module that holds the network as `model`."""

    content = {  # noqa: RUF012
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": named(lambda name: f"model.{name}"),
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
        "loops": {"fit_loop": {"state_dict": {}}},
        "hyper_parameters": {"lr": 0.1},
    }


READ: dict[str, tuple[bytes, str]] = {
    "safetensors": (to_safetensors(STATE), "own.safetensors"),
    "safetensors with notes": (to_safetensors(STATE, {"format": "pt"}), "own.safetensors"),
    "a state dict": (saved(STATE), "own.pt"),
    "torch's own mapping": (saved(MODEL.state_dict()), "own.pt"),
    ".pth": (saved(STATE), "own.pth"),
    ".bin": (saved(STATE), "own.bin"),
    "the format before 1.6": (saved(STATE, _use_new_zipfile_serialization=False), "own.pt"),
    "a Lightning checkpoint": (saved(Lightning.content), "last.ckpt"),
    "state_dict": (saved({"epoch": 3, "state_dict": STATE}), "own.pt"),
    "model_state_dict": (saved({"epoch": 3, "model_state_dict": STATE, "loss": 0.3}), "own.pt"),
    "model": (saved({"model": STATE, "best": True}), "own.pt"),
    "a key of one's own": (saved({"net": STATE, "acc": 93.1}), "own.pt"),
    "model beside an average of it": (saved({"model": STATE, "ema": named(str)}), "own.pt"),
    "module.": (saved(named(lambda name: f"module.{name}")), "own.pt"),
    "_orig_mod.": (saved(named(lambda name: f"_orig_mod.{name}")), "own.pt"),
    "net.": (saved(named(lambda name: f"net.{name}")), "own.pt"),
    "several prefixes": (saved({"state_dict": named(lambda name: f"model._orig_mod.module.{name}")}), "own.ckpt"),
    "a compiled part": (saved({"state_dict": named(lambda name: f"model.{name.replace('.', '._orig_mod.')}")}), "own.ckpt"),
    "doubles": (saved({name: value.double() if value.is_floating_point() else value for name, value in STATE.items()}), "own.pt"),
    "without counts of batches": (saved({name: value for name, value in STATE.items() if "num_batches" not in name}), "own.pt"),
    "parameters": (saved({name: nn.Parameter(value, requires_grad=False) for name, value in STATE.items()}), "own.pt"),
}  # fmt: skip


@pytest.mark.parametrize("what", READ)
def test_weights_are_read_from(what: str) -> None:
    assert same(read(*READ[what]))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_become_those_of_the_network(kind: torch.dtype) -> None:
    found = read(saved({name: value.to(kind) if value.is_floating_point() else value for name, value in STATE.items()}))
    assert {value.dtype for value in found.values()} == {torch.float32, torch.int64}
    assert torch.equal(found["1.weight"], STATE["1.weight"].to(kind).float())


def test_a_network_whose_names_begin_alike_keeps_them() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(3, 2)

    wrapped = Wrapped()
    for state in (wrapped.state_dict(), {f"model.{name}": value for name, value in wrapped.state_dict().items()}):
        found = fitted(tensors_in(saved(state), OWN), Wrapped(), OWN, "mine")
        assert torch.equal(found["model.weight"], wrapped.model.weight)


# What does not fit


def lines(state: dict[str, Any], name: str = "own.pt") -> list[str]:
    with pytest.raises(InputError) as refused:
        read(saved(state), name)
    return str(refused.value).split("\n")


def test_other_names_are_listed_with_the_nearest_ones_and_both_shapes() -> None:
    head, *rest = lines(named(lambda name: name.replace("5.", "head.")))
    assert head == (
        "own.pt does not fit the network 'mine': 2 of its 9 tensors do not fit, and 2 of the network's 9 are missing."
    )
    assert rest == [
        "  head.weight (3, 64): the network has no such tensor; nearest: 5.weight (3, 64)",
        "  head.bias (3,): the network has no such tensor; nearest: 5.bias (3,)",
        "  5.weight (3, 64) is missing; nearest: head.weight (3, 64)",
        "  5.bias (3,) is missing; nearest: head.bias (3,)",
    ]


def test_other_shapes_are_listed() -> None:
    _, line = lines(STATE | {"5.weight": torch.zeros(10, 64)})
    assert line == "  5.weight (10, 64): the network's has the shape (3, 64)"


def test_missing_and_further_tensors_are_listed() -> None:
    assert lines({name: value for name, value in STATE.items() if name != "1.bias"})[1] == (
        "  1.bias (64,) is missing; no name is near"
    )
    assert lines(STATE | {"criterion.weight": torch.ones(3)})[1].startswith(
        "  criterion.weight (3,): the network has no such tensor; nearest: "
    )


def test_a_long_list_is_cut_and_names_some_of_both_kinds() -> None:
    found = lines({f"layer{number}.kernel": torch.zeros(2) for number in range(50)})
    assert len(found) == 11
    assert sum("no such tensor" in line for line in found) == 4
    assert found[5] == "  and 46 more"
    assert sum("is missing" in line for line in found) == 4


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(3, 64, dtype=torch.int32), "5.weight (3, 64) holds int32; the network's holds float32"),
        (torch.zeros(3, 64, dtype=torch.complex64), "5.weight (3, 64) holds complex64; the network's holds float32"),
        (torch.zeros(3, 64).to_sparse(), "5.weight (3, 64) holds float32, not as plain numbers"),
        (torch.zeros(3, 64, device="meta"), "5.weight (3, 64) holds float32, not as plain numbers"),
    ],
    ids=["integers", "complex", "sparse", "meta"],
)
def test_other_kinds_of_numbers_are_refused(value: Tensor, words: str) -> None:
    assert words in "\n".join(lines(STATE | {"5.weight": value}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    (line,) = lines(STATE | {"5.bias": torch.tensor([0.0, value, 0.0])})
    assert line == "own.pt: 5.bias holds NaN or infinity."


# What cannot be read

RAN = Path(os.environ.get("TMPDIR", "/tmp")) / f"membench-test-ran-{os.getpid()}"


class Running:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {RAN}",)


def pointer() -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1106976\n"


def script() -> bytes:
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), held)
    return held.getvalue()


def archive() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        packed.writestr("weights.txt", "none")
    return held.getvalue()


Refused = tuple[Callable[[], bytes], str, str]
CODE = "needs the code of {} to be read, and a file that is read must not run code. Save the tensors alone, where that code is: torch.save("
DAMAGED = "is nothing that torch.save wrote, or damaged"
POINTER = "is a pointer of Git LFS, not the weights themselves. Get them with: git lfs pull"
NO_SAFETENSORS = "is no safetensors file, or damaged"
REFUSED: dict[str, Refused] = {
    "a whole module": (lambda: saved(MODEL), "own.pt", CODE.format("torch.nn.modules.container.Sequential")),
    "code that would run": (lambda: saved({"state_dict": STATE, "x": Running()}), "own.ckpt", CODE.format("posix.system")),
    "settings of argparse": (
        lambda: saved({"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}), "own.pt", CODE.format("argparse.Namespace"),
    ),
    "TorchScript": (script, "own.pt", "is a TorchScript archive, which is code. Save the tensors alone: torch.save("),
    "a pointer of Git LFS": (pointer, "own.safetensors", POINTER),
    "a pointer of Git LFS in place of a .pt": (pointer, "own.pt", POINTER),
    "no safetensors": (lambda: b"nothing", "own.safetensors", NO_SAFETENSORS),
    "an empty file": (lambda: b"", "own.safetensors", NO_SAFETENSORS),
    "half a safetensors file": (lambda: to_safetensors(STATE)[:3000], "own.safetensors", NO_SAFETENSORS),
    "an empty .pt": (lambda: b"", "own.pt", DAMAGED),
    "text": (lambda: b"epoch,loss\n1,2\n", "own.pt", DAMAGED),
    "another archive": (archive, "own.pth", DAMAGED),
    "half a file": (lambda: saved(STATE)[:3000], "own.pt", DAMAGED),
    "another suffix": (
        lambda: b"\x08", "own.onnx",
        "has the suffix '.onnx'. Allowed: .safetensors, .pt, .pth, .ckpt, .bin. Save the weights where the network is: torch.save(",
    ),
    "no suffix": (lambda: saved(STATE), "own", "has the suffix ''. Allowed: .safetensors, "),
    "a tensor": (lambda: saved(torch.zeros(3)), "own.pt", "holds a Tensor, not a state dict. Save one: torch.save("),
    "a list": (lambda: saved([torch.zeros(3)]), "own.pt", "holds a list, not a state dict"),
    "nothing": (lambda: saved({}), "own.pt", "holds no state dict, of names and tensors; its keys: none"),
    "an optimizer alone": (
        lambda: saved({"epoch": 3, "optimizer": {"state": {}, "param_groups": []}}), "own.pt",
        "holds no state dict, of names and tensors; its keys: 'epoch' (int), 'optimizer' (dict). Save one alone: torch.save(",
    ),
    "two networks": (
        lambda: saved({"generator": STATE, "critic": STATE}), "own.pt", "holds several state dicts ('generator', 'critic'); its keys: ",
    ),
    "two usual keys": (lambda: saved({"model": STATE, "state_dict": STATE}), "own.pt", "holds several state dicts"),
    "names that are no text": (lambda: saved({1: torch.zeros(2)}), "own.pt", "holds no state dict"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_why_and_what_to_do(what: str) -> None:
    make, name, words = REFUSED[what]
    with pytest.raises(FileFormatError, match=re.escape(f"{name} {words}")) as refused:
        read(make(), name)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500
    assert not RAN.exists()


def test_an_ordered_mapping_is_read() -> None:
    assert same(read(saved(collections.OrderedDict(STATE))))


SMALL = {"state_dict": {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)}, "epoch": 3}
WHOLE = {"own.pt": saved(SMALL), "own.safetensors": to_safetensors(SMALL["state_dict"])}  # type: ignore[arg-type]


@settings(max_examples=400)
@given(
    name=st.sampled_from(sorted(WHOLE)),
    place=st.floats(0, 1, exclude_max=True),
    bits=st.integers(1, 255),
    cut=st.booleans(),
)
def test_damaged_files_are_read_or_refused_and_never_crash(name: str, place: float, bits: int, cut: bool) -> None:
    data = bytearray(WHOLE[name])
    position = int(place * len(data))
    data[position] ^= bits
    damaged = bytes(data[:position]) if cut else bytes(data)
    try:
        model = nn.Linear(3, 2)
        model.load_state_dict(fitted(tensors_in(damaged, Path(name)), model, Path(name), "mine"))
    except MembenchError as error:
        assert name in str(error)  # noqa: PT017 - most of them are read
