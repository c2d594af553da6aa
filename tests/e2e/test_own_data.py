"""A user's own data in every command: run, explain, list, the gate, and a study whose workers find the data themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import own_data
import pytest
from repository import GATE
from typer.testing import CliRunner

from membench.campaign import State, Workers, prepare
from membench.cli import app
from membench.datasets import DATASETS
from membench.errors import InputError
from membench.models import NETWORKS
from membench.record import Record, load
from membench.study import load_study

DECLARED = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import own_data
import torch
from torch import nn
from torch.utils.data import TensorDataset
from membench import ADC, Case, Conversion, DeviceFaults, Knob, Study, Sweep, Thresholds
from membench.datasets import DATASETS, arrays, image_folder, npz, torch_dataset
from membench.models import NETWORKS, Network, Recipe

def signal(classes, shape):
    channels, length = shape
    return nn.Sequential(nn.Conv1d(channels, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * ((length - 2) // 3), classes))

def image(classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))

recipe = Recipe(epochs=4, batch_size=20, max_lr=0.05, shift=0, mirror=False)
NETWORKS.add("own-signal", Network("own-signal", signal, recipe))
NETWORKS.add("own-image", Network("own-image", image, recipe))
DATASETS.add("own-npz", npz({place!r} + "/own.npz"))
DATASETS.add("own-folder", image_folder({place!r} + "/images", test_fraction=0.25))
x, y = own_data.signals(120, (1, 30)), own_data.labels(120)
DATASETS.add("own-arrays", arrays(x[:80], y[:80], x[80:], y[80:]))
DATASETS.add("own-torch", torch_dataset(TensorDataset(torch.tensor(x), torch.tensor(y)), test_fraction=0.25))
SETS = {{"own-npz": "own-signal", "own-folder": "own-image", "own-arrays": "own-signal", "own-torch": "own-signal"}}
CASES = [
    Case(name=name, dataset=name, network=network, conversion=Conversion(adc=ADC(bits=8), max_input_voltage=3.0, tile_shape=(8, 8)),
         nonidealities=(DeviceFaults(hrs_proportion=0.05),), thresholds=Thresholds(max_loss_points=60.0), seeds=(0,), images={images})
    for name, network in SETS.items()
]

def bits(case, bits):
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits)))

STUDY = Study(name="own", title="Own", description="For tests.", bases={{case.name: case for case in CASES}},
              sweeps=(Sweep("adc", "ADC", (Knob(name="bits", label="bit", values=(8,)),), bits),))
"""
NAMES = ("own-npz", "own-folder", "own-arrays", "own-torch")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Four data sets, one of each kind, and a case for each."""
    x, y = own_data.signals(120), own_data.labels(120)
    np.savez(tmp_path / "own.npz", x_train=x[:80], y_train=y[:80], x_test=x[80:], y_test=y[80:])
    own_data.write_folder(tmp_path / "images", own_data.pixels(120))
    declare(tmp_path, 30)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for registry, names in ((DATASETS, NAMES), (NETWORKS, ("own-signal", "own-image"))):
        for name in names:
            registry._items.pop(name, None)  # type: ignore[attr-defined]
            registry._files.pop(name, None)


def declare(place: Path, images: int) -> None:
    (place / "benchmarks" / "cases").mkdir(parents=True, exist_ok=True)
    text = DECLARED.format(tests=str(Path(__file__).parents[1]), place=str(place), images=images)
    (place / "benchmarks" / "cases" / "mine.py").write_text(text)
    (place / "benchmarks" / "test_accuracy.py").write_text(GATE)


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    said = f"{result.stdout}\n{result.stderr}"
    return result.exit_code, said if isinstance(result.exception, SystemExit | None) else f"{said}\n{result.exception}"


def test_run_accept_and_run_again(repository: Path) -> None:
    code, said = call("run", *NAMES)
    assert (code, said.count("NO_BASELINE")) == (1, 8)
    assert call("baseline", "update", "--all", "--reason", "measured for this test")[0] == 0
    code, said = call("run", *NAMES)
    assert (code, said.count(" PASS")) == (0, 4), said


def test_signals_are_explained_layer_by_layer(repository: Path) -> None:
    code, said = call("explain", "own-npz", "--images", "20")
    assert code == 0, said
    assert "Conv1d" in said
    assert "device_faults(hrs_proportion=0.05)" in said


def test_more_images_than_there_are_are_refused_once_for_all_cases(repository: Path) -> None:
    """The arrays say how many there are when the suite is listed; the others when the first of them is measured."""
    declare(repository, 1_000)
    listed, said = call("list")
    assert (listed, "'own-arrays' has 40, and own-arrays (1000) asks for more: set images=40 there" in said) == (1, True)
    code, said = call("run", *NAMES)
    assert code == 1
    for name, number in (("own-npz", 40), ("own-folder", 30), ("own-arrays", 40), ("own-torch", 30)):
        assert f"the data set '{name}' has {number}, and {name} (1000) asks for more: set images={number} there" in said
    assert not list(repository.rglob("*.safetensors"))


def gate(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("benchmarks", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)


@pytest.mark.parametrize("strict", [(), ("--membench-gate",)])
def test_the_gate_refuses_them_once_before_it_measures(
    strict: tuple[str, ...], pytester: pytest.Pytester, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(pytester.path, 1_000)
    for name in ("own.npz", "images"):
        (pytester.path / name).symlink_to(repository / name)
    monkeypatch.chdir(pytester.path)
    result = gate(pytester, *strict, "--membench-case", "own-npz", "--membench-case", "own-folder")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = f"{result.stdout}\n{result.stderr}"
    assert said.count("Cases ask for more test images than there are") == 1
    assert "'own-folder' has 30, and own-folder (1000) asks for more" in said
    assert "'own-npz' has 40, and own-npz (1000) asks for more" in said


def test_the_gate_is_green_and_skips_what_is_not_there(
    pytester: pytest.Pytester, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(pytester.path, 30)
    (pytester.path / "own.npz").symlink_to(repository / "own.npz")
    monkeypatch.chdir(pytester.path)
    cases = str(pytester.path / "benchmarks" / "cases")
    assert call("baseline", "update", "own-npz", "own-arrays", "--reason", "measured for this test", "--cases", cases)[0] == 0
    chosen = [word for name in ("own-npz", "own-arrays", "own-folder") for word in ("--membench-case", name)]
    result = gate(pytester, "--membench-allow-skip", "-rs", *chosen)
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*own-folder was not found: there is no {pytester.path}/images*"])


def test_a_study_refuses_them_once_before_it_trains(repository: Path) -> None:
    declare(repository, 1_000)
    file = repository / "benchmarks" / "cases" / "mine.py"
    with pytest.raises(InputError) as caught:
        prepare(load_study(str(file)), repository / "out", declared_in=file)
    for name, number in (("own-npz", 40), ("own-folder", 30), ("own-arrays", 40), ("own-torch", 30)):
        assert f"'{name}' has {number}, and adc: bits=8 (1000) asks for more: set images={number} there" in str(caught.value)


def test_a_study_refuses_a_network_that_does_not_fit_before_it_trains_another(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_CACHE", str(repository / "cache"))
    file = repository / "benchmarks" / "cases" / "mine.py"
    file.write_text(file.read_text().replace('"own-torch": "own-signal"', '"own-torch": "own-image"'))
    with pytest.raises(
        InputError, match=r"Network 'own-image' on data set 'own-torch' .* failed: IndexError: tuple index out of range"
    ):
        prepare(load_study(str(file)), repository / "out", declared_in=file)
    assert not list(repository.rglob("*.safetensors"))


@pytest.mark.slow
def test_a_study_runs_on_workers_that_find_the_data_themselves(repository: Path, workers: Workers) -> None:
    file = repository / "benchmarks" / "cases" / "mine.py"
    campaign = prepare(load_study(str(file)), repository / "out", workers=workers, declared_in=file)
    states: list[State] = []
    assert campaign.run(states.append).done == len(NAMES), dict(states[-1].failures)
    found = [load(Record, one) for one in (repository / "out" / "records").iterdir()]
    assert {record.case.dataset for record in found} == set(NAMES)
    assert all(record.measured.digital_accuracy > 0.5 for record in found)
