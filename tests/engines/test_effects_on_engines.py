"""Effects move the same devices to the same conductances on both engines, one by one and all together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny
from torch import Tensor, nn

from membench import (
    ADC,
    DAC,
    STUDY_DEVICE,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    InputScaling,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Retention,
    Tuning,
    Variability,
    WriteVerify,
    profile,
)
from membench.conversion import Clock, fabricate
from membench.effect import Crossbar, Effect, Proof, Stage
from membench.engines import ENGINES, Converted
from membench.errors import EffectDidNothingError, UnsupportedError
from membench.runtime import pinned_threads

WEAR: dict[str, Any] = {
    "p_lrs": (1.0, 0.5, 0.4, 0.02),
    "p_hrs": (2.0, 0.5, 0.4, -0.02),
    "stable_resistance_lrs": 2e4,
    "stable_resistance_hrs": 1e7,
    "temperature": 350.0,
}
PLAIN = Conversion(device=STUDY_DEVICE, tuning=None)
TILED = PLAIN.replace(tile_shape=(8, 8))
TILES = pytest.mark.parametrize("conversion", [PLAIN, TILED], ids=["untiled", "8x8"])
SHAPE = (1, 12, 12)
ENGINE_NAMES = ("memtorch", "vectorized")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


@functools.cache
def model() -> nn.Module:
    """The tiny network, on images of 12 x 12: crossbars of 25 x 4 and 36 x 10."""
    torch.manual_seed(0)
    return tiny(10, SHAPE).eval()


def images(n: int = 3) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def made(
    engine: str, conversion: Conversion, effects: tuple[Effect, ...], network: nn.Module | None = None, seed: int = 3
) -> tuple[Converted, list[Proof]]:
    executor, network = ENGINES.get(engine), network or model()
    plan = executor.plan(network, conversion, effects, images())
    return fabricate(executor, network, plan, conversion, effects, seed, lambda *_: None, Clock(), images())


def same(one: tuple[Crossbar, ...], other: tuple[Crossbar, ...]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert (mine.layer, mine.index) == (theirs.layer, theirs.index)
        np.testing.assert_array_equal(mine.real, theirs.real)
        np.testing.assert_allclose(mine.conductance[mine.real], theirs.conductance[mine.real], rtol=5e-6)
        np.testing.assert_allclose(mine.conductance, theirs.conductance, rtol=5e-6)
        assert (mine.stuck is None) is (theirs.stuck is None)
        if mine.stuck is not None:
            np.testing.assert_array_equal(mine.stuck, theirs.stuck)


VARIED = Variability(r_on_sigma=1e3, r_off_sigma=5e6)
STATES = FiniteConductanceStates(states=16)
ERRORS = ProgrammingError(sigma=0.03, relative_to="range", write_verify=WriteVerify(tolerance=0.03, attempts=3))
FAULTS = DeviceFaults(lrs_proportion=0.05, hrs_proportion=0.1, electroform_proportion=0.05, electroform_resistance=1e9)
DRIFT = ConductanceDrift(time=1e3, coefficient=0.05, coefficient_sigma=0.02)
LINES = LineResistance(line_resistance=20.0, source_resistance=200.0)
SINGLE = {
    "variability": VARIED,
    "states": STATES,
    "levels": FiniteConductanceStates(levels=(1e-7, 1e-5, 6e-5)),
    "error": ProgrammingError(sigma=0.02),
    "error of the range": ERRORS,
    "faults": FAULTS,
    "faults by chance": FAULTS.replace(counts="binomial"),
    "MemTorch's faults": DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.1, memtorch_compatible=True),
    "drift": ConductanceDrift(time=1e3),
    "drift with a spread": DRIFT,
    "endurance": Endurance(cycles=1e5, mode="gradual", **WEAR),
    "retention": Retention(time=1e5, mode="sudden", **WEAR),
    "MemTorch's endurance": Endurance(cycles=1e5, mode="sudden", **WEAR, memtorch_compatible=True),
    "MemTorch's retention": Retention(time=1e5, mode="gradual", **WEAR, memtorch_compatible=True),
    "lines": LINES,
    "sources": LineResistance(line_resistance=0.0, source_resistance=500.0),
    "MemTorch's lines": LINES.replace(memtorch_compatible=True),
}


@TILES
@pytest.mark.parametrize("effect", SINGLE.values(), ids=SINGLE)
def test_one_effect_moves_the_same_devices(effect: Effect, conversion: Conversion) -> None:
    (native, mine), (fast, theirs) = (made(engine, conversion, (effect,)) for engine in ENGINE_NAMES)
    same(native.crossbars(), fast.crossbars())
    for one, other in zip(mine, theirs, strict=True):
        assert one.model_dump(exclude={"mean_change", "details"}) == other.model_dump(exclude={"mean_change", "details"})
        assert one.mean_change == pytest.approx(other.mean_change, rel=1e-4)
        assert one.details == pytest.approx(other.details, rel=1e-3, abs=1e-4)


EVERYTHING = {
    "ours": (VARIED, STATES, ERRORS, FAULTS, DRIFT, LINES),
    "MemTorch's": (
        VARIED,
        STATES,
        ERRORS,
        DeviceFaults(lrs_proportion=0.05, hrs_proportion=0.1, memtorch_compatible=True),
        ConductanceDrift(time=1e3),
        LINES.replace(memtorch_compatible=True),
    ),
}


@TILES
@pytest.mark.parametrize("effects", EVERYTHING.values(), ids=EVERYTHING)
def test_all_effects_together_move_the_same_devices(effects: tuple[Effect, ...], conversion: Conversion) -> None:
    """To single precision of each step."""
    (native, mine), (fast, theirs) = (made(engine, conversion, effects) for engine in ENGINE_NAMES)
    same(native.crossbars(), fast.crossbars())
    assert [proof.effect for proof in mine] == [proof.effect for proof in theirs] == [effect.kind for effect in effects]
    torch.testing.assert_close(native.infer(images()), fast.infer(images()), rtol=1e-3, atol=1e-5)


@TILES
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_stuck_devices_stay_through_ageing(engine: str, conversion: Conversion) -> None:
    converted, _ = made(engine, conversion, (VARIED, FAULTS))
    before = converted.crossbars()
    for seed, later in enumerate((ConductanceDrift(time=1e3), DRIFT, Retention(time=1e5, mode="gradual", **WEAR), ERRORS)):
        last = converted.crossbars()
        converted.apply(later, seed)
        for old, previous, new in zip(before, last, converted.crossbars(), strict=True):
            assert old.stuck is not None
            assert old.stuck.any()
            np.testing.assert_array_equal(new.stuck, old.stuck)
            np.testing.assert_array_equal(new.conductance[old.stuck], old.conductance[old.stuck])
            assert (new.conductance != previous.conductance)[~old.stuck].any()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_faults_of_padding_there_are_none(engine: str) -> None:
    converted, proofs = made(engine, TILED, (DeviceFaults(lrs_proportion=0.9),))
    low = STUDY_DEVICE.conductance_range[0]
    for bar in converted.crossbars():
        assert bar.stuck is not None
        assert not bar.stuck[~bar.real].any()
        np.testing.assert_allclose(bar.conductance[~bar.real], low, rtol=1e-6)
    assert proofs[0].details["stuck"] == pytest.approx(0.9 * proofs[0].devices, abs=2)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_each_layer_and_each_effect_of_a_kind_draw_their_own(engine: str) -> None:
    error = ProgrammingError(sigma=0.02)
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 20), nn.Linear(20, 20), nn.Linear(20, 20)).eval()
    network[3].load_state_dict(network[2].state_dict())
    converted, _ = made(engine, PLAIN, (), network)
    layers = {bar.layer: bar for bar in converted.crossbars() if bar.index == 0}
    np.testing.assert_array_equal(layers["2"].conductance, layers["3"].conductance)
    converted.apply(error, 5)
    now = {bar.layer: bar for bar in converted.crossbars() if bar.index == 0}
    assert not np.allclose(now["2"].conductance, now["3"].conductance, rtol=1e-4)
    twice, _ = made(engine, PLAIN, (error, error), network)
    once, _ = made(engine, PLAIN, (error,), network)
    first = once.crossbars()[0].conductance / converted.targets()[0].conductance
    both = twice.crossbars()[0].conductance / converted.targets()[0].conductance
    assert not np.allclose(both, first**2, rtol=1e-3)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_another_seed_draws_others(engine: str) -> None:
    effects = (STATES, ERRORS, FAULTS)
    one, again, other = (made(engine, TILED, effects, seed=seed)[0].crossbars() for seed in (1, 1, 2))
    for first, second, third in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(first.conductance, second.conductance)
        assert not np.array_equal(first.conductance, third.conductance)


@pytest.mark.parametrize("compatible", [False, True])
def test_line_resistance_reads_each_tile_as_a_network_of_its_own(compatible: bool) -> None:
    effect = LINES.replace(memtorch_compatible=compatible)
    before = made("vectorized", TILED, ())[0].crossbars()
    after = made("vectorized", TILED, (effect,))[0].crossbars()
    for index in range(0, len(before), 2):
        for tile in range(len(before[index].conductance)):
            pair = [
                dataclasses.replace(
                    bar,
                    **{
                        name: getattr(bar, name)[tile] for name in ("conductance", "conductance_min", "conductance_max", "real")
                    },
                )
                for bar in before[index : index + 2]
            ]
            for bar, expected in zip(after[index : index + 2], effect.act_on(pair, np.random.default_rng()), strict=True):
                np.testing.assert_allclose(bar.conductance[tile], expected.conductance, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "effects", "named"),
    [
        ({"dac": DAC(bits=8)}, (), r"conversion\.dac"),
        ({"scaling": InputScaling(undone=True)}, (), r"conversion\.scaling"),
        ({"adc": ADC(bits=8, range="calibrated")}, (), r"adc\.range"),
        ({}, (ReadNoise(sigma=0.1),), "'read_noise'"),
        ({}, (NonLinear(law="sinh", scale=0.3),), "'non_linear'"),
    ],
)
def test_what_only_one_engine_has_is_refused_by_the_other_by_name(
    changes: dict[str, Any], effects: tuple[Effect, ...], named: str
) -> None:
    conversion = PLAIN.replace(max_input_voltage=0.5, **changes)
    with pytest.raises(UnsupportedError, match=f"The engine memtorch cannot express .*{named}"):
        made("memtorch", conversion, effects)
    assert torch.isfinite(made("vectorized", conversion, effects)[0].infer(images())).all()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_an_effect_that_an_engine_forgets_for_one_layer_is_found_out(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = type(STATES).act_on

    def forgetful(self: Effect, crossbars: Any, rng: Any) -> Any:
        return list(crossbars) if crossbars[0].layer == "4" else original(self, crossbars, rng)

    monkeypatch.setattr(type(STATES), "act_on", forgetful)
    with pytest.raises(EffectDidNothingError, match="devices of '4' are not at their nearest state"):
        made(engine, PLAIN, (STATES,))


# --- networks that are no chain ----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Two convolutions and what goes around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList([Block(4), Block(4)])
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Nested(nn.Module):
    """Sequences in a dictionary in a module, one layer used twice, and two results put side by side."""

    class Two(nn.Sequential):
        pass

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {"left": self.Two(nn.Conv2d(1, 3, 3), nn.ReLU()), "right": nn.Sequential(nn.Conv2d(1, 3, 3))}
        )
        self.pooled = nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten()), nn.Linear(27, 27))
        self.out = nn.Linear(54, 5)

    def forward(self, x: Tensor) -> Tensor:
        left, right = (self.pooled(part(x)) for part in self.parts.values())
        return self.out(torch.cat([left, self.pooled[1](right)], dim=1))


LIGHT = Tuning(conv_images=1, conv_size=12, linear_rows=64)


@pytest.mark.parametrize("kind", [Residual, Nested])
@pytest.mark.parametrize("after", ["conversion", "effects"])
def test_residual_and_nested_networks_convert_with_effects(kind: type[nn.Module], after: Any) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    conversion = TILED.replace(tuning=LIGHT.replace(after=after), max_input_voltage=0.5, adc=ADC(bits=8))
    results = [made(engine, conversion, EVERYTHING["ours"], network) for engine in ENGINE_NAMES]
    for converted, proofs in results:
        assert len(converted.layers) == sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
        assert [proof.effect for proof in proofs] == [effect.kind for effect in EVERYTHING["ours"]]
        logits = converted.infer(images())
        assert logits.shape == (3, 5)
        assert torch.isfinite(logits).all()
    same(results[0][0].crossbars(), results[1][0].crossbars())


@pytest.mark.parametrize("kind", [Residual, Nested])
def test_residual_and_nested_networks_on_the_chip(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    chip = profile("chip")
    assert chip.nonidealities[-1].stage is Stage.READ_OUT
    network = kind().eval()
    conversion = chip.conversion.replace(tuning=LIGHT)
    converted, proofs = made("vectorized", conversion, chip.nonidealities, network)
    assert len(proofs) == len(chip.nonidealities)
    assert torch.isfinite(converted.infer(images())).all()
