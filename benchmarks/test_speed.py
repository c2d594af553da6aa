"""How fast the fast engine is, as ratios measured in one run: against the digital network and against MemTorch. `make speed`

Times on one machine are noisy and on two machines incomparable, so each goal is a ratio, the two sides of a ratio take turns, and
what counts is the median of the ratios turn by turn. Timings are deselected unless asked for with `-m speed`, so that the accuracy
gate stays quick; they run on `--membench-threads`. Where pytest-benchmark is off (`--benchmark-disable`, xdist), everything runs
once and no goal is judged.
"""

from __future__ import annotations

import csv
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tabulate import tabulate
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
    WriteVerify,
)
from membench.arrays import MemristiveLayer, kernel_in_use
from membench.arrays.layer import CHUNK_BYTES
from membench.datasets import DATASETS
from membench.effect import Effect, ReadEffect
from membench.engines import ENGINES, Converted
from membench.errors import DataMissingError
from membench.measure.machine import provenance
from membench.measure.memory import PeakMemory
from membench.models import NETWORKS, obtain
from membench.runtime import derive_seed, pinned_threads
from membench.words import counted

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.speed

# The goals. Against MemTorch: at least so many times faster. Against the digital network: at most so many times its time.
FASTER_INFERENCE = {"mnist5k": 600.0, "cifar10": 400.0}
FASTER_CONVERSION = {"mnist5k": 200.0, "cifar10": 200.0}
SLOWER_THAN_DIGITAL = {"64x64, 8 bit": 1.6, "8x8, 8 bit": 6.0, "64x64, no ADC": 1.1, "no tiles, no ADC": 1.1}
SLOWER_THAN_IDEAL = 2.0  # inference with an effect, against that without: at most so many times its time
APPLIED_SECONDS = 1.0  # an effect, with its proof
MEMORY_CONDUCTANCES = 4  # peak over the digital run: at most so many times the bytes of the conductances, and one chunk
STEEPEST = 1.1  # exponent of time against size: 1 is linear

NETWORK = {"mnist5k": "vgg-mnist", "cifar10": "vgg-cifar10"}
MIV = {"mnist5k": 6.0, "cifar10": 9.0}  # volts
UNSCALED = 9.0  # volts that no input of these images exceeds: without an ADC, an image that is scaled costs a pass of its own
SETTINGS: dict[str, dict[str, Any]] = {
    "64x64, 8 bit": {"tile_shape": (64, 64), "adc": ADC(bits=8)},
    "8x8, 8 bit": {"tile_shape": (8, 8), "adc": ADC(bits=8)},
    "64x64, no ADC": {"tile_shape": (64, 64)},
    "no tiles, no ADC": {},
}
RECOMMENDED = "64x64, 8 bit"
BATCH, WARMUP = 20, 5
ROUNDS, FEW_ROUNDS, MEMTORCH_ROUNDS = 100, 15, 3
MIB = 2**20


@dataclass(frozen=True)
class Work:
    """A trained network and a batch of its images."""

    data: str
    model: nn.Module
    images: Tensor

    def conversion(self, setting: str) -> Conversion:
        limit = MIV[self.data] if "adc" in SETTINGS[setting] else UNSCALED
        return Conversion(device=STUDY_DEVICE, max_input_voltage=limit, **SETTINGS[setting])

    def convert(self, engine: str, setting: str) -> Converted:
        """Planned, converted and tuned."""
        executor, conversion = ENGINES.get(engine), self.conversion(setting)
        plan = executor.plan(self.model, conversion, (), self.images[:2])
        converted = executor.convert(
            self.model, conversion, plan, (), derive_seed(0, "devices"), lambda what, done, total: None
        )
        assert conversion.tuning is not None
        converted.tune(conversion.tuning, derive_seed(0, "tuning"))
        return converted

    def digital(self) -> Tensor:
        """The yardstick: the network itself on the same batch."""
        with torch.inference_mode():
            return torch.as_tensor(self.model(self.images))


@dataclass(frozen=True)
class Turns:
    """Seconds of two pieces of work that took turns: those of the same index ran one right after the other."""

    mine: list[float]
    yardstick: list[float]

    def ratios(self) -> list[float]:
        """How many times longer mine took, turn by turn."""
        return [mine / yardstick for mine, yardstick in zip(self.mine, self.yardstick, strict=True)]


@dataclass
class Report:
    """What was measured: a pytest plugin, for the table in the terminal's summary."""

    threads: int
    rows: list[tuple[str, ...]] = field(default_factory=list)
    layers: list[tuple[str, ...]] = field(default_factory=list)
    points: list[tuple[str, int, float, float]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    HEADS = ("what", "median", "middle half", "goal", "verdict")
    LAYER_HEADS = ("network", "layer", "word x bit lines", "digital, ms", "memristive, ms", "ratio")
    POINT_HEADS = ("axis", "size", "memristive_s", "digital_s")

    def note(self, what: str, measured: str, spread: str = "") -> None:
        """A row without a goal."""
        self.rows.append((what, measured, spread, "", ""))

    def judge(
        self,
        benchmark: BenchmarkFixture,
        what: str,
        values: list[float],
        limit: float,
        *,
        unit: str = "x",
        least: bool = False,
        **information: object,
    ) -> None:
        """A row with a goal; the test fails unless the median of `values` meets it. `information` goes into the JSON."""
        if not benchmark.enabled:
            return
        measured = statistics.median(values)
        met = measured >= limit if least else measured <= limit
        told = f"{measured:.3g} {unit}".strip()
        goal = f"{'>=' if least else '<='} {limit:.3g} {unit}".strip()
        spread = "{:.3g} - {:.3g}".format(*np.percentile(values, [25, 75])) if len(values) > 2 else ""
        self.rows.append((what, told, spread, goal, "met" if met else "MISSED"))
        benchmark.extra_info.update(
            what=what, ratio=measured, goal=goal, met=met, threads=self.threads, batch=BATCH, **information
        )
        if not met:
            pytest.fail(f"{what}: {told}; the goal is {goal}", pytrace=False)

    def write(self, folder: Path) -> None:
        """The tables as Markdown, and how cost grows as a figure and its numbers."""
        if not self.rows:
            return
        folder.mkdir(parents=True, exist_ok=True)
        found = provenance()
        parts = ["# Speed", ", ".join(f"{name} {value}" for name, value in found.machine.items())]
        parts[1] += f"; {counted(self.threads, 'thread')}, batches of {BATCH}; torch {found.versions['torch']}; {found.created}"
        parts += [tabulate(self.rows, headers=self.HEADS, tablefmt="github", disable_numparse=True)]
        parts += [f"Not measured: {reason}" for reason in self.missing.values()]
        if self.layers:
            parts += [f"## Where the time goes ({RECOMMENDED})"]
            parts += [tabulate(self.layers, headers=self.LAYER_HEADS, tablefmt="github", disable_numparse=True)]
        if self.points:
            parts += ["## How cost grows", "![time against size](scaling.png)", "The points: [scaling.csv](scaling.csv)."]
            with (folder / "scaling.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([self.POINT_HEADS, *self.points])
            _plot(self.points, folder / "scaling.png")
        (folder / "speed.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.rows:
            terminalreporter.section(f"membench: speed, {counted(self.threads, 'thread')}, batches of {BATCH}")
            terminalreporter.write_line(tabulate(self.rows, headers=self.HEADS, disable_numparse=True))
        if self.layers:
            terminalreporter.write_line("")
            terminalreporter.write_line(tabulate(self.layers, headers=self.LAYER_HEADS, disable_numparse=True))
        for reason in self.missing.values():
            terminalreporter.write_line(f"WARNING: not timed: {reason}", yellow=True)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Iterator[Report]:
    report = Report(pytestconfig.getoption("membench_threads"))
    pytestconfig.pluginmanager.register(report, "membench-speed")
    yield report
    report.write(pytestconfig.rootpath / "reports" / "speed")


@pytest.fixture(scope="module", autouse=True)
def _threads(report: Report) -> Iterator[None]:
    with pinned_threads(report.threads):
        yield


@pytest.fixture(scope="module", params=list(NETWORK))
def work(request: pytest.FixtureRequest, report: Report) -> Work:
    if (problem := ENGINES.get("vectorized").problem()) is not None:
        pytest.skip(f"{problem.reason}; {problem.remedy}")
    dataset = DATASETS.get(request.param)
    try:
        test = dataset.load("test", None)
    except DataMissingError as error:
        report.missing[request.param] = str(error)
        pytest.skip(str(error))
    model = obtain(NETWORKS.get(NETWORK[request.param]), dataset).model
    return Work(request.param, model, dataset.normalise(test.images[:BATCH]))


def timed(function: Callable[[], object]) -> float:
    before = time.perf_counter()
    function()
    return time.perf_counter() - before


def take_turns(
    benchmark: BenchmarkFixture, mine: Callable[[], object], yardstick: Callable[[], object], rounds: int, warmup: int = WARMUP
) -> Turns:
    """Time two pieces of work in turns; pytest-benchmark times mine too. The first turns warm caches and allocators."""
    turns = Turns([], [])
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: turns.mine.append(timed(mine)),
        setup=lambda: turns.yardstick.append(timed(yardstick)),
        rounds=rounds,
        warmup_rounds=warmup,
    )
    return Turns(turns.mine[-rounds:], turns.yardstick[-rounds:])


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_inference_against_the_digital_network(benchmark: BenchmarkFixture, work: Work, setting: str, report: Report) -> None:
    converted = work.convert("vectorized", setting)
    turns = take_turns(benchmark, lambda: converted.infer(work.images), work.digital, ROUNDS)
    benchmark.group = "inference, a batch"
    case = work.conversion(setting).model_dump(mode="json")
    what = f"inference, {work.data}, {setting}: time against digital"
    report.judge(benchmark, what, turns.ratios(), SLOWER_THAN_DIGITAL[setting], case=case, data=work.data)


def test_inference_in_plain_torch(
    benchmark: BenchmarkFixture, work: Work, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine without a compiler has to bear."""
    monkeypatch.setenv("MEMBENCH_KERNEL", "torch")
    converted = work.convert("vectorized", RECOMMENDED)
    turns = take_turns(benchmark, lambda: converted.infer(work.images), work.digital, FEW_ROUNDS)
    benchmark.group = "inference, a batch"
    if benchmark.enabled:
        ratio = statistics.median(turns.ratios())
        benchmark.extra_info.update(ratio=ratio)
        report.note(f"inference, {work.data}, {RECOMMENDED}, MEMBENCH_KERNEL=torch: time against digital", f"{ratio:.3g} x")


EFFECTS: dict[str, Effect] = {
    "finite states": FiniteConductanceStates(states=16),
    "programming error": ProgrammingError(sigma=0.05),
    "write-verify": ProgrammingError(sigma=0.05, write_verify=WriteVerify(tolerance=0.02, attempts=20)),
    "faults": DeviceFaults(lrs_proportion=0.01, hrs_proportion=0.05),
    "drift": ConductanceDrift(time=100.0, coefficient_sigma=0.05),
    "read noise": ReadNoise(sigma=0.05),
    "line resistance": LineResistance(line_resistance=1.0, source_resistance=10.0),
    "sinh": NonLinear(law="sinh", scale=5.0),
    "sinh, look-up": NonLinear(law="sinh", scale=5.0, look_up=256),
}
NO_GOAL = {"line resistance": "applied", "sinh": "infer", "sinh, look-up": "infer"}  # these cost what they cost


@pytest.mark.parametrize("name", list(EFFECTS))
def test_an_effect(benchmark: BenchmarkFixture, work: Work, name: str, report: Report) -> None:
    """What it costs to apply an effect and to prove it, and what inference costs afterwards."""
    ideal, converted = (work.convert("vectorized", RECOMMENDED) for _ in range(2))
    effect = EFFECTS[name]
    if isinstance(effect, NonLinear):  # its look-up ends at the input limit, which was not said to the effect by a case
        assert not effect.unfit(STUDY_DEVICE, MIV[work.data])
    start = time.perf_counter()
    before = converted.crossbars()
    if isinstance(effect, ReadEffect):
        read = converted.readings()
        converted.apply(effect, 0)
        effect.check_reading(before, read, converted.readings())
    else:
        converted.apply(effect, 0)
        effect.prove(before, converted.crossbars())
    seconds = time.perf_counter() - start
    turns = take_turns(benchmark, lambda: converted.infer(work.images), lambda: ideal.infer(work.images), ROUNDS)
    benchmark.group = "inference with an effect, a batch"
    applied, cost = f"{name}, {work.data}: applied and proven", f"{name}, {work.data}: inference against ideal"
    free = NO_GOAL.get(name)
    if free == "infer":
        report.note(cost, f"{statistics.median(turns.ratios()):.3g} x")
        report.judge(benchmark, applied, [seconds], APPLIED_SECONDS, unit="s")
        return
    if free == "applied":
        report.note(applied, f"{seconds:.3g} s")
    else:
        report.judge(benchmark, applied, [seconds], APPLIED_SECONDS, unit="s")
    report.judge(benchmark, cost, turns.ratios(), SLOWER_THAN_IDEAL)


HARDWARE: dict[str, dict[str, Any]] = {
    "fixed ADC range": {"adc": ADC(bits=8, range=1e-3)},
    "8-bit DAC": {"dac": DAC(bits=8)},
    "scale undone at 1 V": {"max_input_voltage": 1.0, "scaling": InputScaling(undone=True)},
}


@pytest.mark.parametrize("name", list(HARDWARE))
def test_hardware(benchmark: BenchmarkFixture, work: Work, name: str, report: Report) -> None:
    """What converters and scaling cost that MemTorch does not have."""
    engine, conversion = ENGINES.get("vectorized"), work.conversion(RECOMMENDED).replace(**HARDWARE[name])
    plan = engine.plan(work.model, conversion, (), work.images[:2])
    ideal = work.convert("vectorized", RECOMMENDED)
    converted = engine.convert(work.model, conversion, plan, (), derive_seed(0, "devices"), lambda what, done, total: None)
    turns = take_turns(benchmark, lambda: converted.infer(work.images), lambda: ideal.infer(work.images), ROUNDS)
    benchmark.group = "inference with an effect, a batch"
    report.judge(benchmark, f"{name}, {work.data}: inference against ideal", turns.ratios(), SLOWER_THAN_IDEAL)


class TestAgainstMemTorch:
    """MemTorch's network takes up to a minute to make and millions of Python objects: made once, and given up after the class."""

    @pytest.fixture(scope="class")
    @staticmethod
    def native(work: Work) -> Iterator[tuple[Converted, float]]:
        """MemTorch's network, and how long conversion and tuning took."""
        before = time.perf_counter()
        converted = work.convert("memtorch", RECOMMENDED)
        seconds = time.perf_counter() - before
        gc.collect()
        gc.freeze()  # the collector would walk through its objects while the fast engine is timed
        yield converted, seconds
        gc.unfreeze()

    def test_conversion(self, benchmark: BenchmarkFixture, work: Work, native: tuple[Converted, float], report: Report) -> None:
        seconds = native[1]
        turns = take_turns(benchmark, lambda: work.convert("vectorized", RECOMMENDED), lambda: None, FEW_ROUNDS, warmup=2)
        benchmark.group = "conversion and tuning"
        report.judge(
            benchmark,
            f"conversion and tuning, {work.data}: faster than MemTorch ({seconds:.1f} s)",
            [seconds / mine for mine in turns.mine],
            FASTER_CONVERSION[work.data],
            least=True,
            memtorch_seconds=seconds,
            case=work.conversion(RECOMMENDED).model_dump(mode="json"),
            data=work.data,
        )

    def test_inference(self, benchmark: BenchmarkFixture, work: Work, native: tuple[Converted, float], report: Report) -> None:
        """MemTorch takes seconds a batch, so a few turns will do; in each, the fast engine has a few calls, and their median counts."""
        converted = work.convert("vectorized", RECOMMENDED)
        fast: list[float] = []

        def several() -> None:
            fast.append(statistics.median([timed(lambda: converted.infer(work.images)) for _ in range(2 * WARMUP)]))

        several()
        fast.clear()
        turns = take_turns(benchmark, several, lambda: native[0].infer(work.images), MEMTORCH_ROUNDS, warmup=0)
        benchmark.group = f"inference, {2 * WARMUP} batches"
        per_image = statistics.median(turns.yardstick) / BATCH
        report.judge(
            benchmark,
            f"inference, {work.data}, {RECOMMENDED}: faster than MemTorch ({1e3 * per_image:.0f} ms an image)",
            [slow / quick for slow, quick in zip(turns.yardstick, fast, strict=True)],
            FASTER_INFERENCE[work.data],
            least=True,
            memtorch_seconds_an_image=per_image,
            case=work.conversion(RECOMMENDED).model_dump(mode="json"),
            data=work.data,
        )


def test_where_the_time_goes(work: Work, report: Report) -> None:
    """Layer by layer, inside both networks: for who wants to make it faster. No goal."""
    converted = work.convert("vectorized", RECOMMENDED).network
    assert isinstance(work.model, nn.Sequential)
    assert isinstance(converted, nn.Sequential)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name, _ in work.model.named_children()}
    with torch.inference_mode():
        for turn in range(WARMUP + ROUNDS // 2):
            for side, network in enumerate((work.model, converted)):
                x = work.images
                for name, layer in network.named_children():
                    before = time.perf_counter()
                    x = layer(x)
                    if turn >= WARMUP:
                        times[name][side].append(time.perf_counter() - before)
    digital, mine = ({name: 1e3 * statistics.median(both[side]) for name, both in times.items()} for side in (0, 1))

    def row(layer: str, size: str, names: list[str]) -> None:
        before, after = sum(digital[name] for name in names), sum(mine[name] for name in names)
        report.layers.append((work.data, layer, size, f"{before:.3f}", f"{after:.3f}", f"{after / before:.2f}"))

    memristive = {name: layer for name, layer in converted.named_children() if isinstance(layer, MemristiveLayer)}
    for name, layer in memristive.items():
        row(f"{name} {layer.kind}", f"{layer.tiling.rows} x {layer.tiling.columns}", [name])
    row("the layers that stay digital", "", [name for name in times if name not in memristive])
    row("all", "", list(times))


def test_memory_and_first_call(benchmark: BenchmarkFixture, work: Work, report: Report, tmp_path: Path) -> None:
    """In a process of its own with an empty cache, so that the kernel is compiled and no freed memory is there to be used again."""
    torch.save(work.images, tmp_path / "images.pt")
    command = [sys.executable, __file__, work.data, str(report.threads), str(tmp_path / "images.pt")]
    environment = {**os.environ, "MEMBENCH_CACHE": str(tmp_path / "cache"), "PYTHONWARNINGS": "ignore"}
    done = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: subprocess.run(command, capture_output=True, text=True, env=environment, check=False), rounds=1
    )
    benchmark.group = "a fresh process"
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    limit = MEMORY_CONDUCTANCES * found["conductances"] + CHUNK_BYTES
    if benchmark.enabled and found["build"] and not any("first call" in row[0] for row in report.rows):
        report.note("first call on a machine: compiling the kernel", f"{found['build']:.2f} s")
    what = f"peak memory over the digital run, {work.data} (conductances: {found['conductances'] / MIB:.1f} MiB)"
    report.judge(benchmark, what, [found["peak"] / MIB], limit / MIB, unit="MiB", data=work.data, **found)


def _memory(data: str, threads: int, images: str) -> None:
    """What `test_memory_and_first_call` runs in a process of its own: prints a line of JSON."""
    torch.set_num_threads(threads)
    kernel, linear = kernel_in_use(), nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    Work("mnist5k", linear, torch.rand(BATCH, 1, 2, 2)).convert("vectorized", RECOMMENDED).infer(torch.rand(BATCH, 1, 2, 2))
    work = Work(data, obtain(NETWORKS.get(NETWORK[data]), DATASETS.get(data)).model, torch.load(images))
    for _ in range(WARMUP):  # imports, thread pools and what the digital run takes are not the converted network's
        work.digital()
    with PeakMemory() as sampled:
        before = _resident("VmRSS")
        if before:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
        for _ in range(10):  # what one conversion leaves behind shows in the next
            converted = work.convert("vectorized", RECOMMENDED)
            converted.infer(work.images)
            layers = converted.layers
            del converted
        peak = _resident("VmHWM") - before
    conductances = 4 * sum(layer.devices for layer in layers)
    print(json.dumps({"peak": peak or sampled.bytes, "conductances": conductances, "build": kernel and kernel.build_seconds}))


def _resident(name: str) -> int:
    """A line of /proc/self/status in bytes; 0 on systems without it, where memory is sampled instead."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


# How cost grows: of a convolution of 3x3 with 8-bit ADCs, each size against the digital layer.
AXES: dict[str, tuple[str, tuple[int, ...], Callable[[int], tuple[int, int, int, int]]]] = {
    # (images, input channels, output channels, tile size)
    "images": ("images in a batch", (1, 4, 16, 64, 128, 256, 512), lambda n: (n, 32, 32, 64)),
    "channels": ("input channels", (8, 16, 32, 64, 128, 256), lambda n: (BATCH, n, 64, 64)),
    "tiles": ("tiles of the layer", (256, 128, 64, 32, 16, 8), lambda n: (BATCH, 128, 128, n)),
}


@pytest.mark.parametrize("axis", list(AXES))
def test_cost_is_linear(benchmark: BenchmarkFixture, axis: str, report: Report) -> None:
    """The exponent is that of the larger sizes, where fixed costs do not flatter it."""
    _, sizes, of = AXES[axis]
    generator = torch.Generator().manual_seed(0)
    work: dict[int, tuple[MemristiveLayer, nn.Module, Tensor]] = {}
    for size in sizes:
        images, inputs, outputs, tile = of(size)
        digital = nn.Conv2d(inputs, outputs, 3, padding=1)
        layer = MemristiveLayer(digital, Conversion(device=STUDY_DEVICE, tile_shape=(tile, tile), adc=ADC(bits=8)))
        low, high = STUDY_DEVICE.conductance_range
        shape = layer.tiling.rows, layer.tiling.columns
        layer.program([low + (high - low) * torch.rand(shape, generator=generator) for _ in range(2)])
        amount = layer.tiling.counts[0] * layer.tiling.counts[1] if axis == "tiles" else size
        work[amount] = layer, digital, torch.rand(images, inputs, 16, 16, generator=generator)
    seconds: dict[int, tuple[list[float], list[float]]] = {amount: ([], []) for amount in work}

    def once() -> None:
        for amount, (layer, digital, x) in work.items():
            seconds[amount][0].append(timed(lambda: layer(x)))  # noqa: B023 - called at once
            seconds[amount][1].append(timed(lambda: digital(x)))  # noqa: B023 - called at once

    with torch.inference_mode():
        benchmark.pedantic(once, rounds=FEW_ROUNDS, warmup_rounds=2)  # type: ignore[no-untyped-call]
    benchmark.group = "all sizes"
    points: list[tuple[str, int, float, float]] = []
    for amount, (mine, digital_times) in sorted(seconds.items()):
        points.append((axis, amount, statistics.median(mine[-FEW_ROUNDS:]), statistics.median(digital_times[-FEW_ROUNDS:])))
    if benchmark.enabled:
        report.points += points
    large = points[len(points) // 2 - 1 :]
    exponent = float(np.polyfit(np.log([p[1] for p in large]), np.log([p[2] for p in large]), 1)[0])
    told = f"time against {AXES[axis][0]}: exponent from {large[0][1]} to {large[-1][1]}"
    report.judge(benchmark, told, [exponent], STEEPEST, unit="", points=points)


def _plot(points: list[tuple[str, int, float, float]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    axes_measured = list(dict.fromkeys(point[0] for point in points))
    figure, panels = pyplot.subplots(
        1, len(axes_measured), figsize=(4 * len(axes_measured), 3.4), layout="constrained", squeeze=False
    )
    for panel, axis in zip(panels[0], axes_measured, strict=True):
        sizes = [point[1] for point in points if point[0] == axis]
        mine = [1e3 * point[2] for point in points if point[0] == axis]
        digital = [1e3 * point[3] for point in points if point[0] == axis]
        panel.loglog(sizes, mine, "ko-", label="memristive, 8-bit ADC")
        panel.loglog(sizes, digital, "ks--", markerfacecolor="white", label="digital")
        panel.loglog(sizes, [mine[-1] * size / sizes[-1] for size in sizes], "k:", linewidth=1, label="linear")
        panel.set_xlabel(AXES[axis][0])
        panel.set_ylabel("time of a forward pass, ms")
        panel.legend(fontsize=8)
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    _memory(sys.argv[1], int(sys.argv[2]), sys.argv[3])
