"""The estimate of memory against peaks of whole processes, and what becomes of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import make_case, needs_data

from membench import ADC, Case, Conversion, DeviceFaults, ReadNoise, Variability
from membench.campaign import Workers
from membench.campaign._memory import Sizes, estimated
from membench.datasets import DATASETS
from membench.engines import ENGINES
from membench.errors import InputError
from membench.models import NETWORKS, obtain

EFFECTS = (Variability(r_on_sigma=5.0, r_off_sigma=100.0), DeviceFaults(hrs_proportion=0.02), ReadNoise(sigma=0.01))
HARD = Conversion(tile_shape=(128, 128), adc=ADC(bits=8, range="calibrated"), max_input_voltage=6.0)
PLAIN = Conversion(tile_shape=(64, 64), adc=ADC(bits=8), max_input_voltage=6.0)
CASES = {
    "few": make_case(network="vgg-mnist", images=100, conversion=PLAIN),
    "calibrated": make_case(network="vgg-mnist", images=100, conversion=HARD, nonidealities=EFFECTS),
    "colour": make_case(dataset="cifar10", network="vgg-cifar10", images=100, conversion=PLAIN),
    "wide": make_case(
        dataset="cifar10", network="vgg-cifar10", images=200, batch_size=200, conversion=PLAIN, nonidealities=EFFECTS
    ),
}
PEAK = """
import sys
from membench.campaign import _flights
from membench import Case, run_case
from membench.tracking import peak_bytes
run_case(Case.from_json(sys.argv[1], "case"))
print(peak_bytes())
"""


def estimate(case: Case) -> int:
    dataset = DATASETS.get(case.dataset)
    test = dataset.load("test")
    train = len(dataset.load("train")) if "calibrated" in str(case.conversion.adc) else 0
    model = obtain(NETWORKS.get(case.network), dataset).model
    plan = ENGINES.get("vectorized").plan(model, case.conversion, case.nonidealities, dataset.normalise(test.images[:2]))
    channels, height, width = dataset.shape
    return estimated(case, plan, Sizes(len(test), train, channels * height * width), "vectorized")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=needs_data("cifar10") if n in ("colour", "wide") else ()) for n in CASES]
)
def test_the_estimate_is_above_the_peak_and_not_far_above(name: str) -> None:
    case = CASES[name]
    said = subprocess.run([sys.executable, "-c", PEAK, case.model_dump_json()], capture_output=True, text=True, check=True)
    peak = json.loads(said.stdout.splitlines()[-1])
    assert peak <= estimate(case) <= 1.6 * peak


def test_floats_take_four_times_the_room_of_bytes_while_they_are_read() -> None:
    case = CASES["few"]
    model = obtain(NETWORKS.get(case.network), DATASETS.get("mnist5k")).model
    plan = ENGINES.get("vectorized").plan(model, case.conversion, case.nonidealities, None)
    small, large = (estimated(case, plan, Sizes(1_000, 5_000, 784, value), "vectorized") for value in (1, 4))
    assert large - small == 3 * 4 * 6_000 * 784


def test_more_of_anything_needs_more() -> None:
    few = estimate(CASES["few"])
    for changes in ({"images": 1000}, {"batch_size": 100}, {"nonidealities": EFFECTS}, {"conversion": HARD}):
        assert estimate(CASES["few"].replace(**changes)) > few


def test_a_machine_starts_as_many_workers_as_fit_into_its_memory() -> None:
    gib = 2**30
    eight = Workers(count=8, memory=16 * gib)
    assert eight.here(0) == eight.here(gib) == 8
    assert eight.here(3 * gib) == 4  # nine tenths of 16 GiB, over 3
    assert eight.here(100 * gib) == 1


def test_threads_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert (
        Workers().here(0),
        Workers(threads=3).here(0),
        Workers(threads=16).here(0),
        Workers(count=5, threads=3).here(0),
    ) == (8, 2, 1, 5)


def test_options_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="exclude each other"):
        Workers(scheduler="tcp://x:1", cluster=__file__)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--workers counts the processes of this machine"):
        Workers(scheduler="tcp://x:1", count=2)
