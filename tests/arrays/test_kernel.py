"""The C++ kernel: compiled once, replaced when damaged, done without where it cannot be had, the same on every processor."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from membench import ADC, Conversion
from membench.arrays import MemristiveLayer, kernel_in_use, kernel_problem
from membench.arrays.kernel import _FLAGS, _SOURCE, _VARIANTS, Kernel, _load
from membench.arrays.product import Product
from membench.errors import InputError
from membench.runtime import pinned_threads

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="there is no C++ compiler here"
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that nobody has used; kernels are looked for by folder."""
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEMBENCH_KERNEL", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache"


def compiler(folder: Path, body: str, version: str = "fake 1.0") -> str:
    """A script in place of a compiler; in `body`, $out is the file that it should make. Calls are kept in calls.txt."""
    script = folder / "fake-c++"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{version}"; exit 0; }}\n'
        f'for out; do :; done\necho "$*" >> {folder}/calls.txt\n{body}\n'
    )
    script.chmod(0o755)
    return str(script)


def calls(folder: Path) -> list[str]:
    return (folder / "calls.txt").read_text().splitlines()


def numbers(*shape: int, seed: int = 0, largest: int = 8) -> Tensor:
    """Whole numbers, so that every order of adding gives the same sum."""
    return torch.randint(-largest, largest + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


def layer_of(
    digital: nn.Module, *, whole: bool = True, padding: bool = True, seed: int = 0, **fields: object
) -> MemristiveLayer:
    """A layer of random devices; with `padding`, those that hold no weight carry current too."""
    made = MemristiveLayer(digital, Conversion(**{"tile_shape": (8, 4), "adc": ADC(bits=6), **fields}))
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, 16, made.conductance.shape, generator=generator) * 2.0**-20
    made.conductance = steps if whole else torch.rand(steps.shape, generator=generator) * 1e-4
    made.conductance *= padding | made.tiling.real()
    made.gain, made.offset = torch.tensor(1234.5678), torch.tensor(-0.0123)
    return made


def inputs_of(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Whole numbers whose largest is 8, so that scaling to 2 V divides by 4: of each image, or of a batch of vectors."""
    x = numbers(*shape, seed=seed)
    if x.ndim == 2:
        x[1:].clamp_(-4, 4)
    x.flatten(1)[: 1 if x.ndim == 2 else None, 0] = 8
    return x


def outputs(layer: MemristiveLayer, x: Tensor, kernel: Kernel | None = None) -> Tensor:
    """What `layer` gives with this kernel, or in plain torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("membench.arrays.product.kernel_in_use", lambda: kernel)
        return layer(x)


def in_use() -> Kernel:
    kernel = kernel_in_use()
    assert kernel is not None, kernel_problem()
    return kernel


VARIETY = [
    (nn.Linear(19, 10), (7, 19)),
    (nn.Linear(19, 10, bias=False), (70, 19)),
    (nn.Conv1d(3, 6, 4, stride=3, padding=2), (5, 3, 17)),
    (nn.Conv2d(3, 10, 3, padding=1), (5, 3, 12, 11)),
    (nn.Conv2d(3, 5, (1, 4), stride=(2, 1), padding="valid"), (5, 3, 6, 7)),
    (nn.Conv2d(2, 5, (2, 4), padding="same", dilation=(2, 1)), (5, 2, 6, 7)),
    (nn.Conv2d(2, 5, 6, padding=1), (9, 2, 4, 4)),  # one output position an image: many images fill a block
    (nn.Conv3d(2, 6, (2, 3, 1), stride=(1, 2, 2), padding=(1, 0, 2)), (3, 2, 5, 6, 4)),
]
each = pytest.mark.parametrize(("digital", "shape"), VARIETY, ids=[str(digital) for digital, _ in VARIETY])


# --- compiling ---------------------------------------------------------------------------------------------------------------


@needs_compiler
def test_the_kernel_is_compiled_once_and_then_found(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, f"cp {built(own_cache).path} $out"))
    first = in_use()
    assert first.build_seconds > 0
    assert first.path.parent == cache / "kernels"
    assert kernel_problem() is None
    assert kernel_in_use() is first
    _load.cache_clear()
    again = in_use()
    assert again is not first
    assert again.path == first.path
    assert again.build_seconds == 0
    assert len(calls(tmp_path)) == 1
    assert all(flag in calls(tmp_path)[0] for flag in _VARIANTS[0])
    assert {path.suffix for path in first.path.parent.iterdir()} <= {".lock", ".sha256", ".so"}


def test_the_folder_is_the_platforms_where_none_is_named(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMBENCH_CACHE")
    monkeypatch.setattr("membench.arrays.kernel.cache_dir", lambda: cache)
    monkeypatch.setenv("CXX", compiler(tmp_path, "exit 1"))
    _load.cache_clear()
    try:
        assert kernel_in_use() is None
        assert Path(calls(tmp_path)[0].split()[-1]).parents[1] == cache / "kernels"
    finally:
        _load.cache_clear()


def test_without_a_compiler_plain_torch_does_the_work(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kernel_in_use() is None
    assert kernel_problem() == "there is no C++ compiler (g++, c++, clang++, or the one named by CXX)"
    assert layer_of(nn.Linear(19, 10))(numbers(3, 19)).shape == (3, 10)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'error: no space left' >&2; echo more >&2; exit 1", "could not build it: error: no space left$"),
        ("exit 3", "could not build it: exit code 3$"),
        ("exit 0", "could not build it: "),
        ("echo 'not a library' > $out", r"could not build it: .*(file too short|invalid ELF header)"),
    ],
    ids=["complains", "is silent", "makes nothing", "makes rubbish"],
)
def test_a_compiler_that_fails_is_told_and_done_without(
    body: str, words: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, body))
    assert kernel_in_use() is None
    assert re.search(words, kernel_problem() or "")
    assert not list((cache / "kernels").glob("*.so"))
    assert layer_of(nn.Linear(19, 10))(numbers(3, 19)).shape == (3, 10)


def test_a_cache_that_cannot_be_written_is_told_and_done_without(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file where the folder should be")
    assert kernel_in_use() is None
    assert "could not build it: Cannot lock" in (kernel_problem() or "")
    assert layer_of(nn.Linear(19, 10))(numbers(3, 19)).shape == (3, 10)


@needs_compiler
@pytest.mark.parametrize(
    ("refused", "taken"), [("-march=native", "-fopenmp"), ("-fopenmp", "-march=native"), ("-march=native*|*-fopenmp", "")]
)
def test_flags_that_the_compiler_does_not_know_are_left_out(
    refused: str, taken: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    library = built(own_cache).path
    body = f'case "$*" in *{refused}*) echo "unknown option" >&2; exit 1;; esac\ncp {library} $out'
    monkeypatch.setenv("CXX", compiler(tmp_path, body))
    in_use()
    assert taken in calls(tmp_path)[-1]
    assert not any(flag in calls(tmp_path)[-1] for flag in refused.split("*|*"))


@needs_compiler
def test_a_library_that_does_not_load_gives_way_to_the_next_variant(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    body = f'case "$*" in *-march=native*) echo rubbish > $out;; *) cp {built(own_cache).path} $out;; esac'
    monkeypatch.setenv("CXX", compiler(tmp_path, body))
    assert in_use().build_seconds > 0
    assert len(calls(tmp_path)) == 2


@needs_compiler
@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, b"not a library"], ids=["empty", "zeros", "text"])
def test_a_damaged_library_is_replaced_by_the_best_there_is(
    damage: bytes, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    body = f"[ -e {tmp_path}/broken ] && exit 1; cp {built(own_cache).path} $out"
    monkeypatch.setenv("CXX", compiler(tmp_path, body))
    (tmp_path / "broken").touch()
    assert kernel_in_use() is None
    path = cache / "kernels" / Path(calls(tmp_path)[0].split()[-1]).name
    path.write_bytes(damage)
    (tmp_path / "broken").unlink()
    (tmp_path / "calls.txt").unlink()
    _load.cache_clear()
    kernel = in_use()
    assert kernel.path == path
    assert all(flag in calls(tmp_path)[-1] for flag in _VARIANTS[0]), "the first variant was passed over"
    assert kernel.build_seconds > 0


@needs_compiler
def test_another_compiler_has_a_library_of_its_own(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    paths = set()
    for version in ("fake 1.0", "fake 2.0"):
        monkeypatch.setenv("CXX", compiler(tmp_path, f"cp {built(own_cache).path} $out", version))
        _load.cache_clear()
        paths.add(in_use().path)
    assert len(paths) == 2


# torch is imported for the name of a type only: without it a process starts at once.
ASK = f"""
import importlib.util, sys, types
sys.modules["torch"] = types.ModuleType("torch")
sys.modules["torch"].Tensor = object
spec = importlib.util.spec_from_file_location("kernel", {str(_SOURCE.with_suffix(".py"))!r})
sys.modules["kernel"] = kernel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernel)
print(kernel.kernel_in_use().build_seconds)
"""


@needs_compiler
def test_two_processes_that_compile_at_once_both_succeed(tmp_path: Path, cache: Path, own_cache: Path) -> None:
    environment = {**os.environ, "CXX": compiler(tmp_path, f"sleep 1; cp {built(own_cache).path} $out")}
    started = [
        subprocess.Popen([sys.executable, "-c", ASK], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    first, second = sorted(float(process.communicate(timeout=120)[0]) for process in started)
    assert first == 0
    assert second > 0.9
    assert len(calls(tmp_path)) == 1
    assert len(list((cache / "kernels").glob("*.so"))) == 1


def test_an_unknown_choice_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", "fast")
    for ask in (kernel_in_use, kernel_problem):
        with pytest.raises(InputError, match="MEMBENCH_KERNEL is 'fast'; allowed: auto, cpp, torch"):
            ask()


def test_a_kernel_that_is_asked_for_and_cannot_be_had_is_an_error(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", "cpp")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="asks for the C\\+\\+ kernel, but there is no C\\+\\+ compiler"):
        layer_of(nn.Linear(19, 10))(numbers(3, 19))


def test_plain_torch_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", "torch")
    assert kernel_in_use() is None
    assert kernel_problem() == "MEMBENCH_KERNEL=torch asks for plain torch"


# --- products ----------------------------------------------------------------------------------------------------------------


def built(cache: Path) -> Kernel:
    """The kernel of this test run, compiled at its first use."""
    kernel, reason = _load(str(cache))
    assert kernel is not None, reason
    return kernel


@needs_compiler
@each
@pytest.mark.parametrize(
    "fields", [{}, {"adc": ADC(bits=4, overflow_rate=0.3)}, {"max_input_voltage": 2.0}, {"tile_shape": None}]
)
def test_plain_torch_gives_the_same(
    digital: nn.Module, shape: tuple[int, ...], fields: dict[str, object], own_cache: Path
) -> None:
    """On whole numbers, where no order of adding matters, to the last bit."""
    layer, x = layer_of(digital, **fields), inputs_of(shape)
    assert torch.equal(outputs(layer, x, built(own_cache)), outputs(layer, x))


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...], dict[str, object]]:
    dimensions = draw(st.integers(0, 3))
    numbers = [draw(st.integers(1, 5)), draw(st.integers(1, 11)), draw(st.integers(1, 6))]
    inputs, columns, images = numbers
    tile = draw(st.integers(1, 12)), draw(st.integers(2, 9))
    adc = ADC(bits=draw(st.integers(2, 9)), overflow_rate=draw(st.sampled_from([0.0, 0.0, 0.2, 0.7, 1.0])))
    fields = {"tile_shape": tile, "adc": adc, "max_input_voltage": draw(st.sampled_from([None, 2.0, 16.0]))}
    if not dimensions:
        return nn.Linear(inputs * 5, columns), (images, inputs * 5), fields
    kernel, stride, dilation, padding, rest = (
        tuple(draw(st.integers(low, high)) for _ in range(dimensions)) for low, high in ((1, 3), (1, 3), (1, 2), (0, 2), (0, 5))
    )
    size = [d * (k - 1) + 1 + more for d, k, more in zip(dilation, kernel, rest, strict=True)]
    module = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    if draw(st.booleans()):
        made = module(inputs, columns, kernel, stride, padding, dilation)
    else:
        made = module(inputs, columns, kernel, padding="same", dilation=dilation, bias=False)
    return made, (images, inputs, *size), fields


@needs_compiler
@given(layers(), st.booleans(), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_plain_torch_gives_the_same_for_any_layer(
    own_cache: Path, made: tuple[nn.Module, tuple[int, ...], dict[str, object]], padding: bool, seed: int
) -> None:
    digital, shape, fields = made
    layer, x = layer_of(digital, padding=padding, seed=seed, **fields), inputs_of(shape, seed)
    assert torch.equal(outputs(layer, x, built(own_cache)), outputs(layer, x))


@needs_compiler
@each
def test_neither_threads_nor_batches_move_a_bit(digital: nn.Module, shape: tuple[int, ...], own_cache: Path) -> None:
    layer, x = layer_of(digital, whole=False), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    kernel = built(own_cache)
    with pinned_threads(1):
        alone = outputs(layer, x, kernel)
    for threads in (2, 3, 7):
        with pinned_threads(threads):
            assert torch.equal(outputs(layer, x, kernel), alone)
    for size in (1, 2, len(x) - 1):
        assert torch.equal(torch.cat([outputs(layer, part, kernel) for part in x.split(size)]), alone)


@needs_compiler
def test_threads_do_not_share_what_they_work_in(own_cache: Path) -> None:
    layer, x = layer_of(nn.Conv2d(8, 10, 3), whole=False), torch.randn(24, 8, 24, 24)
    with pinned_threads(1):
        alone = outputs(layer, x, built(own_cache))
    with pinned_threads(4):
        assert all(torch.equal(outputs(layer, x, built(own_cache)), alone) for _ in range(10))


@needs_compiler
def test_one_bit_line_among_padding_that_carries_nothing_has_the_range_of_the_tile(own_cache: Path) -> None:
    """Its current is then not equal to all the others, so that it is quantised."""
    layer, x = layer_of(nn.Linear(8, 5), padding=False, adc=ADC(bits=3)), inputs_of((50, 8))
    assert torch.equal(outputs(layer, x, built(own_cache)), outputs(layer, x))


@needs_compiler
def test_threads_do_not_move_a_bit_of_an_adc_without_tiles(own_cache: Path) -> None:
    y = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(1))
    kernel, bias = built(own_cache), torch.arange(5.0)
    tolerance = torch.zeros(256, dtype=torch.int32)
    found = []
    for threads in (1, 2, 5):
        with pinned_threads(threads):
            copy = y.clone()
            kernel.convert(copy, 6, 5, bias, tolerance, 1.5, 0.25)
            found.append(copy)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def variant(folder: Path, *flags: str) -> Kernel:
    path = folder / "variant.so"
    real = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))))
    subprocess.run([real, *_FLAGS, *flags, str(_SOURCE), "-o", str(path)], check=True)
    return Kernel(path, 0.0, ctypes.CDLL(str(path)))


x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64")
    or not Path("/proc/cpuinfo").exists()
    or not {"avx2", "fma"} <= set(Path("/proc/cpuinfo").read_text().split()),
    reason="this processor has no AVX2 with FMA",
)


@needs_compiler
@x86
def test_the_kernel_for_avx2_gives_the_native_one_to_the_last_bit(tmp_path: Path, own_cache: Path) -> None:
    other = variant(tmp_path, "-mavx2", "-mfma", "-fopenmp")
    for digital, shape in VARIETY:
        for fields in ({}, {"adc": ADC(bits=4, overflow_rate=0.3)}, {"max_input_voltage": 1.0}):
            layer, x = layer_of(digital, whole=False, **fields), torch.randn(shape, generator=torch.Generator().manual_seed(2))
            assert torch.equal(outputs(layer, x, other), outputs(layer, x, built(own_cache)))


@needs_compiler
@x86
def test_the_kernel_for_any_processor_rounds_alike_but_for_fused_operations(tmp_path: Path, own_cache: Path) -> None:
    other = variant(tmp_path)
    for digital, shape in VARIETY:
        layer, x = layer_of(digital), numbers(*shape)
        assert torch.equal(outputs(layer, x, other), outputs(layer, x, built(own_cache)))
        layer, x = layer_of(digital, whole=False, adc=ADC(bits=16)), torch.randn(shape)
        wanted = outputs(layer, x, built(own_cache))
        torch.testing.assert_close(outputs(layer, x, other), wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def with_range(layer: MemristiveLayer, full_scale: float) -> MemristiveLayer:
    layer.hardware = dataclasses.replace(layer.hardware, full_scale=full_scale)
    return layer


@needs_compiler
@given(layers(), st.booleans(), st.integers(0, 1000), st.floats(1e-6, 1e-2), st.booleans())
@settings(max_examples=80, deadline=None)
def test_plain_torch_gives_the_same_for_any_layer_of_a_fixed_range(
    own_cache: Path,
    made: tuple[nn.Module, tuple[int, ...], dict[str, object]],
    padding: bool,
    seed: int,
    full_scale: float,
    whole: bool,
) -> None:
    digital, shape, fields = made
    fields = {**fields, "tile_shape": None} if whole else fields
    layer = with_range(layer_of(digital, padding=padding, seed=seed, **fields), full_scale)
    x = inputs_of(shape, seed)
    assert torch.equal(outputs(layer, x, built(own_cache)), outputs(layer, x))


@needs_compiler
@each
def test_each_tile_of_a_fixed_range_is_quantised_on_its_own(
    digital: nn.Module, shape: tuple[int, ...], own_cache: Path
) -> None:
    """Against tile rows that are cut out, multiplied and quantised by hand."""
    layer, x = with_range(layer_of(digital), 1e-4), inputs_of(shape)
    step = torch.tensor(1e-4) / 2**5
    matrix = layer.tiling.joined(layer.conductance[0] - layer.conductance[1])[:, : layer.tiling.columns]
    total: Tensor | float = 0.0
    for first in range(0, layer.tiling.rows, 8):
        part = torch.zeros_like(matrix)
        part[first : first + 8] = matrix[first : first + 8]
        currents = layer.geometry.multiply(x, layer.geometry.kernel_of(part), None)
        total = total + ((currents * (1 / step) + 0.5).floor().clamp(-32, 31) * step)
    assert isinstance(total, Tensor)
    bias = 0 if layer.bias is None else layer.bias.view(-1, *[1] * layer.geometry.dimensions)
    found = outputs(layer, x, built(own_cache))
    assert torch.equal(found, total * layer.gain + layer.offset + bias)
    assert len(found.unique()) > 3


# Vector registers of each processor hold other positions; the numbers of a place stay what they are.
@needs_compiler
@x86
def test_read_noise_is_the_same_on_every_processor(tmp_path: Path, own_cache: Path) -> None:
    def noisy(kernel: Kernel, digital: nn.Module, shape: tuple[int, ...], bits: int) -> tuple[Tensor, float]:
        layer, x = layer_of(digital, whole=False), torch.randn(shape, generator=torch.Generator().manual_seed(2))
        hardware = dataclasses.replace(layer.hardware, adc=ADC(bits=bits))
        variance = (layer.conductance[0] * 0.1) ** 2
        difference = layer.conductance[0] - layer.conductance[1]
        product = Product(hardware, difference, layer.gain, layer.offset, None, 2**20, (variance, 77))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("membench.arrays.product.kernel_in_use", lambda: kernel)
            return product(x, 5), layer.tiling.counts[0] * product.largest_step(x)

    (tmp_path / "narrow").mkdir()
    narrow, any_processor = variant(tmp_path / "narrow", "-mavx2", "-mfma", "-fopenmp"), variant(tmp_path)
    for digital, shape in VARIETY:
        wanted, step = noisy(built(own_cache), digital, shape, 16)
        assert torch.equal(noisy(narrow, digital, shape, 16)[0], wanted)
        found = noisy(any_processor, digital, shape, 16)[0]
        torch.testing.assert_close(found, wanted, rtol=0, atol=step + 1e-4 * float(wanted.abs().max()))


# --- random numbers ----------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("seed", [0, 1, 123456789, 2**32 - 1, 2**32, 2**40 + 5, 2**63 - 1])
def test_the_stream_gives_torchs_numbers(seed: int, own_cache: Path) -> None:
    wanted = torch.empty(5000).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    stream = built(own_cache).stream(seed)
    slabs = [stream.fill(torch.empty(size), -1, 1) for size in (1, 7, 16, 599, 1, 624, 625, 3127)]
    assert torch.equal(torch.cat(slabs), wanted)


@needs_compiler
@pytest.mark.parametrize("skipped", [0, 1, 623, 624, 625, 100_000])
def test_the_stream_skips_as_many_numbers_as_it_is_told(skipped: int, own_cache: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    torch.rand(skipped + 3, generator=generator)
    wanted = torch.empty(4, 25).uniform_(-1, 1, generator=generator)
    stream = built(own_cache).stream(5)
    stream.fill(torch.empty(3), 0, 1)
    stream.skip(skipped)
    assert torch.equal(stream.fill(torch.empty(4, 25), -1, 1), wanted)


@needs_compiler
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.5, 0.5), (-4, 4)])
def test_the_stream_fills_other_ranges_as_torch_does_where_no_rounding_is_needed(
    low: float, high: float, own_cache: Path
) -> None:
    wanted = torch.empty(5000).uniform_(low, high, generator=torch.Generator().manual_seed(6))
    assert torch.equal(built(own_cache).stream(6).fill(torch.empty(5000), low, high), wanted)


@needs_compiler
def test_streams_do_not_move_each_other(own_cache: Path) -> None:
    one, other = built(own_cache).stream(1), built(own_cache).stream(1)
    first = one.fill(torch.empty(700), 0, 1)
    one.skip(50)
    assert torch.equal(other.fill(torch.empty(700), 0, 1), first)
