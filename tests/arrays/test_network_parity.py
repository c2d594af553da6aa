"""Whole networks: what a shipped network gives on the vectorized engine is what it gives on MemTorch, layer by layer and at its
end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import SHARED, needs_data
from torch import Tensor, nn

from membench import ADC, STUDY_DEVICE, VTEAM, Conversion, DataDriven, Scheme, Tuning, Variability
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.effect import Effect
from membench.engines import ENGINES, Converted
from membench.models import NETWORKS, obtain
from membench.parity import measure
from membench.runtime import pinned_threads

pytestmark = pytest.mark.slow

LIGHT = Tuning(conv_images=1, conv_size=16, linear_rows=256)
PLAIN = Conversion(device=VTEAM(), tuning=LIGHT)
TILED = PLAIN.replace(tile_shape=(64, 64), adc=ADC(bits=8))


def network(dataset: str, name: str, images: int) -> tuple[nn.Module, Tensor]:
    """A shipped network, and the first images of a case as the network takes them."""
    source = DATASETS.get(dataset)
    test = source.load("test", SHARED)
    model = obtain(NETWORKS.get(name), source, root=SHARED).model
    return model, source.normalise(test.take(balanced_order(test, 0)[:images]).images)


def converted(engine: str, model: nn.Module, conversion: Conversion, effects: tuple[Effect, ...], batch: Tensor) -> Converted:
    plan = ENGINES.get(engine).plan(model, conversion, effects, batch)
    return fabricate(ENGINES.get(engine), model, plan, conversion, effects, 7, lambda *_: None, Clock())[0]


def hand_over_gains(native: Converted, fast: Converted, quantised: bool) -> None:
    """MemTorch's gain and offset of each layer to the vectorized one, which had found the same but for rounding.

    Through an ADC, noise that lies on the edge between two codes falls to one in the one engine and to the other in the other: of a
    few thousand values, each moves the offset by a few millionths.
    """
    for info in native.layers:
        transform: Any = native.network.get_submodule(info.name).transform_output
        layer: Any = fast.network.get_submodule(info.name)
        offset, total = (float(transform(torch.tensor(x, dtype=torch.float64))) for x in (0.0, 1.0))
        gain = total - offset
        assert float(layer.gain) == pytest.approx(gain, rel=1e-5)
        assert float(layer.offset) == pytest.approx(offset, rel=1e-4, abs=1e-5 if quantised else 1e-6)
        layer.gain, layer.offset = torch.tensor(gain), torch.tensor(offset)


def told(mine: Tensor, wanted: Tensor) -> str:
    """How near logits are."""
    equal, largest = float((mine == wanted).double().mean()), float((mine - wanted).abs().max() / wanted.abs().max())
    return f"{equal:.1%} equal to the last bit, largest difference {largest:.1e} of the largest"


def assert_parity(
    model: nn.Module, batch: Tensor, conversion: Conversion, effects: tuple[Effect, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every layer, given the input that MemTorch's saw; then the logits of both networks, each with its own gains, and with
    MemTorch's."""
    with pinned_threads(1):
        native, fast = (converted(engine, model, conversion, effects, batch) for engine in ("memtorch", "vectorized"))
        logits: list[Tensor] = []
        hook = native.network.register_forward_hook(lambda module, inputs, output: logits.append(output.clone()))
        found = measure("network", ("memtorch", native), ("vectorized", fast), batch)
        hook.remove()
        (wanted,), own = logits, fast.infer(batch)
        hand_over_gains(native, fast, conversion.adc is not None)
        handed = fast.infer(batch)
    off = sum(layer.off for layer in found.layers)
    with capsys.disabled():
        print(
            f"\n{len(batch)} images, {sum(layer.values for layer in found.layers):,} outputs of {len(found.layers)} layers: {off} "
            f"another code; logits: {told(own, wanted)}; with MemTorch's gains: {told(handed, wanted)}"
        )
    assert found.faults == (), str(found)
    assert max(layer.devices for layer in found.layers) == 0.0
    for mine in (own, handed):
        assert torch.equal(mine.argmax(1), wanted.argmax(1))
        if conversion.adc is None:
            assert float((mine - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


@pytest.fixture(scope="module")
def mnist() -> tuple[nn.Module, Tensor]:
    return network("mnist5k", "vgg-mnist", 100)


VARYING = Variability(r_on_sigma=5.0, r_off_sigma=100.0)


@pytest.mark.parametrize(
    ("conversion", "effects"),
    [
        (PLAIN, ()),
        (PLAIN.replace(adc=ADC(bits=8), device=STUDY_DEVICE, max_input_voltage=6.0), ()),
        (PLAIN.replace(adc=ADC(bits=4, overflow_rate=0.01), tuning=None), ()),
        (PLAIN.replace(adc=ADC(bits=6), scheme=Scheme.SINGLE_COLUMN), ()),
        (PLAIN.replace(max_input_voltage=0.3), (VARYING.replace(distribution="lognormal"),)),
        (TILED.replace(adc=None, max_input_voltage=6.0), ()),
        (TILED.replace(adc=None, scheme=Scheme.SINGLE_COLUMN), ()),
        (TILED.replace(max_input_voltage=6.0, tuning=Tuning()), ()),
        (TILED.replace(tile_shape=(25, 25), device=DataDriven(), retained=0.01), ()),
        (TILED.replace(max_input_voltage=0.3), ()),
        (TILED.replace(adc=ADC(bits=6)), (VARYING,)),
        (TILED.replace(adc=ADC(bits=4, overflow_rate=0.01), max_input_voltage=6.0), ()),
        (TILED.replace(adc=ADC(bits=8, method="log")), ()),
        (TILED.replace(scheme=Scheme.SINGLE_COLUMN), (VARYING,)),
        (TILED.replace(tile_shape=(128, 128), max_input_voltage=6.0), ()),
        (TILED.replace(tile_shape=(256, 64), adc=ADC(bits=4), tuning=None), ()),
    ],
    ids=[
        "no tiles", "no tiles, 8 bit, 6 V", "no tiles, 4 bit, clipped", "no tiles, 6 bit, one column", "no tiles, 0.3 V, varying",
        "64x64, no ADC, 6 V", "64x64, no ADC, one column", "64x64, 8 bit, 6 V, full tuning", "25x25, 8 bit, saturated",
        "64x64, 8 bit, 0.3 V", "64x64, 6 bit, varying", "64x64, 4 bit, clipped, 6 V", "64x64, log",
        "64x64, 8 bit, one column, varying", "128x128, 8 bit, 6 V", "256x64, 4 bit",
    ],
)  # fmt: skip
def test_the_mnist_network(
    mnist: tuple[nn.Module, Tensor], conversion: Conversion, effects: tuple[Effect, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_parity(*mnist, conversion, effects, capsys)


def test_the_mnist_network_on_tiles_of_8x8(mnist: tuple[nn.Module, Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    """MemTorch takes 1.7 s an image here, hence 20 images."""
    model, batch = mnist
    assert_parity(model, batch[:20], TILED.replace(tile_shape=(8, 8)), (), capsys)


@pytest.fixture(scope="module")
def cifar() -> tuple[nn.Module, Tensor]:
    return network("cifar10", "vgg-cifar10", 20)


@needs_data("cifar10")
@pytest.mark.parametrize(
    ("conversion", "effects"),
    [
        (PLAIN.replace(max_input_voltage=6.0), ()),
        (PLAIN.replace(adc=ADC(bits=8)), (VARYING,)),
        (TILED.replace(max_input_voltage=9.0), ()),
        (TILED.replace(tile_shape=(128, 128), adc=ADC(bits=6, overflow_rate=0.01), tuning=None), ()),
    ],
    ids=["no tiles, 6 V", "no tiles, 8 bit, varying", "64x64, 8 bit, 9 V", "128x128, 6 bit, clipped"],
)
def test_the_cifar10_network(
    cifar: tuple[nn.Module, Tensor], conversion: Conversion, effects: tuple[Effect, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_parity(*cifar, conversion, effects, capsys)
