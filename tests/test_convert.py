"""membench.convert: one line, and the network that a case measures is in the user's own script."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_case
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import membench
from membench import ADC, ConductanceDrift, Conversion, DeviceFaults, Profile, Tuning, Variability, run_case
from membench.arrays import MemristiveLayer, kernel_in_use
from membench.arrays.kernel import Kernel
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.engines import ENGINES
from membench.errors import EffectDidNothingError, EnvironmentProblemError, InputError, UnknownNameError, UnsupportedError
from membench.models import NETWORKS, obtain
from membench.runtime import pinned_threads

LIGHT = Tuning(conv_images=2, conv_size=12, linear_rows=256)
EXACT = Conversion(tuning=LIGHT)
TILED = Conversion(tile_shape=(16, 8), adc=ADC(bits=8), max_input_voltage=3.0, tuning=LIGHT)
VARIED = Profile(
    name="varied", source="here", conversion=TILED, nonidealities=(Variability(r_on_sigma=5.0, r_off_sigma=100.0),)
)
WORN = Profile(
    name="worn",
    source="here",
    conversion=TILED,
    nonidealities=(
        Variability(r_on_sigma=5.0, r_off_sigma=100.0),
        DeviceFaults(hrs_proportion=0.05),
        ConductanceDrift(time=2.0),
    ),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


def small(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(),
            nn.Conv2d(6, 4, 3, stride=2), nn.Flatten(), nn.Linear(100, 5),
        )  # fmt: skip


def images(n: int = 4) -> Tensor:
    return torch.rand(n, 2, 12, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1


def convert(model: nn.Module, profile: Any = TILED, **options: Any) -> nn.Module:
    return membench.convert(model, profile, **{"verbose": False, **options})


def of_linear(*sizes: int) -> list[nn.Linear]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]


def memristive(network: nn.Module) -> list[str]:
    return [name for name, layer in network.named_modules(remove_duplicate=False) if isinstance(layer, MemristiveLayer)]


# --- one line ----------------------------------------------------------------------------------------------------------------


def test_one_line_converts_and_tells_what_became_what(capsys: pytest.CaptureFixture[str]) -> None:
    converted = membench.convert(small(), "ideal", seed=1)
    told = capsys.readouterr().out
    rows = [line.split() for line in told.splitlines()]
    assert rows[2] == ["0", "Conv2d", "18", "x", "6", "2", "1", "8192"]
    assert rows[3] == ["4", "Conv2d", "54", "x", "4", "2", "1", "8192"]
    assert rows[4] == ["6", "Linear", "100", "x", "5", "2", "2", "16384"]
    assert told.splitlines()[5] == "stay digital: 1"
    assert memristive(converted) == ["0", "4", "6"]
    with torch.inference_mode():
        assert converted(images()).shape == (4, 5)


def test_it_can_be_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    convert(small())
    assert capsys.readouterr() == ("", "")


def test_effects_and_whole_crossbars_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    convert(small(), WORN.model_copy(update={"conversion": EXACT}), verbose=True)
    told = capsys.readouterr().out
    assert " none " in told
    for effect in ("variability", "device_faults", "conductance_drift"):
        assert f"\n{effect}: moved " in told
    assert "of 1648 devices that hold a weight" in told


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sample", [None, images()], ids=["", "sample"])
def test_the_model_stays_as_it_is(training: bool, sample: Tensor | None) -> None:
    model = small().train(training)
    model[2].train(not training)
    state = copy.deepcopy(model.state_dict())
    modes, modules = [layer.training for layer in model.modules()], list(model.modules())
    convert(model, WORN, sample=sample)
    assert [layer.training for layer in model.modules()] == modes
    assert list(model.modules()) == modules
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(layer._forward_pre_hooks or layer._forward_hooks for layer in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("sample", [None, images()], ids=["", "sample"])
def test_the_callers_randomness_is_left_alone(sample: Tensor | None) -> None:
    before = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state()
    convert(small(), WORN, sample=sample)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_the_copy_is_for_inference_and_lives_on_its_own() -> None:
    model = small().train()
    converted = convert(model)
    assert not any(layer.training for layer in converted.modules())
    wanted = converted(images())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert torch.equal(converted(images()), wanted)


# --- what a case measures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["vectorized", "memtorch"])
def test_it_is_the_network_that_a_case_of_this_seed_measures(engine: str) -> None:
    profile = WORN.model_copy(update={"conversion": TILED})
    case = make_case(conversion=TILED, nonidealities=WORN.nonidealities, seeds=(3,), images=40)
    record = run_case(case, engine)
    dataset = DATASETS.get(case.dataset)
    test = dataset.load("test", None)
    batch = dataset.normalise(test.take(balanced_order(test, case.subset_seed)[: case.images]).images)
    model = obtain(NETWORKS.get(case.network), dataset).model
    with torch.no_grad():
        converted = convert(model, profile, seed=3, engine=engine)
        logits = torch.cat([converted(part) for part in batch.split(case.batch_size)])
        digital = torch.cat([model(part) for part in batch.split(case.batch_size)])
    seed = record.measured.seeds[0]
    assert tuple(logits.argmax(1).tolist()) == seed.predictions
    error = [float((a - b).double().square().sum()) for a, b in zip(logits.split(20), digital.split(20), strict=True)]
    assert error == pytest.approx(seed.batch_error_power, rel=1e-6)


def test_it_gives_the_logits_of_the_pipelines_own_network() -> None:
    engine, model = ENGINES.get("vectorized"), small().eval()
    plan = engine.plan(model, WORN.conversion, WORN.nonidealities, images())
    inside, proofs = fabricate(engine, model, plan, WORN.conversion, WORN.nonidealities, 5, lambda *_: None, Clock())
    assert torch.equal(convert(model, WORN, seed=5)(images()), inside.infer(images()))
    assert len(proofs) == 3


@pytest.mark.parametrize("profile", [VARIED, WORN, "variable"], ids=["varied", "worn", "by name"])
def test_a_seed_gives_the_same_network_and_another_one_other_devices(profile: Any) -> None:
    first, again, other = (convert(small(), profile, seed=seed) for seed in (1, 1, 2))
    assert first.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    for name in memristive(first):
        assert not torch.equal(first.get_submodule(name).conductance_max, other.get_submodule(name).conductance_max)
    assert not torch.equal(first(images()), other(images()))


def test_the_seed_draws_the_noise_of_the_tuning_too() -> None:
    first, again, other = (convert(small(), TILED, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first.conductance, other.conductance)
    assert first.gain == again.gain != other.gain


def test_layers_of_one_network_have_devices_of_their_own() -> None:
    one, other = of_linear(8, 8), of_linear(8, 8)
    converted = convert(nn.Sequential(*one, *other), VARIED)
    assert torch.equal(converted[0].weight, converted[1].weight)
    assert not torch.equal(converted[0].conductance_max, converted[1].conductance_max)


def test_state_of_one_seed_can_be_loaded_into_another() -> None:
    first, other = convert(small(), WORN, seed=1), convert(small(), WORN, seed=2)
    other(images())
    other.load_state_dict(first.state_dict())
    assert torch.equal(other(images()), first(images()))


def test_profiles_are_given_by_name_or_whole_or_as_a_conversion() -> None:
    by_name, whole = convert(small(), "ideal"), convert(small(), membench.profile("ideal"))
    bare = convert(small(), membench.profile("ideal").conversion)
    assert torch.equal(by_name(images()), whole(images()))
    assert torch.equal(by_name(images()), bare(images()))


def test_every_named_profile_converts() -> None:
    digital = small().eval()(images()).detach()
    for name in ("exact", "ideal", "variable", "faulty"):
        found = convert(small(), name)(images())
        assert float((found - digital).norm() / digital.norm()) < (1e-5 if name == "exact" else 1)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_it_does_not_matter_in_which_mode_it_is_called(context: Any) -> None:
    wanted = convert(small(), WORN)(images())
    with context():
        converted = convert(small(), WORN)
        assert torch.equal(converted(images()), wanted)
    converted[0].conductance.mul_(2)
    assert not torch.equal(converted(images()), wanted)


# --- networks of all kinds ---------------------------------------------------------------------------------------------------


class Nested(nn.Module):
    """Layers in lists and dicts; one module used twice, and under two names."""

    def __init__(self) -> None:
        super().__init__()
        first, twice, self.last = of_linear(6, 8, 8, 3)
        self.blocks = nn.ModuleList([nn.Sequential(first, nn.ReLU()), nn.ModuleDict({"twice": twice})])
        self.alias = twice

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](x)
        return self.last(self.alias(self.blocks[1]["twice"](x)))


@pytest.mark.parametrize("engine", ["vectorized", "memtorch"])
def test_shared_and_nested_layers_are_converted_once_and_everywhere(engine: str) -> None:
    model, x = Nested(), torch.randn(5, 6)
    converted = convert(model, EXACT, engine=engine, sample=x)
    assert converted.alias is converted.blocks[1]["twice"]
    with torch.inference_mode():
        torch.testing.assert_close(converted(x), model(x), rtol=1e-4, atol=1e-5)
    if engine == "vectorized":
        assert memristive(converted) == ["blocks.0.0", "blocks.1.twice", "last", "alias"] or set(memristive(converted)) == {
            "last", "blocks.0.0", "blocks.1.twice", "alias",
        }  # fmt: skip
        converted.alias.conductance.mul_(2)
        assert not torch.equal(converted(x), convert(model, EXACT)(x))


def test_a_shared_block_stays_shared() -> None:
    (layer,) = of_linear(4, 4)
    block = nn.Sequential(layer, nn.ReLU())
    model = nn.Sequential(block, block)
    converted = convert(model, EXACT)
    assert converted[0][0] is converted[1][0]
    x = torch.randn(3, 4)
    torch.testing.assert_close(converted(x), model(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("profile", [EXACT, VARIED], ids=["exact", "varied"])
def test_a_layer_alone_is_a_network_too(profile: Any) -> None:
    (layer,) = of_linear(6, 3)
    x = torch.randn(5, 6)
    converted = convert(layer, profile, sample=x)
    assert isinstance(converted, MemristiveLayer)
    torch.testing.assert_close(converted(x), layer(x).detach(), rtol=0.3, atol=0.3)


class Words(nn.Module):
    """Calls its layer by keyword, as torch's own documentation names it."""

    def __init__(self) -> None:
        super().__init__()
        (self.fc,) = of_linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(input=x)


@pytest.mark.parametrize("sample", [None, torch.randn(5, 6)], ids=["", "sample"])
def test_a_layer_may_be_called_by_keyword(sample: Tensor | None) -> None:
    converted, x = convert(Words(), EXACT, sample=sample), torch.randn(5, 6)
    torch.testing.assert_close(converted(x), Words()(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([nn.Conv3d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, (2, 3, 1), stride=(1, 2, 1))], (2, 2, 6, 7, 5)),
        ([nn.Conv3d(2, 4, (1, 2, 3), dilation=(1, 2, 1)), nn.Flatten(), nn.Linear(96, 3)], (2, 2, 2, 5, 6)),
        ([nn.Conv2d(2, 4, (3, 1), dilation=(2, 1)), nn.ReLU(), nn.Conv2d(4, 3, (1, 4), stride=(1, 3))], (2, 2, 9, 10)),
        ([nn.Conv2d(2, 4, 3, padding="same", dilation=2), nn.Conv2d(4, 3, 3, padding="valid")], (2, 2, 9, 10)),
        ([nn.Conv1d(2, 4, 3, dilation=3), nn.ReLU(), nn.Conv1d(4, 3, 5, stride=2, padding=1)], (2, 2, 20)),
    ],
    ids=["Conv3d", "dilated Conv3d", "non-square", "same and valid", "Conv1d"],
)
@pytest.mark.parametrize("conversion", [EXACT, EXACT.replace(tile_shape=(8, 4)), TILED.replace(adc=ADC(bits=14))])
def test_any_convolution_gives_the_digital_outputs(
    layers: list[nn.Module], shape: tuple[int, ...], conversion: Conversion
) -> None:
    model, x = nn.Sequential(*layers), torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1
    wanted = model(x).detach()
    found = convert(model, conversion, sample=x)(x)
    tolerance = 1e-5 if conversion.adc is None else 5e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * float(wanted.abs().max()))


def test_the_other_engine_gives_the_same() -> None:
    fast, native = convert(small(), WORN, seed=2), convert(small(), WORN, seed=2, engine="memtorch")
    with torch.inference_mode():
        torch.testing.assert_close(fast(images()), native(images()), rtol=1e-3, atol=1e-3)
    assert not memristive(native)


# --- refused -----------------------------------------------------------------------------------------------------------------


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"no profile 'idea'. Did you mean 'ideal'"):
        convert(small(), "idea")


@pytest.mark.parametrize("given", [None, 8, {"tile_shape": (8, 8)}, Profile], ids=str)
def test_what_is_no_profile_is_told(given: Any) -> None:
    with pytest.raises(InputError, match="A profile is needed: its name, a Profile or a Conversion; given: "):
        convert(small(), given)


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"no engine 'vectorised'. Did you mean 'vectorized'"):
        convert(small(), engine="vectorised")


def test_an_engine_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.engines.memtorch._memtorch", lambda: (_ for _ in ()).throw(ImportError("no memtorch")))
    with pytest.raises(EnvironmentProblemError, match=r"no memtorch.*Mend it with: make setup"):
        convert(small())


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(6, 6, 3, groups=2), r"\(Conv2d\): groups=2"),
        (nn.Conv3d(6, 6, 3, groups=3), r"\(Conv3d\): groups=3"),
        (nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular"), r"\(Conv2d\): padding_mode='circular'"),
        (nn.LSTM(6, 6), r"\(LSTM\): it holds weight_ih_l0"),
        (nn.Linear(6, 6).double(), r"\(Linear\): its weights are torch.float64"),
    ],
    ids=["groups", "3d groups", "padding_mode", "LSTM", "double"],
)
def test_a_layer_that_cannot_be_converted_is_named(layer: nn.Module, reason: str) -> None:
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ModuleDict({"odd": layer}))
    with pytest.raises(UnsupportedError, match=rf"1\.odd {reason}"):
        convert(model)
    kept = convert(model, TILED.replace(keep_digital=("1",)))
    assert memristive(kept) == ["0"]


def test_a_sample_finds_a_layer_that_is_never_called() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = of_linear(6, 6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    assert memristive(convert(Idle())) == ["used", "idle"]
    with pytest.raises(UnsupportedError, match=r"idle \(Linear\): the network never calls it"):
        convert(Idle(), sample=torch.rand(2, 6))
    with pytest.raises(UnsupportedError, match=r"used \(Linear\): its input has shape \(2, 3, 6\)"):
        convert(Idle(), sample=torch.rand(2, 3, 6))


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 2, 9), nn.Conv2d(1, 2, (1, 10)), nn.Conv2d(1, 2, 5, dilation=2)], ids=str)
@pytest.mark.parametrize("conversion", [TILED, EXACT], ids=["tiled", "exact"])
def test_a_kernel_larger_than_the_tuning_noise_is_refused(
    layer: nn.Module, conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In C++ it would divide by zero and end the process."""
    monkeypatch.setattr(Kernel, "product", lambda *_: pytest.fail("the kernel was called"))
    with pytest.raises(UnsupportedError, match=r"does not fit tuning noise of 8"):
        convert(nn.Sequential(layer), conversion.replace(tuning=Tuning(conv_size=8)))


# --- effects -----------------------------------------------------------------------------------------------------------------


def test_effects_act_in_their_measure() -> None:
    ideal, worn = convert(small(), TILED), convert(small(), WORN)
    stuck = convert(small(), Profile(name="s", source="", conversion=TILED, nonidealities=(DeviceFaults(hrs_proportion=1.0),)))
    for name in memristive(ideal):
        one, other, last = (network.get_submodule(name) for network in (ideal, worn, stuck))
        moved = (one.conductance != other.conductance)[:, one.tiling.real()]
        assert moved.float().mean() > 0.9  # drift moves all
        assert torch.equal(last.conductance, last.conductance_min.expand_as(last.conductance))
    assert not torch.equal(ideal(images()), worn(images()))


def test_an_effect_that_does_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.engines.vectorized.VectorizedNetwork.apply", lambda self, effect, seed: None)
    with pytest.raises(EffectDidNothingError, match="device_faults"):
        convert(small(), WORN)


# --- workers -----------------------------------------------------------------------------------------------------------------

# Warned of where a machine has one core, and by Python 3.12 wherever a process with threads is forked.
workers = pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*use of fork")


class Computed(Dataset[Tensor]):
    """Each item is what a memristive network makes of an image."""

    def __init__(self, network: nn.Module, inputs: Tensor) -> None:
        self.network, self.inputs = network, inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Tensor:
        with torch.inference_mode():
            return self.network(self.inputs[index : index + 1])[0].clone()


@workers
@pytest.mark.parametrize("kernel", ["auto", "torch"])
def test_workers_of_a_data_loader_may_run_it(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when forked from a process whose threads have run the kernel."""
    monkeypatch.setenv("MEMBENCH_KERNEL", kernel)
    network, x = convert(small(), "ideal"), images(8)
    dataset = Computed(network, x)
    with pinned_threads(2):
        network(x)
        wanted = torch.stack([dataset[index] for index in range(len(x))])
        loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=60)
        found = torch.cat(list(loader))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 if kernel == "auto" else 1e-2)


@workers
def test_a_spawned_worker_may_run_it() -> None:
    dataset = Computed(convert(small(), "ideal"), images(2))
    loader = DataLoader(dataset, num_workers=1, multiprocessing_context="spawn", timeout=60)
    if kernel_in_use() is not None:
        assert torch.equal(torch.cat(list(loader)), torch.stack([dataset[0], dataset[1]]))
