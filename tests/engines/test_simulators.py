"""Other simulators, cross-validated: where a profile means the same to each, they must compute the same."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from simulators import (
    CONVERTERS,
    CONVERTING,
    SIMULATORS,
    TILED,
    apart,
    changed,
    converting,
    images,
    made,
    network,
    simulator,
    usable,
)
from torch import Tensor, nn

from membench import (
    ADC,
    DAC,
    STUDY_DEVICE,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    FiniteConductanceStates,
    InputScaling,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Tuning,
    Variability,
)
from membench.arrays import MemristiveLayer
from membench.effect import Effect
from membench.engines import ENGINES, layer_at, observed
from membench.errors import EnvironmentProblemError, MeasurementError, UnsupportedError

__all__ = ["converting", "simulator"]

UNTILED = Conversion(device=STUDY_DEVICE)


@pytest.mark.parametrize("tile", [(8, 8), (64, 64), (27, 6), None])
def test_an_ideal_profile_gives_the_digital_logits(simulator: str, tile: tuple[int, int] | None) -> None:
    if simulator == "badcrossbar" and tile is None:
        pytest.skip("small arrays only")
    found = made(simulator, changed(tile_shape=tile))[0].infer(images())
    assert apart(found, network()(images())) < 1e-5
    assert apart(found, network()(images())) < 1e-4  # what issue 9 asks for


def test_raw_currents_are_amperes(simulator: str) -> None:
    """Without tuning the currents themselves go on, the same on every engine."""
    raw = changed(tuning=None)
    model = nn.Sequential(nn.Linear(45, 4))
    x = torch.randn(5, 45, generator=torch.Generator().manual_seed(2))
    wanted, found = (made(name, raw, model=model, sample=x)[0].infer(x) for name in ("vectorized", simulator))
    bias = model[0].bias.detach()
    assert apart(found - bias, wanted - bias) < 1e-3  # the bias is a thousand times as large
    assert float((wanted - bias).abs().max()) < 1e-2


def by_hand(layer: MemristiveLayer, x: Tensor, lowest: int) -> Tensor:
    """What a layer's converters give, tile row by tile row in double precision, with codes from `lowest` on."""
    adc, voltages, factor = layer.hardware.adc, *layer.encoding(x)
    matrix = layer.tiling.joined(layer.difference().double())[:, : layer.tiling.columns]
    rows = layer.tiling.tile_shape[0] if layer.tiling.tile_shape else layer.tiling.rows
    total = torch.zeros(())
    for first in range(0, layer.tiling.rows, rows):
        part = torch.zeros_like(matrix)
        part[first : first + rows] = matrix[first : first + rows]
        currents = layer.geometry.multiply(voltages.double(), layer.geometry.kernel_of(part), None)
        if adc is not None:
            step = float(layer.full_scale) / 2 ** (adc.bits - 1)
            currents = (currents / step + 0.5).floor().clamp(lowest, 2 ** (adc.bits - 1) - 1) * step
        total = total + currents
    scale = 1.0 if factor is None else factor.view(factor.shape[:1] + (1,) * (total.ndim - 1)) if factor.ndim else factor
    shift = layer.offset.double() + (0 if layer.bias is None else layer.bias.view(-1, *[1] * layer.geometry.dimensions))
    return total * scale * float(layer.gain) + shift


SPREAD = Variability(r_on_sigma=1.4e3, r_off_sigma=5e6)  # with it, bit lines that only pad a tile carry some current
OVERFLOW = {"adc": ADC(bits=8, range="calibrated", overflow_rate=0.05)}


@pytest.mark.parametrize(
    ("fields", "effects"),
    [
        ({}, ()),
        ({"dac": None, "scaling": InputScaling(), "max_input_voltage": None}, ()),
        ({"adc": ADC(bits=4, range=2e-4)}, ()),
        (OVERFLOW, ()),
        ({**OVERFLOW, "tuning": Tuning(after="effects")}, (SPREAD,)),
        ({"adc": None}, ()),
        ({"tile_shape": None}, ()),
        ({"scaling": InputScaling(undone=True, per="batch"), "max_input_voltage": 0.7}, ()),
    ],
    ids=["converters", "no DAC", "4 bits in amperes", "overflow", "overflow, spread", "no ADC", "no tiles", "per batch"],
)
def test_converters_agree_within_a_step(converting: str, fields: dict[str, Any], effects: tuple[Effect, ...]) -> None:
    """With equal weights and a fixed range, layer by layer on the same inputs; aihwkit lacks the lowest code."""
    conversion = CONVERTERS.replace(**fields)
    one, other = (made(name, conversion, effects)[0] for name in ("vectorized", converting))
    names = [layer.name for layer in one.layers]
    lowest = -(2 ** ((conversion.adc.bits if conversion.adc else 1) - 1))
    with observed({name: layer_at(one.network, name) for name in names}) as seen:
        one.infer(images(40))
    for name in names:
        x, wanted = seen[name][-1]
        mine, theirs = (layer_at(each.network, name) for each in (one, other))
        step = mine.largest_step(x)
        torch.testing.assert_close(theirs.steps(x), mine.steps(x), rtol=1e-4, atol=0)
        with torch.no_grad():
            found = theirs(x)
        if not step:
            assert apart(found, wanted) < 1e-5
            continue
        assert float(((wanted - by_hand(mine, x, lowest)).abs() > 0.5 * step).float().mean()) <= 1e-3
        own = found - by_hand(mine, x, lowest + (converting == "aihwkit"))
        assert float(own.abs().max()) <= 1.001 * step, name
        assert float((own.abs() > 0.5 * step).float().mean()) <= 1e-3 * mine.tiling.counts[0], name
        if converting != "aihwkit" or mine.clipping_rate(x) == 0:
            assert float(((found - wanted).abs() > 1.001 * step).float().mean()) <= 1e-3, name


def test_a_range_is_calibrated_alike(converting: str) -> None:
    one, other = (made(name, CONVERTERS)[0] for name in ("vectorized", converting))
    for layer in one.layers:
        mine, theirs = layer_at(one.network, layer.name), layer_at(other.network, layer.name)
        assert theirs.full_scale == pytest.approx(float(mine.full_scale), rel=1e-5)


@pytest.mark.parametrize("after", ["conversion", "effects"])
@pytest.mark.parametrize("engine", ["vectorized", *CONVERTING])
def test_what_pads_a_tile_is_not_counted_in_its_range(engine: str, after: str) -> None:
    """However often it is calibrated, 5 % of the currents that are read lie beyond; on a tile of 64 bit lines for 10 columns."""
    x = torch.randn(200, 45, generator=torch.Generator().manual_seed(2))
    conversion = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64), **OVERFLOW, tuning=Tuning(after=after))
    converted = made(usable(engine), conversion, (SPREAD,), one_layer(45, 10), x)[0]
    positive, negative = (bar.conductance[0, :45, :10] for bar in converted.crossbars())
    currents = x.double().numpy() @ (positive - negative)
    full_scale = float(layer_at(converted.network, "0").full_scale)  # type: ignore[arg-type]
    assert (np.abs(currents) > 1.0001 * full_scale).mean() == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("engine", ["vectorized", *CONVERTING])
@pytest.mark.parametrize("overflow_rate", [0.0, 0.25])
def test_a_range_of_0_amperes_is_refused(engine: str, overflow_rate: float) -> None:
    """Inputs below half a level of the DAC cause no current; or so few do that all of them may lie beyond."""
    conversion = CONVERTERS.replace(dac=DAC(bits=2), adc=ADC(bits=8, range="calibrated", overflow_rate=overflow_rate))
    x = torch.full((10, 1), 0.9)
    if overflow_rate:
        x[:2] = 2.0
    told = rf"layer '0' .* range would be 0 A: {8 if overflow_rate else 10} of the 10 currents"
    with pytest.raises(MeasurementError, match=told):
        made(usable(engine), conversion, (), one_layer(1, 1), x)


CONDUCTANCES: dict[str, tuple[Effect, ...]] = {
    "nothing": (),
    "variability": (SPREAD,),
    "states": (FiniteConductanceStates(states=8),),
    "error": (ProgrammingError(sigma=0.05),),
    "faults": (DeviceFaults(lrs_proportion=0.05, hrs_proportion=0.1),),
    "drift": (ConductanceDrift(time=100.0, coefficient=0.05),),
    "drift of what is not stuck": (DeviceFaults(lrs_proportion=0.2), ConductanceDrift(time=100.0, coefficient=0.05)),
    "lines": (LineResistance(line_resistance=20.0),),
    "lines after faults": (DeviceFaults(lrs_proportion=0.2), LineResistance(line_resistance=5.0)),
}


@pytest.mark.parametrize("name", list(CONDUCTANCES))
def test_devices_are_those_of_membench(simulator: str, name: str) -> None:
    """As each simulator holds them, device by device, with the same seed; passive arrays to a millionth."""
    effects = CONDUCTANCES[name]
    (wanted, _), (found, proofs) = (made(engine, TILED, effects) for engine in ("vectorized", simulator))
    assert [proof.effect for proof in proofs] == [effect.kind for effect in effects]
    for mine, theirs in zip(wanted.crossbars(), found.crossbars(), strict=True):
        assert (mine.layer, mine.index) == (theirs.layer, theirs.index)
        np.testing.assert_array_equal(mine.real, theirs.real)
        np.testing.assert_allclose(theirs.conductance[theirs.real], mine.conductance[mine.real], rtol=1e-6)
        np.testing.assert_allclose(theirs.conductance_max, mine.conductance_max, rtol=1e-6)
        np.testing.assert_allclose(theirs.conductance_min, mine.conductance_min, rtol=1e-6)
    assert apart(found.infer(images()), wanted.infer(images())) < 1e-5


@pytest.mark.parametrize("name", list(CONDUCTANCES))
def test_an_effect_reaches_the_product(simulator: str, name: str) -> None:
    """The logits are those of the conductances that the engine shows, multiplied by hand."""
    model = nn.Sequential(nn.Linear(45, 4, bias=False))
    x = torch.randn(5, 45, generator=torch.Generator().manual_seed(2))
    converted, _ = made(simulator, changed(tuning=None), CONDUCTANCES[name], model, x)
    positive, negative = converted.crossbars()
    tiles = (positive.conductance - negative.conductance) * positive.real
    matrix = np.concatenate(list(tiles), axis=0)[:45, :4]  # one tile column
    expected = x.double().numpy() @ matrix
    np.testing.assert_allclose(converted.infer(x).numpy(), expected, atol=1e-5 * np.abs(expected).max())


def one_layer(rows: int, columns: int) -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(rows, columns, bias=False))


def devices_of(engine: str, effects: tuple[Effect, ...], seed: int = 0) -> np.ndarray:
    """The conductances of a layer's 10,000 positive devices."""
    conversion = UNTILED.replace(tuning=None, tile_shape=(100, 100))
    bar = made(engine, conversion, effects, one_layer(100, 100), torch.randn(2, 100), seed)[0].crossbars()[0]
    return bar.conductance[bar.real].astype(np.float32)  # devices at an end are equal, whatever the precision


@pytest.mark.parametrize(
    "effects",
    [
        (ConductanceDrift(time=1e4, coefficient=0.06, coefficient_sigma=0.02),),
        (DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, counts="binomial"),),
        (ProgrammingError(sigma=0.1),),
    ],
    ids=["drift", "faults", "programming"],
)
def test_devices_agree_in_distribution(simulator: str, effects: tuple[Effect, ...]) -> None:
    """Kolmogorov and Smirnov on 10,000 devices with other seeds; twice the spread is told apart."""
    found, wanted, again = (
        devices_of(simulator, effects),
        devices_of("vectorized", effects, 1),
        devices_of("vectorized", effects, 2),
    )
    assert found.size == wanted.size == 10_000
    assert stats.ks_2samp(found, wanted).pvalue > 1e-3
    assert stats.ks_2samp(again, wanted).pvalue > 1e-3
    if isinstance(effect := effects[0], ConductanceDrift):
        wrong = devices_of("vectorized", (effect.replace(coefficient_sigma=0.01),), 1)
        nu = [-np.log(part / devices_of("vectorized", ())) / np.log(1e4) for part in (found, wanted, wrong)]
        assert stats.ks_2samp(nu[0], nu[1]).pvalue > 1e-3
        assert stats.ks_2samp(nu[0], nu[2]).pvalue < 1e-6


def reads_of(engine: str, sigma: float) -> np.ndarray:
    """Of 10,000 pairs of devices, each alone on its bit line: the noise of a read over what its devices should have."""
    conversion = UNTILED.replace(tuning=None)
    volts = torch.full((1, 1), 0.5)
    model = one_layer(1, 10_000)
    converted, _ = made(engine, conversion, (ReadNoise(sigma=sigma),), model, volts)
    positive, negative = (bar.conductance[0] for bar in converted.crossbars())
    read = converted.infer(volts).double().numpy()[0] / 0.5
    return (read - (positive - negative)) / (0.05 * np.hypot(positive, negative))


@pytest.mark.parametrize("engine", ["vectorized", "crosssim"])
def test_read_noise_agrees_in_distribution(engine: str) -> None:
    noise = reads_of(usable(engine), 0.05)
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    assert stats.kstest(reads_of(engine, 0.055), "norm").pvalue < 1e-3


def test_reads_are_noisy_anew_and_the_same_again() -> None:
    effects = (ReadNoise(sigma=0.1),)
    (one, proofs), (other, _) = (made(usable("crosssim"), CONVERTERS, effects) for _ in range(2))
    assert proofs[0].details["variance_found_to_asked"] == pytest.approx(1, abs=0.05)
    first, second = one.infer(images()), one.infer(images())
    assert not torch.equal(first, second)
    assert torch.equal(first, other.infer(images()))
    assert torch.equal(second, other.infer(images()))


def test_crosssim_reads_a_few_vectors_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It copies a tile for each vector: 1,024 of them at once would take 50 MB here."""
    monkeypatch.setattr(f"membench.engines.{usable('crosssim')}._NOISE_BYTES", 2**20)
    converted, _ = made("crosssim", UNTILED, (ReadNoise(sigma=0.01),), one_layer(64, 32), torch.randn(5, 64))
    layer: Any = layer_at(converted.network, "0")
    voltages = torch.randn(1024, 64)
    tracemalloc.start()
    try:
        read = layer.read(voltages)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10e6
    assert apart(read, voltages @ layer.matrix().float()) < 0.05


def test_the_read_noise_that_crosssim_takes_is_seldom_cut() -> None:
    """A read of N(G, 0.25 G) is below 0 S at 4 standard deviations."""
    engine, seldom = ENGINES.get("crosssim"), 1 / stats.norm.sf(1 / 0.25)
    engine.plan(network(), TILED, (ReadNoise(sigma=0.25),), images())
    with pytest.raises(UnsupportedError, match=f"more than one read of a device in {seldom:,.0f} would be below 0 S"):
        engine.plan(network(), TILED, (ReadNoise(sigma=0.2501),), images())


@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (16, 16)])
@pytest.mark.parametrize("line", [0.5, 20.0])
def test_passive_arrays_are_solved_alike(simulator: str, shape: tuple[int, int], line: float) -> None:
    model = one_layer(*shape)
    effects = (LineResistance(line_resistance=line),)
    conversion = UNTILED.replace(tile_shape=shape, tuning=None)
    bars = [
        made(engine, conversion, effects, model, torch.randn(2, shape[0]))[0].crossbars()
        for engine in ("vectorized", simulator)
    ]
    ideal = made("vectorized", conversion, (), model, torch.randn(2, shape[0]))[0].crossbars()
    for mine, theirs, without in zip(*bars, ideal, strict=True):
        np.testing.assert_allclose(theirs.conductance, mine.conductance, rtol=1e-6)
        assert (mine.conductance < without.conductance * (1 - 1e-6)).any()


def test_crosssims_row_terminals_stand_in_the_wrong_place() -> None:
    """Why a source resistance is refused: CrossSim 3.2 adds it to every segment of the first word line."""
    usable("crosssim")
    from simulator import CrossSimParameters  # type: ignore[import-not-found]
    from simulator.circuits.array import NoninterleavedInputSourceArray  # type: ignore[import-not-found]

    from membench.nonidealities._lines import effective_conductances

    given = CrossSimParameters()
    given.xbar.device.Rmin, given.simulation.Verr_th_mvm = 1.0, 1e-10
    lines = given.xbar.array.parasitics
    lines.enable, lines.Rp_row, lines.Rp_col, lines.Rp_row_terminal = True, 1.0, 1.0, 9.0
    conductance = np.full((3, 4), 1e-3)
    found = NoninterleavedInputSourceArray(given).iterative_solve(conductance.T.copy(), np.eye(3)).T
    lines.Rp_row_terminal = 0.0
    without = NoninterleavedInputSourceArray(given).iterative_solve(conductance.T.copy(), np.eye(3)).T
    np.testing.assert_allclose(without, effective_conductances(conductance, 1.0, 0.0), rtol=1e-8)
    lost = 1 - found.sum(1) / without.sum(1)  # each of the three word lines has the same resistor at its head
    assert lost[0] > 10 * max(abs(lost[1]), abs(lost[2]))


REFUSED: list[tuple[str, dict[str, Any], tuple[Effect, ...], str]] = [
    (name, fields, effects, path)
    for name in SIMULATORS
    for fields, effects, path in [
        ({"adc": ADC(bits=8)}, (), "conversion.adc"),
        ({"scheme": "single-column"}, (), "conversion.scheme='?.*single"),
        ({"retained": 0.9}, (), "conversion.retained=0.9"),
        ({}, (NonLinear(law="sinh", scale=0.3),), "nonidealities.non_linear"),
        ({}, (ReadNoise(sigma=0.1, relative_to="range"),), "nonidealities.read_noise"),
        ({}, (ReadNoise(sigma=0.4),), "nonidealities.read_noise"),
    ]
] + [
    ("aihwkit", {"adc": ADC(bits=8)}, (), "conversion.adc.range='vector'"),
    ("crosssim", {"adc": ADC(bits=8)}, (), "conversion.adc.range='vector'"),
    ("aihwkit", {"adc": ADC(bits=8, method="log")}, (), "conversion.adc.method='log'"),
    ("crosssim", {"adc": ADC(bits=8, method="log")}, (), "conversion.adc.method='log'"),
    ("badcrossbar", {"adc": ADC(bits=8, range=1e-3)}, (), "conversion.adc.bits=8"),
    ("badcrossbar", {"dac": DAC(bits=8), "max_input_voltage": 1.0}, (), "conversion.dac.bits=8"),
    ("badcrossbar", {"tile_shape": None}, (), "conversion.tile_shape=None"),
    ("badcrossbar", {"tile_shape": (256, 256)}, (), r"conversion.tile_shape=\(256, 256\)"),
    ("aihwkit", {}, (ReadNoise(sigma=0.1),), "nonidealities.read_noise"),
    ("badcrossbar", {}, (ReadNoise(sigma=0.1),), "nonidealities.read_noise"),
    ("crosssim", {}, (ReadNoise(sigma=0.1, relative_to="range"),), "nonidealities.read_noise.relative_to='range'"),
    ("crosssim", {}, (ReadNoise(sigma=0.4),), "nonidealities.read_noise.sigma=0.4"),
    ("crosssim", {}, (ReadNoise(sigma=0.1), ReadNoise(sigma=0.2)), "nonidealities.read_noise twice"),
    ("crosssim", {}, (LineResistance(line_resistance=1.0, source_resistance=2.0),), "line_resistance.source_resistance=2.0"),
    ("badcrossbar", {}, (LineResistance(line_resistance=1.0, source_resistance=2.0),), "line_resistance.source_resistance=2.0"),
    ("crosssim", {}, (LineResistance(line_resistance=1.0, memtorch_compatible=True),), "line_resistance.memtorch_compatible=True"),
    ("badcrossbar", {}, (LineResistance(line_resistance=1.0, memtorch_compatible=True),), "line_resistance.memtorch_compatible"),
    ("aihwkit", {}, (ConductanceDrift(time=9.0, coefficient=0.1, coefficient_sigma=0.05),), "coefficient_sigma=0.05"),
    ("crosssim", {}, (ReadNoise(sigma=0.1), DeviceFaults(lrs_proportion=0.1)), "nonidealities in this order"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "fields", "effects", "path"), REFUSED)
def test_what_a_simulator_has_not_is_refused_by_its_field(
    engine: str, fields: dict[str, Any], effects: tuple[Effect, ...], path: str
) -> None:
    """Before anything is run, and whether the simulator is on this machine or not."""
    with pytest.raises(UnsupportedError, match=rf"The engine {engine} cannot express .*{path}"):
        ENGINES.get(engine).plan(network(), changed(**fields), effects, images())


def test_all_that_is_refused_is_named_at_once() -> None:
    conversion = changed(retained=0.9, adc=ADC(bits=8, method="log"))
    with pytest.raises(UnsupportedError) as error:
        ENGINES.get("aihwkit").plan(network(), conversion, (ReadNoise(sigma=0.1),), None)
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("layer", "engines", "named"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), SIMULATORS, "groups=2"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), SIMULATORS, "padding_mode"),
        (nn.Conv2d(4, 4, 3, dilation=2), ("crosssim",), "dilation"),
        (nn.Conv2d(4, 4, 3, padding="same"), ("aihwkit",), "padding='same'"),
        (nn.Conv1d(4, 4, 3), ("aihwkit",), "Linear and Conv2d"),
        (nn.Conv3d(4, 4, 3), ("aihwkit",), "Linear and Conv2d"),
    ],
)  # fmt: skip
def test_a_layer_that_a_simulator_has_not_is_refused_by_name(layer: nn.Module, engines: tuple[str, ...], named: str) -> None:
    for engine in engines:
        with pytest.raises(UnsupportedError, match=named):
            ENGINES.get(engine).plan(nn.Sequential(layer), TILED, (), None)


LAYERS = {
    "dilated": (nn.Conv2d(3, 4, 3, dilation=2, padding=1), (3, 9, 9)),
    "strided": (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(0, 1)), (3, 9, 9)),
    "one by one": (nn.Conv2d(3, 4, 1, stride=2), (3, 9, 9)),
    "same": (nn.Conv2d(3, 4, 3, padding="same"), (3, 9, 9)),
    "1d": (nn.Conv1d(3, 4, 3, stride=2), (3, 9)),
    "3d": (nn.Conv3d(3, 4, 2, padding=1), (3, 4, 5, 4)),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_every_layer_that_is_not_refused_is_right(simulator: str, name: str) -> None:
    layer, size = LAYERS[name]
    if ENGINES.get(simulator).refused(layer):  # type: ignore[attr-defined]
        pytest.skip("refused by name")
    x = torch.randn(4, *size, generator=torch.Generator().manual_seed(3))
    model = nn.Sequential(layer).eval()
    found = made(simulator, changed(tuning=Tuning(conv_size=12, conv_images=2)), (), model, x)[0].infer(x)
    assert apart(found, model(x)) < 1e-5


def test_the_digital_network_stays_as_it_is(simulator: str) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    made(simulator, TILED, (ProgrammingError(sigma=0.1),), model)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", SIMULATORS)
def test_an_engine_that_is_not_here_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module(f"membench.engines.{name}")
    attribute = "_compute" if name == "badcrossbar" else "_part"

    def absent(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'it'")

    monkeypatch.setattr(module, attribute, absent)
    engine = ENGINES.get(name)
    problem = engine.problem()
    assert problem is not None
    assert "No module named 'it'" in problem.reason
    assert "pip install" in problem.remedy
    with pytest.raises(EnvironmentProblemError, match="pip install"):
        engine.require()
