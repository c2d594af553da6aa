"""The layer as a torch module: kept and restored, copied, changed in place, refused by name, within a limit of memory."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn

from membench import ADC, Conversion, Scheme, Tuning
from membench.arrays import MemristiveLayer, kernel_in_use
from membench.arrays.fit import noise
from membench.arrays.geometry import Geometry, matrix_of
from membench.arrays.kernel import Kernel
from membench.arrays.layer import CHUNK_BYTES, chunk_limit
from membench.errors import InputError
from membench.runtime import pinned_threads

TILED = Conversion(tile_shape=(8, 4), adc=ADC(bits=8), max_input_voltage=2.0)
CONVERSIONS = {
    "tiled": TILED,
    "exact": Conversion(),
    "limited": Conversion(max_input_voltage=0.5),
    "ADC without tiles": Conversion(adc=ADC(bits=8)),
    "logarithmic": TILED.replace(adc=ADC(bits=8, method="log")),
    "one column": TILED.replace(scheme=Scheme.SINGLE_COLUMN),
}
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(19, 10), (6, 19)),
    "Conv1d": (lambda: nn.Conv1d(3, 5, 4, stride=3, bias=False), (6, 3, 17)),
    "Conv2d": (lambda: nn.Conv2d(3, 6, 3, padding=1), (6, 3, 8, 7)),
    "same": (lambda: nn.Conv2d(3, 6, (2, 3), padding="same", dilation=(2, 1)), (6, 3, 8, 7)),
    "Conv3d": (lambda: nn.Conv3d(2, 6, (2, 3, 1), stride=(1, 2, 1)), (6, 2, 4, 5, 3)),
}
MODES = pytest.mark.parametrize("mode", ["auto", "torch"])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


def programmed(digital: nn.Module, conversion: Conversion) -> MemristiveLayer:
    """A layer whose devices hold the weights, by a linear map of our own."""
    layer = MemristiveLayer(digital, conversion).eval()
    low, high = conversion.device.conductance_range
    scale = (high - low) / float(layer.weight.abs().max())
    parts = (layer.weight.clamp(min=0), (-layer.weight).clamp(min=0))[: layer.crossbars]
    layer.program([low + scale * matrix_of(part) for part in parts])
    layer.gain, layer.offset = torch.tensor(1 / scale), torch.tensor(0.125)
    return layer


def made(kind: str = "Conv2d", conversion: Conversion = TILED) -> tuple[MemristiveLayer, Tensor]:
    """A layer and an input."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        build, shape = LAYERS[kind]
        return programmed(build(), conversion), torch.randn(shape)


def whole(kind: str, conversion: Conversion) -> tuple[MemristiveLayer, Tensor]:
    """A layer and an input whose sums are exact in every order: torch's own convolutions add in an order of their choice."""
    layer, x = made(kind, conversion)
    generator = torch.Generator().manual_seed(1)
    layer.conductance = torch.randint(1, 16, layer.conductance.shape, generator=generator) * 2.0**-10
    layer._middle = 8 * 2.0**-10
    layer.gain, layer.offset = torch.tensor(2.0**8), torch.tensor(0.5)
    layer.bias = None if layer.bias is None else torch.arange(float(len(layer.bias)))
    x = torch.randint(-8, 9, x.shape, generator=generator).float()
    x.flatten(1)[:, 0] = 8  # a limit of a power of two then scales by a power of two
    return layer, x


@pytest.fixture(params=[(kind, name) for kind in LAYERS for name in CONVERSIONS], ids="-".join)
def each(request: pytest.FixtureRequest) -> tuple[MemristiveLayer, Tensor]:
    kind, name = request.param
    return whole(kind, CONVERSIONS[name])


# --- kept, restored, copied --------------------------------------------------------------------------------------------------

READER = """
import pickle, sys, torch
from pathlib import Path
from safetensors.torch import load_file
from torch import nn
from membench import ADC, Conversion
from membench.arrays import MemristiveLayer

folder = Path(sys.argv[1])
x, wanted = torch.load(folder / "outputs.pt", weights_only=True)
blank = lambda: MemristiveLayer(nn.Conv2d(3, 6, 3, padding=1), Conversion(tile_shape=(8, 4), adc=ADC(bits=8), max_input_voltage=2.0))
first, second = blank(), blank()
first(x)
first.load_state_dict(load_file(folder / "state.safetensors"))
second.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
third = pickle.loads((folder / "layer.pickle").read_bytes())
for layer in (first, second, third):
    assert torch.equal(layer(x), wanted)
"""


def test_a_new_process_computes_the_same_from_what_was_kept(tmp_path: Path) -> None:
    layer, x = made()
    wanted = layer(x)
    save_file(layer.state_dict(), tmp_path / "state.safetensors")
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    torch.save((x, wanted), tmp_path / "outputs.pt")
    (tmp_path / "layer.pickle").write_bytes(pickle.dumps(layer))
    told = subprocess.run([sys.executable, "-c", READER, tmp_path], capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stderr


def test_state_goes_through_files_to_the_last_bit(each: tuple[MemristiveLayer, Tensor], tmp_path: Path) -> None:
    layer, x = each
    wanted, fresh = layer(x), pickle.loads(pickle.dumps(layer))
    for name, buffer in fresh.named_buffers():
        buffer.zero_() if name != "weight" else buffer.fill_(1)
    assert not torch.equal(fresh(x), wanted)
    save_file(layer.state_dict(), tmp_path / "state.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(fresh(x), wanted)
    assert torch.equal(fresh.weight, layer.weight)


def test_the_state_is_what_is_documented() -> None:
    layer, _ = made()
    assert sorted(layer.state_dict()) == [
        "bias",
        "conductance",
        "conductance_max",
        "conductance_min",
        "gain",
        "offset",
        "weight",
    ]
    assert layer.conductance.shape == (2, 8, 8, 4)
    assert [(name, value.requires_grad) for name, value in layer.named_parameters()] == [("weight", False)]
    assert "bias" not in made("Conv1d")[0].state_dict()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"])
def test_a_copy_computes_the_same_and_lives_on_its_own(
    copied: Callable[[MemristiveLayer], MemristiveLayer], each: tuple[MemristiveLayer, Tensor]
) -> None:
    layer, x = each
    wanted = layer(x)
    other = copied(layer)
    assert torch.equal(other(x), wanted)
    other.conductance.neg_()
    assert not torch.equal(other(x), wanted)
    assert torch.equal(layer(x), wanted)


def test_what_is_made_from_the_state_is_not_pickled() -> None:
    layer, x = made()
    before = len(pickle.dumps(layer))
    layer(x)
    assert len(pickle.dumps(layer)) <= before + 64


# --- changed -----------------------------------------------------------------------------------------------------------------


def loaded(layer: MemristiveLayer) -> None:
    layer.load_state_dict({name: value * 2 for name, value in layer.state_dict().items()})


CHANGES: dict[str, Callable[[MemristiveLayer], object]] = {
    "conductance": lambda layer: layer.conductance.mul_(2),
    "one device": lambda layer: layer.conductance[0].view(-1)[0].add_(1),
    "detached": lambda layer: layer.conductance.detach().mul_(2),
    "gain": lambda layer: layer.gain.mul_(2),
    "offset": lambda layer: layer.offset.add_(1),
    "bias": lambda layer: layer.bias.add_(1),
    "loaded": loaded,
    "replaced": lambda layer: setattr(layer, "conductance", layer.conductance * 2),
    "gain replaced": lambda layer: setattr(layer, "gain", layer.gain * 2),
    "bias replaced": lambda layer: setattr(layer, "bias", layer.bias + 1),
    "bias removed": lambda layer: setattr(layer, "bias", None),
}


def follows(layer: MemristiveLayer, x: Tensor, change: Callable[[MemristiveLayer], object]) -> bool:
    """Whether a layer that has computed before gives after a change what a layer made from the changed state gives."""
    before = layer(x).clone()
    with torch.no_grad():
        change(layer)
    fresh = pickle.loads(pickle.dumps(layer))
    return torch.equal(layer(x), fresh(x)) and not torch.equal(layer(x), before)


@MODES
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference mode"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["tiled", "exact", "ADC without tiles"])
def test_a_change_is_seen_by_the_next_pass(
    name: str, change: Callable[[MemristiveLayer], object], inference: bool, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    layer, x = made("Conv2d", CONVERSIONS[name])
    with torch.inference_mode(inference):
        assert follows(layer, x, change)
        assert follows(layer, x, CHANGES["conductance"]) or change is loaded


@pytest.mark.parametrize("change", ["conductance", "gain", "bias"])
def test_a_change_of_what_inference_mode_has_made_is_seen_too(change: str) -> None:
    """Such tensors do not count how often they are changed."""
    layer, x = made()
    with torch.inference_mode():
        for name in ("conductance", "gain", "bias"):
            setattr(layer, name, getattr(layer, name) * 2)
        assert follows(layer, x, CHANGES[change])
        assert follows(copy.deepcopy(layer), x, CHANGES[change])


@pytest.mark.xfail(reason="torch does not count a change through .data or numpy, so it is not noticed")
@pytest.mark.parametrize("view", [lambda tensor: tensor.data, lambda tensor: tensor.numpy()], ids=["data", "numpy"])
def test_a_change_behind_torchs_back_is_seen(view: Callable[[Tensor], Any]) -> None:
    layer, x = made()

    def change(layer: MemristiveLayer) -> None:
        inside = view(layer.conductance)
        inside *= 2

    assert follows(layer, x, change)


def test_nothing_is_prepared_anew_without_a_change() -> None:
    layer, x = made()
    first = layer(x)
    kept = layer._prepared()
    assert torch.equal(layer(x), first)
    assert layer._prepared() is kept


def test_devices_stay_between_their_own_limits() -> None:
    layer, _ = made()
    shape = layer.conductance.shape
    low, high = torch.rand(shape) * 1e-3, torch.rand(shape) * 1e-3 + 1e-3
    layer.program([torch.rand(27, 6) * 3e-3 for _ in range(2)], (low, high))
    assert (layer.conductance >= low).all()
    assert (layer.conductance <= high).all()
    assert (layer.conductance[0] == low[0]).any()
    assert (layer.conductance[0] == high[0]).any()


# --- refused -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "x"),
    [
        ("Linear", torch.rand(3, 18)),
        ("Linear", torch.rand(19)),
        ("Linear", torch.rand(2, 3, 19)),
        ("Linear", torch.rand(3, 19).double()),
        ("Linear", torch.ones(3, 19, dtype=torch.int64)),
        ("Conv2d", torch.rand(3, 8, 8)),
        ("Conv2d", torch.rand(3, 2, 8, 8)),
        ("Conv2d", torch.rand(3, 3, 8, 8).half()),
        ("Conv3d", torch.rand(3, 2, 8, 8)),
    ],
)
def test_an_input_that_does_not_fit_is_told_with_what_does(kind: str, x: Tensor) -> None:
    layer, _ = made(kind)
    with pytest.raises(InputError, match=f"A memristive {kind} of {layer.geometry.inputs} inputs takes float32") as error:
        layer(x)
    assert str(tuple(x.shape)) in str(error.value)
    assert str(x.dtype) in str(error.value)


@MODES
@pytest.mark.parametrize("name", ["tiled", "exact", "ADC without tiles"])
@pytest.mark.parametrize("size", [(2, 2), (0, 9), (9, 1)])
def test_an_image_smaller_than_the_kernel_is_refused(
    name: str, size: tuple[int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In C++ it would divide by zero and end the process."""
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    monkeypatch.setattr(Kernel, "product", lambda *_: pytest.fail("the kernel was called"))
    layer = programmed(nn.Conv2d(2, 3, 3), CONVERSIONS[name])
    with pytest.raises(InputError, match="kernel"):
        layer(torch.rand(2, 2, *size))


@pytest.mark.parametrize("change", [nn.Module.double, nn.Module.half], ids=["double", "half"])
@pytest.mark.parametrize("name", ["tiled", "exact", "ADC without tiles"])
def test_a_layer_of_another_type_is_refused(
    name: str, change: Callable[[nn.Module], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In C++ its bytes would be taken for single precision."""
    monkeypatch.setattr(Kernel, "product", lambda *_: pytest.fail("the kernel was called"))
    monkeypatch.setattr(Kernel, "convert", lambda *_: pytest.fail("the kernel was called"))
    layer, x = made("Conv2d", CONVERSIONS[name])
    change(layer)
    with pytest.raises(InputError, match="float32"):
        layer(x)


# --- memory ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", "torch")


def test_chunks_do_not_move_a_bit(each: tuple[MemristiveLayer, Tensor], plain: None) -> None:
    layer, x = each
    wanted = layer(x)
    for limit in (1, 5_000, 20_000):
        layer.chunk_bytes = limit
        assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize("conversion", [TILED, Conversion(adc=ADC(bits=8), max_input_voltage=0.5)], ids=["tiled", "untiled"])
def test_a_pass_takes_no_more_memory_than_it_may(conversion: Conversion, plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = made("Conv2d", conversion)
    images = 40
    x = x.repeat(7, 1, 1, 1)[:images]
    layer.chunk_bytes = 8 * 4 * x[0].numel() * 4
    sizes: list[int] = []
    multiply = Geometry.multiply

    def spied(self: Geometry, part: Tensor, *arguments: Any, **options: Any) -> Tensor:
        sizes.append(len(part))
        assert len(part) == 1 or part.numel() * part.element_size() <= layer.chunk_bytes
        return multiply(self, part, *arguments, **options)

    monkeypatch.setattr(Geometry, "multiply", spied)
    layer(x)
    assert len(sizes) > 2
    assert max(sizes) < images / 2
    rows = layer.tiling.counts[0] if layer.tiling.tile_shape else 1
    assert sum(sizes) == images * rows
    sizes.clear()
    layer.chunk_bytes = 1
    layer(x)
    assert set(sizes) == {1}
    sizes.clear()
    layer.chunk_bytes = CHUNK_BYTES
    layer(x)
    assert set(sizes) == {images}


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMBENCH_CHUNK_MB", raising=False)
    assert chunk_limit() == 32 * 2**20
    monkeypatch.setenv("MEMBENCH_CHUNK_MB", "0.5")
    assert made()[0].chunk_bytes == 2**19


@pytest.mark.parametrize("given", ["0", "-1", "1e-9", "much", "nan", "inf", ""])
def test_a_limit_that_is_none_is_told(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_CHUNK_MB", given)
    with pytest.raises(InputError, match=f"MEMBENCH_CHUNK_MB is '{given}'; a number of mebibytes above 0 is needed"):
        chunk_limit()


# --- tuning ------------------------------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("shape", [(40, 7), (3, 2, 5, 6), (1, 1), (5, 30)])
@pytest.mark.parametrize("slab", [1, 7, 64, 10_000])
@pytest.mark.parametrize("seed", [3, 2**40 + 1])
def test_noise_in_slabs_is_torchs(
    shape: tuple[int, ...], slab: int, seed: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wanted = torch.rand(shape).uniform_(-1, 1)
    parts = list(noise(shape, seed, slab))
    assert torch.equal(torch.cat(parts), wanted)
    assert all(part.numel() <= slab or len(part) == 1 for part in parts)
    assert sum(len(part) * math.prod(shape[1:]) for part in parts) == wanted.numel()


TUNING = Tuning(conv_images=3, conv_size=12, linear_rows=300)


def fitted(layer: MemristiveLayer, digital: nn.Module, shape: tuple[int, ...], seed: int) -> tuple[float, float]:
    """Gain and offset as MemTorch finds them: on noise, with the bias left out."""
    bare = copy.deepcopy(layer)
    bare.gain, bare.offset, bare.bias = torch.tensor(1.0), torch.tensor(0.0), None
    wanting = copy.deepcopy(digital)
    wanting.bias = None
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        x = torch.rand(shape).uniform_(-1, 1)
        raw, wanted = bare(x).reshape(-1, 1).numpy(), wanting(x).reshape(-1, 1).numpy()
    line = LinearRegression().fit(raw, wanted)
    return float(np.ravel(line.coef_)[0]), float(np.ravel(line.intercept_)[0])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths and odd dilation")
@pytest.mark.parametrize("name", CONVERSIONS)
@pytest.mark.parametrize("kind", LAYERS)
def test_tuning_is_scikit_learns_fit_on_memtorchs_noise(kind: str, name: str) -> None:
    torch.manual_seed(0)
    digital = LAYERS[kind][0]()
    layer = programmed(digital, CONVERSIONS[name])
    inputs, dimensions = layer.geometry.inputs, layer.geometry.dimensions
    shape = (3, inputs, *[12] * dimensions) if dimensions else (300, inputs)
    gain, offset = fitted(layer, digital, shape, 5)
    for limit in (CHUNK_BYTES, 4_000):
        layer.chunk_bytes = limit
        layer.gain, layer.offset = torch.tensor(7.0), torch.tensor(8.0)
        layer.tune(TUNING, 5)
        assert float(layer.gain) == pytest.approx(gain, rel=1e-5)
        assert float(layer.offset) == pytest.approx(offset, rel=1e-4, abs=1e-6)


def test_a_tuned_layer_gives_the_digital_outputs() -> None:
    torch.manual_seed(0)
    digital = nn.Conv2d(3, 6, 3, padding=1)
    layer = programmed(digital, Conversion())
    layer.tune(TUNING, 0)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(layer(x), digital(x).detach(), rtol=1e-4, atol=1e-5)


def test_tuning_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    made()[0].tune(TUNING, 0)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- the input limit ---------------------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("adc", [None, ADC(bits=12)])
@pytest.mark.parametrize("tile_shape", [None, (8, 4)])
@pytest.mark.parametrize("kind", LAYERS)
def test_inputs_beyond_the_limit_are_scaled_and_the_bias_is_not(
    kind: str, tile_shape: tuple[int, int] | None, adc: ADC | None, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    free = Conversion(tile_shape=tile_shape, adc=adc)
    (layer, x), (limited, _) = made(kind, free), made(kind, free.replace(max_input_voltage=0.5))
    x[1] *= 0.1  # this image stays within the limit
    alone = layer.geometry.dimensions > 1  # MemTorch scales vectors and Conv1d's inputs by the largest of the batch
    top = x.abs().amax(tuple(range(1, x.ndim)), keepdim=True) if alone else x.abs().max()
    wanted = layer(torch.where(top > 0.5, x * 0.5 / top, x))
    atol = 1e-5 if adc is None else 2e-2
    torch.testing.assert_close(limited(x), wanted, rtol=0, atol=atol * float(wanted.abs().max()))


# --- inputs of all kinds -----------------------------------------------------------------------------------------------------


def test_an_empty_batch_gives_an_empty_one(each: tuple[MemristiveLayer, Tensor]) -> None:
    layer, x = each
    assert layer(x[:0]).shape == (0, *layer(x).shape[1:])


def strange(x: Tensor) -> Iterator[Tensor]:
    """The same numbers, laid out in other ways."""
    yield x.transpose(0, 1).contiguous().transpose(0, 1)
    yield torch.stack([x, x + 1], dim=-1)[..., 0]
    yield torch.cat([x, x])[: len(x)]
    yield x.clone().requires_grad_()
    if x.ndim == 4:
        yield x.to(memory_format=torch.channels_last)
    if x.ndim == 5:
        yield x.to(memory_format=torch.channels_last_3d)


@MODES
def test_how_an_input_lies_in_memory_does_not_matter(
    each: tuple[MemristiveLayer, Tensor], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    layer, x = each
    kept, wanted = x.clone(), layer(x)
    assert not wanted.requires_grad
    assert torch.equal(x, kept)
    for other in strange(x):
        assert torch.equal(layer(other), wanted)


def test_two_batches_at_once_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As two threads would: torch's own layers can be used by several. Here the second pass comes amid the first."""
    if kernel_in_use() is None:
        pytest.skip("there is no C++ kernel here")
    for kind in ("Conv2d", "Linear"):
        layer, x = made(kind)
        wanted = layer(x)
        product, inner = Kernel.product, []

        def interrupted(
            self: Kernel, *arguments: Any, product: Any = product, inner: Any = inner, layer: Any = layer, x: Any = x
        ) -> None:
            if not inner:
                inner.append(None)
                inner[0] = layer(x[:2] * 0.01)
            product(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Kernel, "product", interrupted)
            found = layer(x)
        assert torch.equal(found, wanted)
        assert torch.equal(inner[0], layer(x[:2] * 0.01))
