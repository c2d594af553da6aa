"""The figures of docs/deviations.md, measured: where membench differs from MemTorch 1.1.6 on purpose, and by how much.

`said` looks a figure up in the document, so that neither can change without the other.
"""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from membench import (
    ADC,
    STUDY_DEVICE,
    VTEAM,
    Case,
    ConductanceDrift,
    Conversion,
    DataDriven,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    InputScaling,
    LineResistance,
    NonLinear,
    Retention,
    StanfordPKU,
    Thresholds,
    Tuning,
    convert,
    profile,
    run_case,
)
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS
from membench.effect import Crossbar, Effect
from membench.engines import ENGINES, Converted
from membench.errors import InputError
from membench.models import NETWORKS, obtain
from membench.nonidealities._lines import effective_conductances
from membench.runtime import isolated
from membench.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent.parent
LOW, HIGH = STUDY_DEVICE.conductance_range
IDEAL = profile("ideal").conversion
SUITE = {case.name: case for case in load_suite([ROOT / "benchmarks" / "cases"])}


def said(section: int, *texts: str) -> None:
    """That the section of the document says so, word for word."""
    document = (ROOT / "docs" / "deviations.md").read_text()
    (found,) = re.findall(rf"^### {section}\. .*?(?=^##|\Z)", document, re.MULTILINE | re.DOTALL)
    for text in texts:
        assert text in " ".join(found.split()), text


# --- MemTorch as it is, and membench on the same layer ------------------------------------------------------------------------


@functools.cache
def package() -> Any:
    ENGINES.get("memtorch").require()
    import memtorch
    import memtorch.bh.crossbar.Passive
    import memtorch.bh.nonideality.FiniteConductanceStates
    import memtorch.bh.nonideality.NonLinear

    return memtorch


def theirs(
    digital: nn.Module, model: str = "VTEAM", r_on: Any = STUDY_DEVICE.r_on, r_off: Any = STUDY_DEVICE.r_off, **options: Any
) -> Any:
    """MemTorch's own layer, nothing mended."""
    kind = package().mn.Module.supported_module_parameters[str(type(digital))]
    parameters = {} if model != "VTEAM" else {"r_on": r_on, "r_off": r_off}
    layer = kind(
        digital,
        memristor_model=getattr(package().bh.memristor, model),
        memristor_model_params=parameters,
        verbose=False,
        **options,
    )
    layer.forward_legacy_enabled = False
    return layer


def linear(rows: int, columns: int, seed: int = 0, bias: bool = False) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(rows, columns, bias=bias)


def inputs(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def stacked(layer: Any) -> Tensor:
    return torch.stack([crossbar.conductance_matrix for crossbar in layer.crossbars]).clone()


def hold_in_the_middle(layer: Any) -> None:
    """So that every device that is stuck afterwards can be seen."""
    for crossbar in layer.crossbars:
        crossbar.conductance_matrix = torch.full_like(crossbar.conductance_matrix, 1e-6)


def ours(digital: nn.Module, *effects: Effect, engine: str = "vectorized", **changes: Any) -> Converted:
    conversion = Conversion(**{"device": STUDY_DEVICE, "tuning": None, **changes})
    model = nn.Sequential(digital).eval()
    executor = ENGINES.get(engine)
    plan = executor.plan(model, conversion, effects, None)
    converted, _ = fabricate(executor, model, plan, conversion, effects, 0, lambda *_: None, Clock())
    return converted


def apart(one: Any, other: Any) -> float:
    """The relative error of `one`."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def lost(conversion: Conversion, images: int, *effects: Effect) -> float:
    """Percentage points of accuracy that the shipped network loses on mnist5k, one seed."""
    case = Case(
        name="lost",
        dataset="mnist5k",
        network="vgg-mnist",
        conversion=conversion,
        nonidealities=effects,
        thresholds=Thresholds(max_loss_points=100.0),
        images=images,
        seeds=(0,),
    )
    return run_case(case).measured.loss.estimate


# --- 1, 2: effects that do nothing, or worse ----------------------------------------------------------------------------------


def test_finite_states_are_ignored_by_memtorch() -> None:
    apply = package().bh.nonideality.FiniteConductanceStates.apply_finite_conductance_states
    layer, x = theirs(linear(16, 10)), inputs(4, 16)
    before, answer = [len(part.unique()) for part in stacked(layer)], layer(x)
    apply(layer, 4)
    assert [len(part.unique()) for part in stacked(layer)] == before
    assert apart(layer(x), answer) < 1e-6
    said(1, f"{before[0]} and {before[1]} distinct conductances before, and as many after")
    bound = torch.full((160,), LOW)  # why: the C++ function takes numbers
    with pytest.raises(TypeError, match="incompatible function arguments"):
        package().bh.Quantize.quantize(torch.full((160,), 1e-6), 4, min=bound, max=2 * bound, override_original=True)

    found = ours(linear(16, 10), FiniteConductanceStates(states=4))
    assert all(len(np.unique(bar.conductance.astype(np.float32))) <= 4 for bar in found.crossbars())
    change = apart(found.infer(x), ours(linear(16, 10)).infer(x))
    assert change == pytest.approx(0.14, abs=0.02)
    said(1, "4 and 4 in membench", "change by 14 %")


def test_finite_states_erase_a_layer_of_stanford_devices() -> None:
    layer = theirs(linear(16, 10), "Stanford_PKU")
    assert layer(inputs(4, 16)).abs().max() > 0
    package().bh.nonideality.FiniteConductanceStates.apply_finite_conductance_states(layer, 4)
    assert [len(part.unique()) for part in stacked(layer)] == [1, 1]
    assert layer(inputs(4, 16)).abs().max() == 0
    said(1, "all devices at one conductance, and the layer answers 0")


@pytest.mark.parametrize(("model", "kept"), [("VTEAM", 1.0), ("Data_Driven", 1.0), ("Stanford_PKU", 0.0)])
def test_non_linear_currents_are_ignored_by_memtorch(model: str, kept: float) -> None:
    layer, x = theirs(linear(16, 10), model), 0.3 * inputs(4, 16).sign()
    plain = layer(x)
    step = layer.crossbars[0].devices.flat[0].time_series_resolution
    with np.errstate():  # MemTorch's simulation sets numpy to raise
        package().bh.nonideality.NonLinear.apply_non_linear(layer, 20 * step, 1, 1 / (20 * step))
    for crossbar in layer.crossbars:  # of a drift, say
        crossbar.conductance_matrix = crossbar.conductance_matrix / 2
    with pytest.warns(UserWarning, match="Non-liner"):
        after = layer(x)
    assert apart(after, kept * plain) < 1e-6 if kept else after.abs().max() == 0
    said(2, "0.0 with and without", "a layer of Stanford-PKU devices answers 0", "by half leaves the output as it was")


@pytest.mark.parametrize(("device", "change", "text"), [(StanfordPKU(), 0.225, "22.5 %"), (DataDriven(), -0.179, "-17.9 %")])
def test_non_linear_currents_follow_the_law_in_membench(device: Any, change: float, text: str) -> None:
    x = 0.3 * inputs(4, 16).sign()
    plain, bent = (ours(linear(16, 10), *some, device=device).infer(x) for some in ((), (NonLinear(law="device"),)))
    assert float((bent / plain - 1).median()) == pytest.approx(change, abs=5e-4)
    said(2, text)


# --- 3: cycle-to-cycle ---------------------------------------------------------------------------------------------------------


def test_cycle_variability_clamps_and_never_gives_back() -> None:
    layer, x = theirs(linear(64, 32)), inputs(500, 64)
    history, answers = [stacked(layer)], [layer(x)]
    with isolated(0):
        for _ in range(20):
            package().bh.nonideality.DeviceFaults.apply_cycle_variability(
                layer, min=1.0, r_off_kwargs={"loc": 5e7, "scale": 5e6}, r_on_kwargs={"loc": 1.4e4, "scale": 1.4e3}
            )
            history.append(stacked(layer))
            answers.append(layer(x))
    first = history[0]
    moved = (history[1] - first).abs() > 1e-6 * first
    inside = (first > 1.5 * LOW) & (first < 0.6 * HIGH)
    assert inside.float().mean() > 0.25
    assert not (moved & inside).any()
    assert float(moved.float().mean()) == pytest.approx(0.27, abs=0.02)
    assert torch.equal(layer(x), answers[-1])
    at_off = first < 1.001 * LOW
    assert all((new[at_off] >= old[at_off]).all() for old, new in itertools.pairwise(history))
    assert float(history[-1][at_off].mean() / LOW) == pytest.approx(1.235, abs=0.02)
    assert apart(answers[1], answers[0]) == pytest.approx(0.019, rel=0.2)
    assert apart(answers[-1], answers[0]) == pytest.approx(0.07, rel=0.2)
    last = layer.crossbars[0].conductance_matrix.clone()
    layer.crossbars[0].update()
    assert apart(layer.crossbars[0].conductance_matrix, last) < 1e-6
    said(3, "27 % of the devices", "none of those well inside", "change by 1.9 %", "7 % off", "1.24 times", "same read")


# --- 4: faults -----------------------------------------------------------------------------------------------------------------


def test_faults_drawn_twice_are_fewer() -> None:
    shares = []
    layer = theirs(linear(64, 64))
    for seed in range(20):
        hold_in_the_middle(layer)
        with isolated(seed):
            package().bh.nonideality.DeviceFaults.apply_device_faults(layer, 0.25, 0.25, 0.0)
        found = stacked(layer)
        shares.append([float((found > 5e-5).float().mean()), float((found < 3e-8).float().mean())])
    assert np.mean(shares, axis=0) == pytest.approx([0.25, 0.1875], abs=0.002)

    middle, real = np.full((64, 64), 1e-6), np.ones((64, 64), dtype=bool)
    bar = Crossbar("0", 0, middle, np.full_like(middle, LOW), np.full_like(middle, HIGH), real, STUDY_DEVICE)
    for seed in range(20):
        (after,) = DeviceFaults(lrs_proportion=0.25, hrs_proportion=0.25).act_on([bar], np.random.default_rng(seed))
        assert [np.mean(after.conductance == end) for end in (HIGH, LOW)] == [0.25, 0.25]
    said(4, "25.0 % are at LRS and 18.8 % at HRS", "25.0 % and 25.0 % in membench")


@pytest.mark.parametrize(
    ("digital", "share", "text"), [(nn.Conv2d(1, 16, 3), 0.965, "96.5 %"), (nn.Linear(64, 10), 0.844, "84.4 %")]
)
def test_faults_fall_on_padding(digital: nn.Module, share: float, text: str) -> None:
    layer = theirs(digital, tile_shape=(64, 64))
    rows, columns = layer.crossbars[0].rows, layer.crossbars[0].columns
    hold_in_the_middle(layer)
    with isolated(0):
        package().bh.nonideality.DeviceFaults.apply_device_faults(layer, 0.1, 0.1, 0.0)
    stuck = stacked(layer)[:, 0] != torch.tensor(1e-6)
    assert 1 - float(stuck[:, :rows, :columns].sum() / stuck.sum()) == pytest.approx(share, abs=0.01)
    for bar in ours(digital, DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.1), tile_shape=(64, 64)).crossbars():
        assert bar.stuck is not None
        assert not (bar.stuck & ~bar.real).any()
        assert bar.stuck.sum() == round(0.2 * rows * columns)
    said(4, text)


def test_stuck_devices_move_again_in_memtorch_only() -> None:
    nonideality = package().bh.nonideality
    layer = theirs(linear(32, 32))
    intact = stacked(layer)
    with isolated(0):
        nonideality.DeviceFaults.apply_device_faults(layer, 0.1, 0.0, 0.0)
    stuck = torch.isclose(stacked(layer), torch.tensor(HIGH)) & (stacked(layer) != intact)
    assert int(stuck.sum()) > 190
    nonideality.endurance_retention_models.model_conductance_drift(layer, 10.0, 1.0, 0.1)
    assert (stacked(layer)[stuck] / HIGH).tolist() == pytest.approx([0.794] * int(stuck.sum()), abs=1e-3)
    nonideality.FiniteConductanceStates.apply_finite_conductance_states(layer, 4)
    assert apart(stacked(layer), intact) < 1e-6
    said(4, "79.4 %", "erases every fault, and drift too")

    found = ours(
        linear(32, 32), DeviceFaults(lrs_proportion=0.1, memtorch_compatible=False), ConductanceDrift(time=10.0)
    ).crossbars()
    for bar in found:
        assert bar.stuck is not None
        assert bar.stuck.sum() == 102
        np.testing.assert_allclose(bar.conductance[bar.stuck], HIGH, rtol=1e-6)


# --- 5: midpoint ---------------------------------------------------------------------------------------------------------------


def wear(name: str, compatible: bool) -> Effect:
    (effect,) = SUITE[f"mnist5k-{name}"].nonidealities
    return effect.replace(memtorch_compatible=compatible)


def test_memtorch_ages_every_device_as_hrs() -> None:
    effect = wear("endurance", False)
    assert isinstance(effect, Endurance)
    layer = theirs(linear(64, 64))
    before = stacked(layer)
    models = package().bh.nonideality.endurance_retention_models
    assert (layer.crossbars[0].r_on_mean, layer.crossbars[0].r_off_mean) == (50, 1000)
    models.model_endurance_retention(
        layer,
        models.OperationMode.gradual,
        effect.x,
        list(effect.p_lrs),
        effect.stable_resistance_lrs,
        list(effect.p_hrs),
        effect.stable_resistance_hrs,
        effect.cell_size,
        effect.temperature,
    )
    assert (stacked(layer) > before).all()  # resistances fell, as those of devices at HRS do
    assert float(stacked(layer).div(before).mean()) == pytest.approx(1.585, abs=0.01)
    compatible, right = (wear("endurance", choice).midpoint(STUDY_DEVICE) for choice in (True, False))  # type: ignore[attr-defined]
    assert (compatible, right) == (550.0, pytest.approx(25.007e6))

    dataset = DATASETS.get("mnist5k")
    model = obtain(NETWORKS.get("vgg-mnist"), dataset).model
    engine, conversion = ENGINES.get("vectorized"), SUITE["mnist5k-endurance"].conversion
    plan = engine.plan(model, conversion, (), None)
    targets = engine.convert(model, conversion, plan, (), 0, lambda *_: None).targets()
    resistance = np.concatenate([1 / bar.conductance[bar.real] for bar in targets])
    assert np.mean(resistance < right) == pytest.approx(0.499, abs=0.002)
    assert np.mean(resistance < compatible) == 0
    said(5, "550 ohm", "25.007 Mohm", "49.9 %", "1.585")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "own", "compatible"), [("endurance", Endurance, 21.5, 1.5), ("retention", Retention, 8.0, 1.0)]
)
def test_the_midpoint_decides_what_wear_costs(name: str, kind: type[Effect], own: float, compatible: float) -> None:
    assert isinstance(wear(name, False), kind)
    conversion = SUITE[f"mnist5k-{name}"].conversion
    assert lost(conversion, 200, wear(name, False)) == pytest.approx(own, abs=1.0)
    assert lost(conversion, 200, wear(name, True)) == pytest.approx(compatible, abs=1.0)
    said(5, f"{own} points with the right midpoint and {compatible} with MemTorch's")


# --- 6: lines ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "right", "memtorch", "error"), [(1.0, 5.3, 1.3, 5.9), (2.5, 12.3, 3.3, 15.1), (10.0, 37, 15.5, 69)]
)
def test_a_network_of_differences_loses_too_little(line: float, right: float, memtorch: float, error: float) -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(-1, 1, (64, 64))
    positive, negative = (LOW + part.clip(0) * (HIGH - LOW) for part in (weight, -weight))
    voltages = rng.uniform(-1, 1, (200, 64))
    without = voltages @ (positive - negative)
    two = voltages @ (effective_conductances(positive, line, 0.0) - effective_conductances(negative, line, 0.0))
    one = voltages @ effective_conductances(positive - negative, line, 0.0)
    found = [100 * apart(two, without), 100 * apart(one, without), 100 * apart(one, two)]
    assert found == pytest.approx([right, memtorch, error], rel=0.1)
    said(6, f"| {line:g} ohm | {right:g} % | {memtorch:g} % | {error:g} % |")


def test_a_network_of_differences_may_gain_instead_of_losing() -> None:
    low, high = VTEAM().conductance_range
    one, two = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        weight, voltages = rng.uniform(-1, 1, (64, 64)), rng.uniform(-1, 1, (20, 64))
        positive, negative = (low + part.clip(0) * (high - low) for part in (weight, -weight))
        without = np.linalg.norm(voltages @ (positive - negative))
        gained = voltages @ effective_conductances(positive - negative, 1.0, 1.0)
        one.append(np.linalg.norm(gained) / without)
        kept = effective_conductances(positive, 1.0, 1.0) - effective_conductances(negative, 1.0, 1.0)
        two.append(np.linalg.norm(voltages @ kept) / without)
        if seed == 0:
            given = [torch.tensor(part).float() for part in (positive - negative, voltages, np.zeros((20, 64)))]
            solved = package().bh.crossbar.Passive.solve_passive(*given, 1.0, 1.0, n_input_batches=20)
            assert apart(solved, gained) < 1e-2
    assert [min(one), max(one)] == pytest.approx([2, 30], rel=0.2)
    assert two == pytest.approx([0.093] * 10, rel=0.15)
    said(6, "2 to 30 times as large", "9 % of them")


def test_memtorchs_network_is_that_of_the_differences() -> None:
    layer, x = theirs(linear(16, 16), tile_shape=(16, 16)), inputs(4, 16)
    layer.transistor, layer.line_resistance, layer.source_resistance = False, 2.5, 10.0
    positive, negative = stacked(layer)[:, 0].double().numpy()
    difference = x.double().numpy() @ effective_conductances(positive - negative, 2.5, 10.0)
    assert apart(layer(x), difference) < 1e-4
    effect = LineResistance(line_resistance=2.5, source_resistance=10.0, memtorch_compatible=True)
    assert apart(layer(x), ours(linear(16, 16), effect, tile_shape=(16, 16)).infer(x)) < 1e-4
    said(6, "to 1e-4")


def test_where_memtorchs_solver_is_right_it_agrees_and_without_a_source_it_is_lost() -> None:
    solve = package().bh.crossbar.Passive.solve_passive
    rng = np.random.default_rng(0)
    conductance, voltages = rng.uniform(LOW, HIGH, (16, 10)), rng.uniform(-1, 1, (5, 16))
    given = [torch.tensor(part).float() for part in (conductance, voltages, np.zeros((5, 10)))]
    right = voltages @ effective_conductances(conductance, 2.5, 10.0)
    assert apart(solve(*given, 10.0, 2.5, n_input_batches=5), right) < 1e-4

    right = voltages @ effective_conductances(conductance, 2.5, 0.0)
    assert not torch.isfinite(solve(*given, 0.0, 2.5, n_input_batches=5)).all()
    alone = solve(given[0], given[1][0], given[2][0], 0.0, 2.5)
    assert not apart(alone, right[0]) < 10
    said(6, "not a number", "more than 10 times the right ones")


@pytest.mark.slow
def test_the_differences_hide_what_lines_cost() -> None:
    lines = {"line_resistance": 20.0, "source_resistance": 200.0}
    assert lost(IDEAL, 200, LineResistance(**lines)) == pytest.approx(12.5, abs=1.0)
    assert lost(IDEAL, 200, LineResistance(**lines, memtorch_compatible=True)) == pytest.approx(3.0, abs=1.0)
    said(6, "12.5 points", "3.0 points")


# --- 7, 8: inputs and converters -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("volts", "kept", "undone"), [(3.0, 1.2, 0.0), (0.3, 88.6, 0.0)])
def test_the_input_scale_costs_what_it_does_because_it_is_kept(volts: float, kept: float, undone: float) -> None:
    conversion = IDEAL.replace(max_input_voltage=volts)
    assert lost(conversion, 500) == pytest.approx(kept, abs=0.6)
    assert lost(conversion.replace(scaling=InputScaling(undone=True)), 500) == pytest.approx(undone, abs=0.6)
    said(7, f"| {volts:g} V | {kept} points | {undone} points |")


def test_the_scale_is_an_images_or_a_batchs() -> None:
    quiet, loud = inputs(1, 16), 10 * torch.ones(1, 16)
    layer = theirs(linear(16, 10), max_input_voltage=1.0)
    assert apart(10 * layer(torch.cat([quiet, loud]))[:1], layer(quiet)) < 1e-5
    for per, factor in (("memtorch", 10), ("batch", 10), ("image", 1)):
        found = ours(linear(16, 10), max_input_voltage=1.0, scaling=InputScaling(per=per))
        assert apart(factor * found.infer(torch.cat([quiet, loud]))[:1], found.infer(quiet)) < 1e-5
    said(7, "a tenth")


def test_the_range_of_memtorchs_adc_follows_each_vector() -> None:
    loud, quiet = inputs(200, 64), inputs(200, 64) / 128
    digital = linear(64, 10)
    layer = theirs(digital, tile_shape=(64, 64), ADC_resolution=8, quant_method="linear")
    exact = theirs(digital, tile_shape=(64, 64))
    assert [apart(layer(x), exact(x)) for x in (loud, quiet)] == pytest.approx([0.006, 0.006], abs=0.001)
    fixed = convert(
        nn.Sequential(digital).eval(),
        Conversion(device=STUDY_DEVICE, tuning=None, tile_shape=(64, 64), adc=ADC(bits=8, range="calibrated")),
        sample=loud,
        verbose=False,
    )
    with torch.inference_mode():
        errors = [apart(fixed(x), exact(x)) for x in (loud, quiet)]
    assert errors == pytest.approx([0.009, 0.77], rel=0.2)
    said(8, "0.6 % at either size", "0.9 % and 77 %")


def test_padding_can_set_the_range() -> None:
    shares = []
    for seed in range(5):
        layer = theirs(linear(64, 10), tile_shape=(64, 64))
        with isolated(seed):
            package().bh.nonideality.DeviceFaults.apply_device_faults(layer, 0.05, 0.0, 0.0)
        positive, negative = stacked(layer)[:, 0]
        currents = (inputs(100, 64) @ (positive - negative)).abs()
        shares.append(float((currents.amax(1) > 1.0001 * currents[:, :10].amax(1)).float().mean()))
    assert np.mean(shares) == pytest.approx(0.18, abs=0.1)
    said(8, "18 % of the vectors")


# --- 9: mends ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "error"), [(1, 41), (6, 24), (16, 15), (64, 8)])
def test_a_convolution_without_bias_has_a_random_one(channels: int, error: int) -> None:
    torch.manual_seed(0)
    digital = nn.Conv2d(channels, 16, 3, bias=False)
    layer, x = theirs(digital), inputs(4, channels, 12, 12)
    layer.tune(input_batch_size=2, input_shape=12)
    with torch.inference_mode():
        right = digital(x)
        assert 100 * apart(layer(x), right) == pytest.approx(error, rel=0.2)
        tuning = Tuning(conv_images=2, conv_size=12)
        for engine in ("memtorch", "vectorized"):
            assert apart(ours(digital, engine=engine, tuning=tuning).infer(x), right) < 1e-5
    said(9, f"{error} %")


def test_a_layer_is_mapped_with_a_device_drawn_at_random() -> None:
    generator = functools.partial(package().bh.StochasticParameter, torch.distributions.Normal, min=1.0)
    seen, middles, digital = [], [], linear(4, 4)

    def mapping(weight: Tensor, r_on: float, r_off: float, scheme: Any, p_l: Any = None) -> Any:
        seen.append(r_on)
        return package().map.naive_map(weight, r_on, r_off, scheme, p_l)

    for seed in range(20):
        r_on = generator(loc=1.4e4, scale=1.4e3)
        with isolated(seed):
            theirs(digital, r_on=r_on, r_off=generator(loc=5e7, scale=5e6), mapping_routine=mapping)
            single = theirs(digital, r_on=r_on, scheme=package().bh.Scheme.SingleColumn)
        middles.append(-1e6 * float(single.crossbar_operation(single.crossbars, lambda _: torch.zeros(1))))
    assert min(seen) < 1.25e4
    assert max(seen) > 1.55e4
    assert np.std(seen) == pytest.approx(1.4e3, rel=0.5)
    assert min(middles) < 33 < 35.7 < 38 < max(middles)
    said(9, "spread of 1.4 kohm", "12.5 and over 15.5 kohm", "33 and over 38 uS", "35.7 uS")


def test_conv3d_is_right_for_one_image_of_one_channel_only() -> None:
    torch.manual_seed(0)
    x = inputs(3, 1, 6, 6, 6)
    digital = nn.Conv3d(1, 4, 3)
    layer = theirs(digital)
    layer.tune(2, 6)
    with torch.inference_mode():
        errors = [apart(one, other) for one, other in zip(layer(x), digital(x), strict=True)]
        assert errors[0] > 0.1 < errors[1]
        assert errors[2] < 1e-5
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            theirs(nn.Conv3d(2, 4, 3))(inputs(3, 2, 6, 6, 6))
        digital, x = nn.Conv3d(2, 4, 3), inputs(3, 2, 6, 6, 6)
        layer = theirs(digital, tile_shape=(16, 16))
        layer.tune(2, 6)
        assert apart(layer(x), digital(x)) > 0.5
        tuning = Tuning(conv_images=2, conv_size=8)
        assert apart(ours(digital, tile_shape=(16, 16), tuning=tuning).infer(x), digital(x)) < 1e-5
    said(9, "more than half")


# --- 10: what is kept ----------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_the_default() -> None:
    assert ADC(bits=8).range == "vector"
    assert InputScaling() == InputScaling(undone=False, per="memtorch")
    assert (Tuning().conv_images, Tuning().conv_size, Tuning().linear_rows, Tuning().after) == (8, 32, 4098, "conversion")
    assert Conversion() == Conversion(scaling=InputScaling(), dac=None, tuning=Tuning(), device=VTEAM())
    with pytest.raises(InputError, match="bits"):
        ADC(bits=1)
    layer = theirs(linear(16, 10), ADC_resolution=1, quant_method="linear")
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        layer(inputs(4, 16))


def test_what_is_kept_costs_something() -> None:
    digital, x = linear(32, 32), inputs(64, 32)
    single = theirs(digital, scheme=package().bh.Scheme.SingleColumn)
    single.tune(256)
    with torch.inference_mode():
        assert apart(single(x), digital(x)) == pytest.approx(0.7, abs=0.1)
    drifted = np.stack([bar.conductance for bar in ours(digital, ConductanceDrift(time=10.0)).crossbars()])
    assert np.mean(drifted < 0.999 * LOW) == pytest.approx(0.5, abs=0.1)
    said(10, "70 %", "half of the devices")
