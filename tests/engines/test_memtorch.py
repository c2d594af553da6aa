"""The engine on MemTorch: its physics, and a fence around each of MemTorch's hazards."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from membench import (
    ADC,
    DAC,
    STUDY_DEVICE,
    ConductanceDrift,
    Conversion,
    DataDriven,
    DataDriven2021,
    DeviceFaults,
    Endurance,
    InputScaling,
    LinearIonDrift,
    NonLinear,
    ReadNoise,
    Retention,
    Scheme,
    StanfordPKU,
    Tuning,
    Variability,
)
from membench.effect import Crossbar, Effect, Stage
from membench.engines import ENGINES, Converted
from membench.errors import EffectDidNothingError, NotConvertedError, UnsupportedError
from membench.runtime import derive_seed, legacy_generator

ENGINE = ENGINES.get("memtorch")
LIGHT = Tuning(conv_images=2, conv_size=12, linear_rows=256)
EXACT = Conversion(device=STUDY_DEVICE, tuning=LIGHT)
WEAR: dict[str, Any] = {
    "p_lrs": (1.0, 0.5, 0.4, 0.02),
    "p_hrs": (2.0, 0.5, 0.4, -0.02),
    "stable_resistance_lrs": 2e4,
    "stable_resistance_hrs": 1e7,
    "temperature": 350.0,
}


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2), nn.Flatten(), nn.Linear(100, 5)
    ).eval()


def images(n: int = 4, seed: int = 1) -> Tensor:
    return torch.rand(n, 2, 12, 12, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def convert(model: nn.Module, conversion: Conversion = EXACT, effects: tuple[Effect, ...] = (), seed: int = 3) -> Converted:
    plan = ENGINE.plan(model, conversion, effects, images())
    converted = ENGINE.convert(model, conversion, plan, effects, seed, lambda what, done, total: None)
    if conversion.tuning:
        converted.tune(conversion.tuning, seed)
    return converted


def error(converted: Converted, model: nn.Module) -> float:
    with torch.inference_mode():
        expected = model(images())
    return float((converted.infer(images()) - expected).norm() / expected.norm())


# --- physics -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile_shape", [None, (8, 8), (25, 25), (64, 16)])
def test_ideal_conversion_gives_the_digital_logits(tile_shape: tuple[int, int] | None) -> None:
    model = small()
    assert error(convert(model, EXACT.replace(tile_shape=tile_shape)), model) < 2e-6


@pytest.mark.parametrize("device", [STUDY_DEVICE, LinearIonDrift(), StanfordPKU(), DataDriven(), DataDriven2021()])
def test_every_device_model_gives_the_digital_logits(device: Any) -> None:
    model = small()
    converted = convert(model, EXACT.replace(device=device))
    assert error(converted, model) < 1e-5
    low, high = device.conductance_range
    for crossbar in converted.crossbars():
        assert crossbar.conductance.min() >= low * (1 - 1e-6)
        assert crossbar.conductance.max() <= high * (1 + 1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(3, 5, 3, padding=1, bias=False),
        nn.Conv1d(3, 5, 3, stride=2),
        nn.Conv2d(3, 5, 3, padding=(1, 0), bias=False),
        nn.Linear(7, 3, bias=False),
    ],
)
def test_layers_with_and_without_bias_are_exact(layer: nn.Module) -> None:
    """MemTorch keeps a random bias where a convolution has none."""
    sample = {"Conv1d": torch.randn(3, 3, 16), "Conv2d": torch.randn(3, 3, 16, 9), "Linear": torch.randn(3, 7)}[
        type(layer).__name__
    ]
    model = nn.Sequential(layer).eval()
    plan = ENGINE.plan(model, EXACT, (), sample)
    converted = ENGINE.convert(model, EXACT, plan, (), 0, lambda *_: None)
    converted.tune(LIGHT, 0)
    with torch.inference_mode():
        torch.testing.assert_close(converted.infer(sample), model(sample), rtol=1e-4, atol=1e-5)


def test_more_adc_bits_never_hurt_and_approach_no_adc() -> None:
    model = small()
    errors = [error(convert(model, EXACT.replace(adc=ADC(bits=bits))), model) for bits in (2, 4, 6, 8, 12, 16)]
    assert all(more <= fewer * 1.1 for fewer, more in itertools.pairwise(errors)), errors
    assert errors[0] > 100 * errors[-1]
    assert errors[-1] < 1e-3


def test_the_adc_gives_at_most_two_to_the_bits_values_a_vector() -> None:
    model = nn.Sequential(nn.Linear(50, 400, bias=False)).eval()
    conversion = EXACT.replace(adc=ADC(bits=3), tuning=None)
    plan = ENGINE.plan(model, conversion, (), torch.rand(1, 50))
    converted = ENGINE.convert(model, conversion, plan, (), 0, lambda *_: None)
    assert 2 <= len(torch.unique(converted.infer(torch.rand(1, 50)))) <= 2**3


def test_the_log_adc_keeps_only_the_sign_of_currents_below_one_ampere() -> None:
    """As ADC.method says: MemTorch clamps log|y| to zero from below."""
    model = nn.Sequential(nn.Linear(50, 400, bias=False)).eval()
    conversion = EXACT.replace(adc=ADC(bits=8, method="log"), tuning=None)
    plan = ENGINE.plan(model, conversion, (), torch.rand(1, 50))
    converted = ENGINE.convert(model, conversion, plan, (), 0, lambda *_: None)
    assert set(torch.unique(converted.infer(torch.rand(1, 50))).tolist()) == {-1.0, 1.0}


def test_an_input_below_the_limit_is_untouched_and_one_above_is_scaled_and_never_undone() -> None:
    model = small()
    with torch.inference_mode():
        expected = model(images())
    assert torch.allclose(convert(model, EXACT.replace(max_input_voltage=100.0)).infer(images()), expected, atol=1e-4)
    single = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False)).eval()
    halved = convert(single, EXACT.replace(max_input_voltage=1.0)).infer(2 * images(1) / images(1).abs().max())
    full = convert(single, EXACT).infer(2 * images(1) / images(1).abs().max())
    assert torch.allclose(2 * halved, full, atol=1e-4)


def test_a_linear_layer_scales_by_batch_so_the_batch_is_part_of_the_case() -> None:
    model = nn.Sequential(nn.Linear(6, 3, bias=False)).eval()
    conversion = EXACT.replace(max_input_voltage=1.0)
    plan = ENGINE.plan(model, conversion, (), torch.rand(1, 6))
    converted = ENGINE.convert(model, conversion, plan, (), 0, lambda *_: None)
    converted.tune(LIGHT, 0)
    one, loud = torch.rand(1, 6), 10 * torch.ones(1, 6)
    alone, together = converted.infer(one), converted.infer(torch.cat([one, loud]))[:1]
    assert torch.allclose(alone, 10 * together, atol=1e-4)


def test_single_column_loses_negative_weights() -> None:
    model = small()
    assert error(convert(model, EXACT.replace(scheme=Scheme.SINGLE_COLUMN)), model) > 0.3


def test_retained_saturates_the_largest_weights() -> None:
    model = small()
    exact, saturated = convert(model), convert(model, EXACT.replace(retained=0.2))
    at_top = [np.mean(np.isclose(bar.conductance, bar.conductance_max, rtol=1e-5)) for bar in saturated.crossbars()]
    assert max(at_top) > 0.05
    assert error(saturated, model) > 10 * error(exact, model)


def test_the_mapping_is_linear_in_the_weight() -> None:
    model = small()
    low, high = STUDY_DEVICE.conductance_range
    for bar in convert(model).crossbars():
        weight = dict(model.named_modules())[bar.layer].weight.detach()  # type: ignore[union-attr, operator]
        matrix = (weight if bar.index == 0 else -weight).clamp(min=0).reshape(weight.shape[0], -1).T.numpy()
        expected = low + matrix / np.abs(weight.numpy()).max() * (high - low)
        np.testing.assert_allclose(bar.conductance, expected, rtol=2e-6)


# --- hazards -----------------------------------------------------------------------------------------------------------------


def test_the_network_given_is_not_touched() -> None:
    model = small()
    before = copy.deepcopy(model.state_dict())
    convert(model, effects=(Variability(r_on_sigma=1e3, r_off_sigma=5e6),))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [type(module) for module in model] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.Flatten, nn.Linear]


class Nested(nn.Module):
    """Layers in a ModuleList and in a subclass of Sequential, both of which patch_model skips, and one used twice."""

    class Block(nn.Sequential):
        pass

    def __init__(self) -> None:
        super().__init__()
        self.many = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)])
        self.block = self.Block(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())
        self.again = self.many[0]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.many:
            x = layer(x)
        return self.again(x + self.block(x)).flatten(1)


def test_nested_and_shared_layers_are_converted_once_each() -> None:
    torch.manual_seed(0)
    model = Nested().eval()
    converted = convert(model)
    assert [layer.name for layer in converted.layers] == ["many.0", "many.1", "block.0"]
    assert converted.network.get_submodule("again") is converted.network.get_submodule("many.0")
    assert error(converted, model) < 1e-5


def test_an_effect_acts_once_on_nested_layers() -> None:
    """MemTorch's apply_nonidealities runs the layers of a nested network twice."""
    torch.manual_seed(0)
    converted = convert(Nested().eval())
    before, drift = converted.crossbars(), ConductanceDrift(time=100.0)
    converted.apply(drift, 0)
    for old, new in zip(before, converted.crossbars(), strict=True):
        np.testing.assert_allclose(new.conductance, old.conductance * 100**-0.1, rtol=1e-5)


def test_a_layer_left_digital_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(model: nn.Module, layers: Any, made: Any, progress: Any) -> Any:
        return copy.deepcopy(model).eval(), {}

    monkeypatch.setattr("membench.engines.memtorch.replaced", left)
    with pytest.raises(NotConvertedError, match="'0' is still digital"):
        convert(small())


def test_the_result_is_patch_models() -> None:
    """Converting layer by layer gives what MemTorch's own patch_model gives, conductance by conductance."""
    import memtorch
    from memtorch.mn.Module import patch_model

    model = small()
    model[0] = nn.Conv2d(2, 6, 3, padding=1)  # with a bias: patch_model gets one without wrong
    conversion = EXACT.replace(tile_shape=(16, 8), adc=ADC(bits=6), max_input_voltage=0.5, tuning=None)
    mine = convert(model, conversion)
    theirs = patch_model(
        copy.deepcopy(model),
        memristor_model=memtorch.bh.memristor.VTEAM,
        memristor_model_params={"r_on": STUDY_DEVICE.r_on, "r_off": STUDY_DEVICE.r_off},
        module_parameters_to_patch=[nn.Conv2d, nn.Linear],
        tile_shape=(16, 8),
        max_input_voltage=0.5,
        ADC_resolution=6,
        ADC_overflow_rate=0.0,
        quant_method="linear",
        verbose=False,
    )
    matrices = [
        crossbar.conductance_matrix.numpy() for layer in theirs if hasattr(layer, "crossbars") for crossbar in layer.crossbars
    ]
    for bar, matrix in zip(mine.crossbars(), matrices, strict=True):
        np.testing.assert_array_equal(bar.conductance, matrix.astype(float))
    with torch.no_grad():
        assert torch.equal(mine.infer(images()), theirs(images()))


def test_where_devices_vary_the_mapping_uses_the_means() -> None:
    """MemTorch maps each layer to a range drawn at random, since its reference device never sees its flag."""
    wide = Variability(r_on_sigma=4e3, r_off_sigma=1.0)
    converted = convert(small(), effects=(wide,))
    for target, bar in zip(converted.targets(), converted.crossbars(), strict=True):
        inside = (
            (target.conductance > bar.conductance_min * 1.01) & (target.conductance < bar.conductance_max * 0.99) & bar.real
        )
        assert inside.any()
        np.testing.assert_allclose(bar.conductance[inside], target.conductance[inside], rtol=1e-5)


def test_padding_is_told_from_devices_that_hold_weights() -> None:
    converted = convert(small(), EXACT.replace(tile_shape=(16, 8)))
    weights = {"0": 2 * 9 * 6, "2": 6 * 9 * 4, "4": 100 * 5}
    for layer, bar in zip([name for name in weights for _ in range(2)], converted.crossbars(), strict=True):
        assert int(bar.real.sum()) == weights[layer]
    for info in converted.layers:
        assert info.tiles == -(-info.rows // 16) * -(-info.columns // 8)
        assert info.devices == 2 * info.tiles * 16 * 8


def test_seeds_are_isolated_by_layer() -> None:
    """The same layer gets the same devices whether or not the network has another one."""
    effects = (Variability(r_on_sigma=1e3, r_off_sigma=5e6),)
    model = small()
    longer = nn.Sequential(*model[:4], nn.Linear(100, 100), nn.Linear(100, 5))
    one, two = convert(model, effects=effects), convert(longer, effects=effects)
    first = {(bar.layer, bar.index): bar.conductance_min for bar in one.crossbars()}
    for bar in two.crossbars():
        if bar.layer in ("0", "2"):
            np.testing.assert_array_equal(bar.conductance_min, first[bar.layer, bar.index])


# --- effects -----------------------------------------------------------------------------------------------------------------


def moved(effect: Effect, conversion: Conversion = EXACT, seed: int = 0) -> tuple[tuple[Crossbar, ...], tuple[Crossbar, ...]]:
    converted = convert(small(), conversion)
    before = converted.crossbars()
    converted.apply(effect, seed)
    return before, converted.crossbars()


@pytest.mark.parametrize(
    "effect",
    [
        ConductanceDrift(time=50.0, initial_time=2.0, coefficient=0.07),
        Retention(time=1e6, mode="gradual", **WEAR),
        Retention(time=1e6, mode="sudden", **WEAR),
        Endurance(cycles=3e5, mode="gradual", **WEAR),
        Endurance(cycles=3e2, mode="gradual", **{**WEAR, "p_hrs": (1e5, 0.5, 0.4, -0.02)}),
    ],
)
def test_memtorchs_function_and_the_effects_own_formula_agree(effect: Effect) -> None:
    before, after = moved(effect)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new.conductance, effect.act(old, np.random.default_rng(0)), rtol=2e-5)
    assert effect.prove(before, after).moved > 0


@pytest.mark.parametrize("device", [STUDY_DEVICE, LinearIonDrift(r_on=200.0)])
@pytest.mark.parametrize("mode", ["gradual", "sudden"])
def test_memtorchs_midpoint_is_that_of_its_defaults(device: Any, mode: Any) -> None:
    """r_on + r_off / 2 of the model class's defaults, whatever the devices' resistances are."""
    conversion = EXACT.replace(device=device, tuning=None)
    here, there = (Retention(time=1e6, mode=mode, **WEAR, memtorch_compatible=compatible) for compatible in (False, True))
    before, after = moved(there, conversion)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new.conductance, there.act(old, np.random.default_rng(0)), rtol=2e-5)
    assert there.prove(before, after).moved > 0
    own = [here.act(old, np.random.default_rng(0)) for old in before]
    alike = all(np.allclose(new.conductance, one, rtol=1e-4, atol=0) for one, new in zip(own, after, strict=True))
    assert alike is (device != STUDY_DEVICE)  # else no device lies between the two midpoints


def test_a_case_without_memtorchs_midpoint_after_one_with_it_has_its_own() -> None:
    """The means that MemTorch reads are given back as they were."""
    converted = convert(small())
    for effect in (
        Retention(time=1e5, mode="gradual", **WEAR, memtorch_compatible=True),
        Retention(time=1e6, mode="gradual", **WEAR),
    ):
        before = converted.crossbars()
        converted.apply(effect, 0)
        assert effect.prove(before, converted.crossbars()).moved > 0


TILES = pytest.mark.parametrize("tile_shape", [None, (16, 8)])


@TILES
def test_faults_are_there_in_the_number_asked_for(tile_shape: tuple[int, int] | None) -> None:
    effect = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, electroform_proportion=0.1)
    before, after = moved(effect, EXACT.replace(tile_shape=tile_shape))
    details = effect.prove(before, after).details
    crossbars = [int(bar.real.sum()) for bar in after]
    assert details["stuck"] == pytest.approx(0.4 * sum(crossbars), abs=0.5 * len(crossbars))
    assert details["stuck_at_lrs"] == pytest.approx(0.1 * sum(crossbars), abs=len(crossbars))
    assert details["stuck_at_hrs"] == pytest.approx(0.3 * sum(crossbars), abs=len(crossbars))


@TILES
def test_memtorchs_faults_are_drawn_among_all_devices_padding_included(tile_shape: tuple[int, int] | None) -> None:
    effect = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, electroform_proportion=0.1, memtorch_compatible=True)
    before, after = moved(effect, EXACT.replace(tile_shape=tile_shape))
    proof = effect.prove(before, after)
    devices = sum(bar.conductance.size for bar in after)
    assert proof.details["stuck_at_lrs"] == pytest.approx(0.1 * devices, rel=0.2)
    assert proof.details["stuck_at_hrs"] >= 0.2 * devices
    padding = sum(int((np.isclose(bar.conductance, bar.conductance_max, rtol=1e-6) & ~bar.real).sum()) for bar in after)
    assert (padding > 0) is (tile_shape is not None)


@TILES
def test_memtorchs_faults_are_its_own_function_with_the_seed_of_the_layer(tile_shape: tuple[int, int] | None) -> None:
    effect = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, electroform_proportion=0.1, memtorch_compatible=True)
    before, after = moved(effect, EXACT.replace(tile_shape=tile_shape))
    for name in dict.fromkeys(bar.layer for bar in before):
        own = legacy_generator(derive_seed(0, name))
        expected = effect.act_on([bar for bar in before if bar.layer == name], own)
        for one, other in zip(expected, [bar for bar in after if bar.layer == name], strict=True):
            np.testing.assert_allclose(other.conductance, one.conductance, rtol=1e-6)


def test_a_spread_of_nu_is_more_than_memtorchs_drift() -> None:
    effect = ConductanceDrift(time=1e4, coefficient=0.05, coefficient_sigma=0.02)
    before, after = moved(effect)
    assert effect.prove(before, after).details["coefficient_spread"] == pytest.approx(0.02, rel=0.1)


def test_all_devices_stuck_leave_one_logit_vector_for_every_image() -> None:
    converted = convert(small(), EXACT)
    converted.apply(DeviceFaults(hrs_proportion=1.0), 0)
    logits = converted.infer(images())
    assert torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-6)


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_devices_vary_with_the_mean_and_sigma_asked_for(distribution: str) -> None:
    effect = Variability(r_on_sigma=1.4e3, r_off_sigma=5e6, distribution=distribution)
    converted = convert(small(), EXACT.replace(tile_shape=(32, 16)), (effect,))
    bars = converted.crossbars()
    r_on = np.concatenate([(1 / bar.conductance_max).ravel() for bar in bars])
    r_off = np.concatenate([(1 / bar.conductance_min).ravel() for bar in bars])
    assert r_on.mean() == pytest.approx(1.4e4, rel=0.01)
    assert r_off.mean() == pytest.approx(5e7, rel=0.01)
    assert r_on.std() == pytest.approx(1.4e3, rel=0.05)
    assert r_off.std() == pytest.approx(5e6, rel=0.05)
    proof = effect.prove(converted.targets(), bars)
    assert 0 < proof.moved < proof.devices


def test_the_same_seed_gives_the_same_devices_and_another_one_others() -> None:
    effect = (Variability(r_on_sigma=1e3, r_off_sigma=5e6),)
    one, same, other = (convert(small(), EXACT, effect, seed).crossbars()[0].conductance for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


class Halved(Effect):
    """An effect of a user's own, in one file: it says how it acts, and needs nothing of the engine."""

    kind: str = "halved_for_test"
    stage = Stage.AGEING

    def act(self, crossbar: Crossbar, rng: np.random.Generator) -> NDArray[np.float64]:
        return crossbar.conductance / 2

    def check(self, before: Any, after: Any) -> dict[str, float]:
        return {}


class Mute(Effect):
    """An effect that does not say how it acts."""

    kind: str = "mute_for_test"
    stage = Stage.AGEING

    def check(self, before: Any, after: Any) -> dict[str, float]:
        return {}


def test_a_users_effect_needs_no_change_of_the_engine() -> None:
    before, after = moved(Halved())
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new.conductance, old.conductance / 2, rtol=1e-6)
    assert Halved().prove(before, after).mean_change == pytest.approx(0.5, rel=1e-5)


def test_an_effect_that_cannot_act_is_refused_before_anything_is_run() -> None:
    with pytest.raises(UnsupportedError, match="mute_for_test"):
        ENGINE.plan(small(), EXACT, (Mute(),), images())


@pytest.mark.parametrize(
    ("changes", "effects", "named"),
    [
        (
            {"adc": ADC(bits=8, range="calibrated")},
            (),
            r"cannot express adc\.range='calibrated': its ranges are those of each vector",
        ),
        ({"adc": ADC(bits=8, range=1e-3)}, (), r"cannot express adc\.range=0\.001"),
        ({"dac": DAC(bits=8)}, (), r"cannot express conversion\.dac: its voltages are exact"),
        ({"scaling": InputScaling(undone=True)}, (), r"cannot express conversion\.scaling=.*undone=True"),
        ({"scaling": InputScaling(per="image")}, (), r"cannot express conversion\.scaling=.*per='image'"),
        ({}, (ReadNoise(sigma=0.1),), "cannot express the non-ideality 'read_noise'"),
        ({}, (NonLinear(law="sinh", scale=0.3),), "cannot express the non-ideality 'non_linear'"),
    ],
)
def test_what_memtorch_has_not_is_refused_by_name(changes: dict[str, Any], effects: tuple[Effect, ...], named: str) -> None:
    with pytest.raises(UnsupportedError, match=f"^The engine memtorch {named}"):
        ENGINE.plan(small(), EXACT.replace(max_input_voltage=1.0, **changes), effects, images())


def test_all_that_memtorch_has_not_is_named_at_once() -> None:
    conversion = EXACT.replace(
        max_input_voltage=1.0, adc=ADC(bits=8, range="calibrated"), dac=DAC(bits=8), scaling=InputScaling(undone=True)
    )
    with pytest.raises(UnsupportedError) as error:
        ENGINE.plan(small(), conversion, (ReadNoise(sigma=0.1), NonLinear(law="sinh", scale=0.3), Mute()), images())
    lines = str(error.value).splitlines()
    assert [line.removeprefix("The engine memtorch cannot express ").split("=")[0].split(":")[0] for line in lines] == [
        "the non-ideality 'read_noise'.",
        "the non-ideality 'non_linear'.",
        "the non-ideality 'mute_for_test'.",
        "adc.range",
        "conversion.dac",
        "conversion.scaling",
    ]


def test_the_digital_engine_refuses_effects() -> None:
    with pytest.raises(UnsupportedError, match="no devices"):
        ENGINES.get("digital").plan(small(), EXACT, (ConductanceDrift(time=2.0),), images())


def test_an_effect_that_memtorch_ignores_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that stops applying drift is found out by the proof."""
    from memtorch.bh.nonideality import endurance_retention_models

    monkeypatch.setattr(endurance_retention_models, "model_conductance_drift", lambda layer, *_: layer)
    before, after = moved(ConductanceDrift(time=100.0))
    with pytest.raises(EffectDidNothingError, match="changed none of"):
        ConductanceDrift(time=100.0).prove(before, after)
