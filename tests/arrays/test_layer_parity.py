"""A layer of the vectorized engine is MemTorch's own: the same devices from the same seed, the same outputs from the same
conductances, in the C++ kernel and in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from membench import (
    ADC,
    STUDY_DEVICE,
    VTEAM,
    Conversion,
    DataDriven,
    DataDriven2021,
    LinearIonDrift,
    Scheme,
    StanfordPKU,
    Variability,
)
from membench.arrays import MemristiveLayer
from membench.devices import Device
from membench.engines.memtorch import MemTorchEngine
from membench.engines.vectorized import VectorizedEngine
from membench.runtime import isolated, pinned_threads

T = TypeVar("T")
Pick = Callable[[Sequence[T]], T]
Tile = tuple[int, int] | None

ROUNDING = 1e-6  # of the layer's largest raw output: the two sum up in another order
SHIFT_ROUNDING = 5e-7  # of offset and bias, which the sum may start from; 4e-7 was seen in 600 random layers
OFF_BY_A_STEP = 1e-4  # proportion of the values behind an ADC that may be another code

KINDS = ("Linear", "Conv1d", "Conv2d", "Conv3d")
DEVICES = (VTEAM(), LinearIonDrift(), StanfordPKU(), DataDriven(), DataDriven2021(), STUDY_DEVICE)
SMALL_TILES: tuple[Tile, ...] = (None, (1, 1), (3, 2), (8, 8), (25, 25), (5, 16))
LARGE_TILES: tuple[Tile, ...] = ((64, 1), (64, 64), (128, 128), (256, 64))
MEMTORCH_DEVICES = 10_000  # Python objects of an example at most, where one tile allows it: 20 microseconds each

MODEST = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with pinned_threads(1):
        yield


# --- the same layer on both engines ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A digital layer, its inputs, and how it is converted."""

    digital: nn.Module
    x: Tensor
    conversion: Conversion
    fabrication: tuple[Variability, ...] = ()
    gain: float = 1.0
    offset: float = 0.0
    seed: int = 0


def both(example: Example) -> tuple[Any, MemristiveLayer]:
    """MemTorch's layer and the vectorized one, from the same seed, with the example's gain and offset."""
    arguments = example.digital, example.conversion, example.fabrication
    with torch.no_grad():
        with isolated(example.seed):
            native = MemTorchEngine._layer(*arguments)
        layer = VectorizedEngine._layer(*arguments, example.seed)
    native.transform_output = lambda x: x * example.gain + example.offset
    layer.gain, layer.offset = torch.tensor(example.gain), torch.tensor(example.offset)
    return native, layer


def hand_over(native: Any, layer: MemristiveLayer) -> None:
    """MemTorch's conductances, as they are now, to the vectorized layer."""
    for index, crossbar in enumerate(native.crossbars):
        layer.conductance[index] = crossbar.conductance_matrix


def aged(native: Any, seed: int) -> None:
    """Conductances that no mapping gives: each device, padding too, has lost its own part."""
    generator = torch.Generator().manual_seed(seed)
    for crossbar in native.crossbars:
        crossbar.conductance_matrix = crossbar.conductance_matrix * torch.rand(
            crossbar.conductance_matrix.shape, generator=generator
        )


def outputs(native: Any, layer: MemristiveLayer, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """MemTorch's, the C++ kernel's and plain torch's."""
    with torch.no_grad():
        wanted = native(x.clone())
    found = []
    for kernel in ("cpp", "torch"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MEMBENCH_KERNEL", kernel)
            found.append(layer(x.clone()))
    return wanted, *found


def largest_step(layer: MemristiveLayer, x: Tensor, wanted: Tensor) -> float:
    """What one code of the ADC is worth at most.

    The log ADC gives a sign times exp(code x delta), and the code of every current below 1 A is 0. There the nearest thing to a
    boundary between two codes is 0 A, and a current within rounding of it gives 1 on one engine and -1 on the other. Above 1 A
    neighbouring codes are exp(delta) apart.
    """
    adc = layer.hardware.adc
    if adc is None or adc.method == "linear":
        return layer.largest_step(x)
    gain = abs(float(layer.gain))
    delta = layer.largest_step(x) / gain
    levels = float((wanted - layer.offset).abs().max()) + (0.0 if layer.bias is None else float(layer.bias.abs().max()))
    return max(2 * gain, levels * math.expm1(delta))


def rounding_of(wanted: Tensor, layer: MemristiveLayer) -> float:
    """How far two honest sums may lie apart."""
    bias = torch.zeros(1) if layer.bias is None else layer.bias
    raw = wanted - layer.offset - bias.view(-1, *[1] * layer.geometry.dimensions)
    return ROUNDING * float(raw.abs().max()) + SHIFT_ROUNDING * (abs(float(layer.offset)) + float(bias.abs().max()))


def other_codes(found: Tensor, wanted: Tensor, layer: MemristiveLayer, x: Tensor) -> int:
    """How many values differ by more than rounding, which only another code of an ADC accounts for: by one step at most."""
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    difference = (found - wanted).abs().double()
    rounding = rounding_of(wanted, layer)
    off = ~(difference <= rounding)
    if not off.any():
        return 0
    step = largest_step(layer, x, wanted)
    worst = float(difference.max())
    assert step > 0, f"values differ by {worst:.2g}, rounding is {rounding:.2g}, and there is no ADC"
    assert worst <= step * (1 + 1e-5) + rounding, f"a value differs by {worst / step:.3f} steps of the ADC"
    return int(off.sum())


def assert_equal_outputs(found: Tensor, wanted: Tensor, layer: MemristiveLayer, x: Tensor) -> None:
    """Equal up to rounding; behind an ADC, one value may be another code."""
    count = other_codes(found, wanted, layer, x)
    assert count <= 1, f"{count} of {wanted.numel()} values are another code of the ADC"


def assert_parity(native: Any, layer: MemristiveLayer, x: Tensor) -> None:
    wanted, kernel, plain = outputs(native, layer, x)
    assert_equal_outputs(kernel, wanted, layer, x)
    assert_equal_outputs(plain, wanted, layer, x)
    assert_equal_outputs(kernel, plain, layer, x)


def assert_same_devices(native: Any, layer: MemristiveLayer) -> None:
    """r_off, r_on and conductance of every device, to the last bit."""
    assert len(native.crossbars) == layer.crossbars == len(layer.conductance)
    for index, crossbar in enumerate(native.crossbars):
        assert torch.equal(crossbar.conductance_matrix, layer.conductance[index])
        shape = crossbar.devices.shape
        for name, limit in (("r_off", layer.conductance_min), ("r_on", layer.conductance_max)):
            ohms = np.array([getattr(device, name) for device in crossbar.devices.flat], dtype=float).reshape(shape)
            expected = torch.from_numpy(1 / ohms).float()
            assert torch.equal(expected, limit[index] if limit.ndim else limit.expand(shape))


# --- examples ----------------------------------------------------------------------------------------------------------------


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def digital_layer(pick: Pick[Any], kind: str, tile: Tile, seed: int) -> nn.Module:
    """A layer over as many tiles as MemTorch makes in half a second, the last ones rarely full."""
    high, wide = tile or (40, 24)
    many = max(1, MEMTORCH_DEVICES // (2 * high * wide))
    down = pick(range(1, min(many, 4) + 1))
    across = pick(range(1, min(many // down, 3) + 1))
    rows, columns = min(down * high, 150), min(across * wide, 80)
    outputs = pick(range(1, columns + 1))
    bias = pick((True, False))
    layer: nn.Module
    if kind == "Linear":
        layer = nn.Linear(pick(range(1, rows + 1)), outputs, bias=bias)
    else:
        size, stride, padding = pick((1, 2, 3, 5)), pick((1, 2, 3)), pick((0, 1, 2))
        if kind == "Conv1d":
            layer = nn.Conv1d(pick(range(1, max(1, rows // size) + 1)), outputs, size, stride, padding, bias=bias)
        elif kind == "Conv2d":
            inputs = pick(range(1, max(1, rows // size**2) + 1))
            layer = nn.Conv2d(inputs, outputs, size, stride, (padding, pick((0, 1, 2))), bias=bias)
        else:  # MemTorch's works for one channel and without a bias, and there on any kernel
            layer = nn.Conv3d(1, outputs, (min(size, 3), 1, 2), (stride, 1, 2), (padding, 0, 1), bias=False)
    with torch.no_grad():
        layer.weight.copy_(numbers(seed, *layer.weight.shape))
        if layer.bias is not None:
            layer.bias.copy_(numbers(seed + 1, outputs))
    return layer


def inputs_of(pick: Pick[Any], digital: nn.Module, limit: float | None, seed: int) -> Tensor:
    """A batch as networks have them, and as they should not."""
    batch = pick((1, 2, 3, 4))
    if isinstance(digital, nn.Linear):
        x = numbers(seed, batch, digital.in_features)
    else:
        assert isinstance(digital, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        size = [pick(range(kernel, kernel + 10)) for kernel in digital.kernel_size]
        x = numbers(seed, batch, digital.in_channels, *size)
    nature = pick(("relu", "signed", "one image blank", "all blank", "tiny", "large", "one loud image", "up to the limit"))
    if nature in ("relu", "one image blank"):
        x = x.relu()
    if nature == "one image blank":
        x[0] = 0
    elif nature == "all blank":
        x.zero_()
    elif nature == "tiny":
        x *= 1e-6
    elif nature == "large":
        x *= 1e3
    elif nature == "one loud image":
        x[-1] *= 50
    elif nature == "up to the limit":
        x = (x / x.abs().max() * (limit or 1.0)).clamp(-(limit or 1.0), limit or 1.0)
    return x


def variability_of(pick: Pick[Any], device: Device) -> Variability:
    wide = () if device.kind == "Stanford_PKU" else ((0.5, 0.5),)  # MemTorch's model raises where r_off comes out below r_on
    on, off = pick(((0.1, 0.2), (0.1, 0.0), (0.0, 0.2), *wide))
    return Variability(r_on_sigma=on * device.r_on, r_off_sigma=off * device.r_off, distribution=pick(("normal", "lognormal")))


def random_example(pick: Pick[Any], tiles: Sequence[Tile]) -> Example:
    """Any layer that MemTorch can represent; `pick` chooses one of a sequence."""
    kind, tile, seed = pick(KINDS), pick(tiles), pick(range(2**16))
    digital = digital_layer(pick, kind, tile, seed)
    device, limit = pick(DEVICES), pick((None, 0.3, 3.0, 1000.0))
    adc = None
    if pick((True, True, False)):
        method = pick(("linear", "linear", "linear", "log"))
        adc = ADC(bits=pick(range(2, 11)), method=method, overflow_rate=pick((0.0, 0.01, 0.2)))
    conversion = Conversion(
        device=device,
        scheme=pick((Scheme.DOUBLE_COLUMN, Scheme.SINGLE_COLUMN)),
        tile_shape=tile,
        adc=adc,
        max_input_voltage=limit,
        retained=pick((None, None, 0.05, 0.5)),
        tuning=None,
    )
    fabrication = (variability_of(pick, device),) if pick((True, False)) else ()
    gain, offset = pick(((1.0, 0.0), (device.r_on * 3.1, 0.07), (-device.r_on * 0.3, -0.4)))
    return Example(digital, inputs_of(pick, digital, limit, seed), conversion, fabrication, gain, offset, seed)


@st.composite
def examples(draw: st.DrawFn, tiles: Sequence[Tile] = SMALL_TILES) -> Example:
    return random_example(lambda options: draw(st.sampled_from(options)), tiles)


# --- any layer ---------------------------------------------------------------------------------------------------------------


@settings(MODEST, max_examples=40)
@given(examples())
def test_the_same_seed_makes_the_same_devices(example: Example) -> None:
    assert_same_devices(*both(example))


@settings(MODEST, max_examples=120)
@given(examples())
def test_a_layer_of_the_same_seed_gives_the_same_outputs(example: Example) -> None:
    assert_parity(*both(example), example.x)


@settings(MODEST, max_examples=60)
@given(examples())
def test_whatever_the_conductances_are_equal_ones_give_equal_outputs(example: Example) -> None:
    native, layer = both(example)
    aged(native, example.seed)
    hand_over(native, layer)
    assert_parity(native, layer, example.x)


@settings(MODEST, max_examples=60)
@given(examples(), st.booleans())
def test_inputs_beyond_the_limit_give_the_same_outputs(example: Example, converted: bool) -> None:
    """Any layer again, since few of the above are scaled, and hardly any of these without an ADC."""
    limit = 0.3 * float(example.x.abs().max())
    assume(limit > 0)
    conversion = example.conversion.replace(max_input_voltage=limit)
    example = replace(example, conversion=conversion if converted else conversion.replace(adc=None))
    assert_parity(*both(example), example.x)


# --- each feature on its own -------------------------------------------------------------------------------------------------


def linear(rows: int, columns: int, *, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(rows, columns, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(numbers(1, columns, rows))
    return layer


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: f"{device.kind}-{device.r_on:g}")
@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
@pytest.mark.parametrize("sigmas", [(0.1, 0.2), (0.1, 0.0), (0.0, 0.2)], ids=["both", "r_on", "r_off"])
def test_devices_that_vary_are_the_same_ones(device: Device, distribution: Any, sigmas: tuple[float, float]) -> None:
    on, off = sigmas
    effect = Variability(r_on_sigma=on * device.r_on, r_off_sigma=off * device.r_off, distribution=distribution)
    conversion = Conversion(device=device, tile_shape=(8, 8), adc=ADC(bits=6))
    native, layer = both(Example(linear(10, 7), torch.empty(0), conversion, (effect,), seed=5))
    assert_same_devices(native, layer)
    assert_parity(native, layer, numbers(3, 4, 10))


@pytest.mark.parametrize("device", [VTEAM(), LinearIonDrift()], ids=lambda device: device.kind)
@pytest.mark.parametrize("seed", range(3))
def test_a_device_whose_two_resistances_come_out_equal_is_drawn_anew(device: Device, seed: int) -> None:
    """Up to five times each: half of both distributions lies below the minimum here."""
    effect = Variability(r_on_sigma=device.r_on, r_off_sigma=device.r_off)
    assert_same_devices(*both(Example(linear(20, 20), torch.empty(0), Conversion(device=device), (effect,), seed=seed)))


@pytest.mark.parametrize("tile", [*SMALL_TILES, *LARGE_TILES], ids=str)
@pytest.mark.parametrize(
    "adc",
    [None, ADC(bits=5), ADC(bits=5, overflow_rate=0.01), ADC(bits=5, overflow_rate=0.2)],
    ids=["none", "0", "0.01", "0.2"],
)
def test_every_tile_shape_with_every_overflow(tile: Tile, adc: ADC | None) -> None:
    """As mapped, where padding bit lines carry no current, and aged, where they carry some."""
    native, layer = both(Example(linear(30, 6), torch.empty(0), Conversion(tile_shape=tile, adc=adc), gain=40.0))
    x = numbers(2, 20, 30)
    assert_parity(native, layer, x)
    aged(native, 1)
    hand_over(native, layer)
    assert_parity(native, layer, x)


@pytest.mark.parametrize("adc", [None, ADC(bits=5), ADC(bits=5, overflow_rate=0.2)], ids=["none", "0", "0.2"])
@pytest.mark.parametrize("tile", [None, (8, 8), (25, 25)], ids=str)
def test_one_column_of_devices_that_vary(tile: Tile, adc: ADC | None) -> None:
    """MemTorch subtracts the mean conductance of a reference device, which is not one of those that vary."""
    conversion = Conversion(tile_shape=tile, adc=adc, scheme=Scheme.SINGLE_COLUMN)
    effect = Variability(r_on_sigma=5.0, r_off_sigma=100.0)
    assert_parity(*both(Example(linear(30, 12), torch.empty(0), conversion, (effect,))), numbers(2, 20, 30))


@pytest.mark.parametrize("bits", range(2, 11))
@pytest.mark.parametrize("tile", [None, (8, 8)], ids=str)
def test_every_resolution(bits: int, tile: Tile) -> None:
    example = Example(linear(30, 12), numbers(2, 30, 30), Conversion(tile_shape=tile, adc=ADC(bits=bits)))
    assert_parity(*both(example), example.x)


@pytest.mark.parametrize(
    ("digital", "sizes"),
    [
        (nn.Conv1d(3, 4, 3), [(4, 3, 9)]),
        (nn.Conv2d(3, 4, 3), [(4, 3, 7, 5)]),
        (nn.Conv3d(1, 4, 2, bias=False), [(4, 1, 5, 4, 3)]),
        (nn.Linear(9, 4), [(4, 9)]),
    ],
    ids=["Conv1d", "Conv2d", "Conv3d", "Linear"],
)
@pytest.mark.parametrize("limit", [0.3, 3.0, 1000.0])
@pytest.mark.parametrize("adc", [None, ADC(bits=6)], ids=["no ADC", "6 bit"])
def test_one_loud_image_scales_what_memtorch_lets_it_scale(
    digital: nn.Module, sizes: list[tuple[int, ...]], limit: float, adc: ADC | None
) -> None:
    """The whole batch in a fully connected layer and in Conv1d, itself alone in other convolutions."""
    for tile in (None, (8, 8)):
        native, layer = both(Example(digital, torch.empty(0), Conversion(tile_shape=tile, adc=adc, max_input_voltage=limit)))
        for size in sizes:
            x = numbers(4, *size)
            x[1] *= 20
            assert_parity(native, layer, x)


@pytest.mark.parametrize("units", [-1, 0, 1])
def test_an_input_at_the_limit_is_left_alone_and_one_above_it_is_scaled(units: int) -> None:
    limit = 0.3
    x = numbers(4, 3, 2, 5, 5).clamp(-0.2, 0.2)
    x[:, 0, 0, 0] = torch.tensor(limit).view(torch.int32).add(units).view(torch.float32)
    digital = nn.Conv2d(2, 3, 3, padding=1)
    for tile in (None, (8, 8)):
        native, layer = both(Example(digital, x, Conversion(tile_shape=tile, max_input_voltage=limit, adc=ADC(bits=8))))
        assert_parity(native, layer, x)


@pytest.mark.parametrize("adc", [ADC(bits=6), ADC(bits=6, method="log")], ids=["linear", "log"])
@pytest.mark.parametrize(
    "digital", [linear(10, 6, bias=False), nn.Conv2d(2, 6, 3, padding=1, bias=False)], ids=["Linear", "Conv2d"]
)
def test_zeros_are_scaled_to_what_memtorch_makes_of_them(digital: nn.Module, adc: ADC) -> None:
    """Scaling rounds: 0 may become some 1e-8 V, whose currents an ADC sees where there are no others."""
    native, layer = both(Example(digital, torch.empty(0), Conversion(tile_shape=(8, 8), adc=adc, max_input_voltage=0.49)))
    seen = False
    for seed in range(20):
        if isinstance(digital, nn.Linear):
            x = numbers(seed, 2, 10)
            blank = x[1:]
            where: Any = slice(1, 2)
        else:
            x = numbers(seed, 1, 2, 9, 9)
            blank = x[..., :5]
            where = (..., slice(1, 4))
        blank.zero_()
        wanted, *found = (one[where] for one in outputs(native, layer, x))
        seen |= bool(wanted.any())
        for one in found:
            assert other_codes(one, wanted, layer, torch.zeros_like(x)) == 0
    assert seen


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("tile", [(1, 2), (1, 3), None], ids=str)
def test_a_range_a_few_units_above_a_power_of_two_counts_as_it_does_in_memtorch(bits: int, tile: Tile) -> None:
    """ceil(log2(range)) is taken in single precision, so that a range just above 2^k may still count as 2^k."""
    native, layer = both(Example(linear(1, 2, bias=False), torch.empty(0), Conversion(tile_shape=tile, adc=ADC(bits=bits))))
    for index, matrix in enumerate((torch.tensor([1.0, 0.37]), torch.zeros(2))):
        crossbar = native.crossbars[index].conductance_matrix
        crossbar.zero_()
        crossbar[..., :2] = matrix
    hand_over(native, layer)
    powers = 2.0 ** torch.arange(-30, 12)
    for units in range(-2, 20):
        x = (powers.view(torch.int32) + units).view(torch.float32).view(-1, 1)
        for part in (x, -x) if tile else x.split(1):
            wanted, kernel, plain = outputs(native, layer, part)
            assert torch.equal(kernel, wanted)
            assert torch.equal(plain, wanted)


@pytest.mark.parametrize("tile", [None, (8, 8), (3, 2)], ids=str)
@pytest.mark.parametrize("scheme", list(Scheme))
def test_the_log_adc_keeps_the_same_signs_and_above_an_ampere_the_same_codes(tile: Tile, scheme: Scheme) -> None:
    conversion = Conversion(device=VTEAM(), tile_shape=tile, scheme=scheme, adc=ADC(bits=10, method="log"))
    native, layer = both(Example(linear(30, 12, bias=False), torch.empty(0), conversion))
    signs = numbers(2, 50, 30)
    assert_parity(native, layer, signs)
    assert torch.equal(layer(signs), layer(signs).round())
    loud = 1e4 * numbers(3, 50, 30)
    assert_parity(native, layer, loud)
    assert float(layer(loud).abs().max()) > 20


@pytest.mark.parametrize("tile", [None, (8, 8), (25, 25)], ids=str)
@pytest.mark.parametrize("overflow_rate", [0.0, 0.2])
def test_equal_currents_pass_the_adc_as_they_are(tile: Tile, overflow_rate: float) -> None:
    """A tile whose bit lines all give the same current is left alone; with other bit lines beside it, it is not."""
    digital = linear(1, 20, bias=False)
    with torch.no_grad():
        digital.weight[:] = -1.0
        digital.weight[0] = 1.0
    conversion = Conversion(
        tile_shape=tile, scheme=Scheme.SINGLE_COLUMN, adc=ADC(bits=4, overflow_rate=overflow_rate), max_input_voltage=3.0
    )
    example = Example(digital, numbers(2, 6, 1), conversion)
    assert_parity(*both(example), example.x)


@pytest.mark.parametrize("kernel", ["cpp", "torch"])
@pytest.mark.parametrize("tile", [None, (8, 8)], ids=str)
def test_a_convolution_of_an_image_does_not_depend_on_its_batch(
    kernel: str, tile: Tile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", kernel)
    digital = nn.Conv2d(2, 9, 3, padding=1)
    _, layer = both(Example(digital, torch.empty(0), Conversion(tile_shape=tile, adc=ADC(bits=5), max_input_voltage=1.0)))
    x = numbers(1, 7, 2, 5, 6)
    alone = torch.cat([layer(one) for one in x.split(1)])
    assert other_codes(alone, layer(x), layer, x) == 0


# --- a thousand --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_thousand_random_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """With the large tiles too, and with the same proportion of other codes as the canary accepts, over all of them."""
    rng = np.random.default_rng(20241130)
    tiles = (*SMALL_TILES * 3, *LARGE_TILES)
    layers, behind, equal, off, values = 1_000, 0, [0, 0], [0, 0], 0
    for _ in range(layers):
        example = random_example(lambda options: options[int(rng.integers(len(options)))], tiles)
        native, layer = both(example)
        assert_same_devices(native, layer)
        if rng.random() < 0.3:
            aged(native, example.seed)
            hand_over(native, layer)
        wanted, *found = outputs(native, layer, example.x)
        values += wanted.numel()
        behind += wanted.numel() if example.conversion.adc else 0
        for path, one in enumerate(found):
            off[path] += other_codes(one, wanted, layer, example.x)
            equal[path] += int((one == wanted).sum())
        other_codes(*found, layer, example.x)
    shares = [count / values for count in equal]
    with capsys.disabled():
        print(
            f"\n{layers} random layers, {values:,} values, {behind:,} of them behind an ADC; C++ kernel and plain torch: "
            f"equal to the last bit {shares[0]:.2%} and {shares[1]:.2%}, another code {off[0]} and {off[1]}"
        )
    assert max(off) <= OFF_BY_A_STEP * behind
    assert min(shares) > 0.5
