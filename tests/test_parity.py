"""The canary: two engines that compute the same are found equal, and a difference is found in the layer that makes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import make_case

from membench import ADC, Case, ConductanceDrift, Conversion, DeviceFaults, Endurance, Scheme, Variability, run_case
from membench.arrays import MemristiveLayer
from membench.engines.vectorized import VectorizedNetwork
from membench.parity import LayerParity, compare

TILED = Conversion(tile_shape=(16, 8), adc=ADC(bits=8), max_input_voltage=3.0)
WORN = (
    Variability(r_on_sigma=5.0, r_off_sigma=100.0),
    DeviceFaults(lrs_proportion=0.01, hrs_proportion=0.02),
    ConductanceDrift(time=2.0),
)
AGED = (
    Variability(r_on_sigma=5.0, r_off_sigma=100.0, distribution="lognormal"),
    Endurance(
        cycles=1e6, mode="gradual", p_lrs=(1.0, 0.921, 0.0, 0.01086), p_hrs=(1.0, 0.921, 0.0, -0.01086),
        stable_resistance_lrs=1e3, stable_resistance_hrs=1e2,
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        make_case(),
        make_case(conversion=TILED),
        make_case(conversion=TILED.replace(adc=None)),
        make_case(conversion=TILED.replace(scheme=Scheme.SINGLE_COLUMN)),
        make_case(conversion=TILED.replace(adc=ADC(bits=5, overflow_rate=0.2), max_input_voltage=0.3)),
        make_case(conversion=TILED, nonidealities=WORN),
        make_case(nonidealities=AGED),
        make_case(conversion=TILED.replace(retained=0.9, tuning=None)),
    ],
    ids=["untiled", "tiled", "no ADC", "one column", "5 bit, clipped", "worn", "aged", "saturated"],
)
def test_the_vectorized_engine_equals_memtorch(case: Case) -> None:
    found = compare(case, images=4)
    assert found.faults == (), str(found)
    assert [layer.name for layer in found.layers] == ["0", "4"]
    assert max(layer.devices for layer in found.layers) < 2e-6
    assert found.logits < 1e-5


def test_both_engines_give_the_same_record_but_for_rounding() -> None:
    case = make_case(conversion=TILED, nonidealities=WORN, seeds=(3,))
    fast, native = run_case(case).measured, run_case(case, "memtorch").measured
    assert fast.seeds[0].predictions == native.seeds[0].predictions
    assert fast.logit_error == pytest.approx(native.logit_error, rel=1e-4)
    assert fast.layers == native.layers
    for one, other in zip(fast.seeds[0].proofs, native.seeds[0].proofs, strict=True):
        assert (one.effect, one.moved, one.devices) == (other.effect, other.moved, other.devices)
        assert one.mean_change == pytest.approx(other.mean_change, rel=1e-5)


def altered(change: Callable[[MemristiveLayer], object], layer: str = "4") -> Callable[..., None]:
    tune = VectorizedNetwork.tune

    def tuned(self: VectorizedNetwork, *arguments: object) -> None:
        tune(self, *arguments)  # type: ignore[arg-type]
        change(self.network.get_submodule(layer))  # type: ignore[arg-type]

    return tuned


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layer: layer.conductance.mul_(1 + 1e-5), "conductances differ by 1e-05"),
        (lambda layer: layer.gain.mul_(1.001), "outputs are off by more than rounding"),
        (lambda layer: layer.offset.add_(1e-3), "outputs are off by more than rounding"),
        (lambda layer: layer.conductance.__setitem__((0, 0, 0), float("nan")), "conductances differ by nan"),
    ],
    ids=["conductance", "gain", "offset", "nan"],
)
def test_a_difference_is_named_with_its_layer(
    change: Callable[[MemristiveLayer], object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VectorizedNetwork, "tune", altered(change))
    (fault,) = compare(make_case(conversion=Conversion(adc=ADC(bits=8)))).faults
    assert fault.startswith("layer 4: ")
    assert words in fault


def test_a_wrong_adc_is_more_than_a_step_off(monkeypatch: pytest.MonkeyPatch) -> None:
    step = torch.tensor(4.0)
    monkeypatch.setattr(
        "membench.arrays.product.quantised", lambda currents, *rest, **more: torch.round(currents * 1e3 / step) * step / 1e3
    )
    monkeypatch.setenv("MEMBENCH_KERNEL", "torch")
    found = compare(make_case(conversion=TILED))
    assert {fault.split(":")[0] for fault in found.faults} == {"layer 0", "layer 4"}


def test_the_tolerances_are_those_that_are_stated() -> None:
    fine = LayerParity(name="0", devices=0.0, values=100_000, error=1e-6, off=10, steps=1.0)
    assert fine.fault == ""
    assert LayerParity("0", 0.0, 100_000, 1e-3, 11, 1.0).fault
    assert LayerParity("0", 0.0, 100_000, 1e-3, 1, 1.1).fault
    assert LayerParity("0", 6e-6, 100, 0.0, 0, 0.0).fault
    assert LayerParity("0", 0.0, 100, 2e-5, 0, 0.0).fault
    assert LayerParity("0", float("nan"), 100, 0.0, 0, 0.0).fault
    assert LayerParity("0", 0.0, 100, float("nan"), 0, 0.0).fault
