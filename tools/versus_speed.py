#!/usr/bin/env python3
"""How fast is each simulator, against the digital network? Timed in turns in one run, so that all see the same machine.

    python tools/versus_speed.py [--rounds 30] [--threads 1] [--out reports/versus]

64 x 64 tiles, batches of 20; without an ADC, and with 8-bit ADCs of a calibrated range. Exit code 1 when the engine `vectorized` is
not faster than every other simulator with an ADC.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from threadpoolctl import threadpool_limits
from torch import Tensor

from membench.case import ADC, Conversion
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.engines import ENGINES
from membench.errors import DataMissingError, UnsupportedError
from membench.measure.machine import processor
from membench.models import NETWORKS, obtain
from membench.profiles import STUDY_DEVICE
from membench.runtime import pinned_threads
from membench.storage import canonical_json, write_atomically
from membench.versus import default_engines
from membench.words import counted

BATCH = 20
WARM = 3
NETWORK = {"mnist5k": "vgg-mnist", "cifar10": "vgg-cifar10"}
EXACT = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64))
SETTINGS = {"no ADC": EXACT, "8-bit ADC": EXACT.replace(adc=ADC(bits=8, range="calibrated"))}
FASTEST = "vectorized"


@dataclass(frozen=True)
class Row:
    """One engine on one network with one setting.

    Attributes:
        ratios: its time over the digital network's, turn by turn.
        milliseconds: of an image, median.
        convert: seconds of conversion, tuning and calibration.
    """

    data: str
    setting: str
    engine: str
    ratios: tuple[float, ...]
    milliseconds: float
    convert: float

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measured(data: str, rounds: int) -> list[Row]:
    """All engines and settings on one network, in turns: in each, the digital network and every engine once."""
    dataset = DATASETS.get(data)
    test = dataset.load("test")
    order = balanced_order(test, 0)
    images = dataset.normalise(test.take(order[:BATCH]).images)
    train = dataset.load("train")
    sample = dataset.normalise(train.take(balanced_order(train, 0)[:64]).images)
    model = obtain(NETWORKS.get(NETWORK[data]), dataset).model
    rows = []
    for setting, conversion in SETTINGS.items():
        networks: dict[str, Callable[[Tensor], Tensor]] = {"digital": model}
        convert = {"digital": 0.0}
        for name in default_engines():
            engine = ENGINES.get(name)
            if engine.problem() is not None:
                continue
            try:
                plan = engine.plan(model, conversion, (), images[:2])
            except UnsupportedError:
                continue
            clock = Clock()
            made, _ = fabricate(engine, model, plan, conversion, (), 0, lambda *_: None, clock, sample)
            networks[name], convert[name] = made.infer, sum(clock.seconds.values())
        rows += [
            Row(data, setting, name, tuple(mine / digital for mine, digital in zip(times, turns["digital"], strict=True)),
                1e3 * statistics.median(times) / BATCH, convert[name])
            for turns in [in_turns(networks, images, rounds)]
            for name, times in turns.items()
        ]  # fmt: skip
    return rows


def in_turns(networks: dict[str, Callable[[Tensor], Tensor]], images: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of each network in each turn."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for turn in range(WARM + rounds):
            for name, network in networks.items():
                taken = seconds(lambda: network(images))  # noqa: B023 - called at once
                if turn >= WARM:
                    times[name].append(taken)
    return times


def slower(rows: list[Row]) -> list[str]:
    """Where another simulator with an ADC is as fast as `vectorized`, or faster."""
    of = {(row.data, row.setting, row.engine): row.ratio for row in rows}
    return [
        f"{row.engine} takes {row.ratio:.3g} x digital on {row.data}, {FASTEST} {of[row.data, row.setting, FASTEST]:.3g} x"
        for row in rows
        if "ADC" in row.setting
        and row.setting != "no ADC"
        and row.engine not in ("digital", FASTEST)
        and row.ratio <= of[row.data, row.setting, FASTEST]
    ]


def table(rows: list[Row]) -> str:
    cells = [
        (row.data, row.setting, row.engine, f"{row.milliseconds:.3f}", f"{row.ratio:.2f}",
         "{:.2f} - {:.2f}".format(*row.quartiles), f"{row.convert:.2f}")
        for row in rows
    ]  # fmt: skip
    headers = ("data", "setting", "engine", "ms/image", "x digital", "quartiles", "convert, s")
    return tabulate(cells, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--out", type=Path, default=Path("reports/versus"))
    given = arguments.parse_args()
    rows: list[Row] = []
    with pinned_threads(given.threads), threadpool_limits(given.threads):  # the second: numpy's BLAS, which CrossSim uses
        for data in NETWORK:
            try:
                rows += measured(data, given.rounds)
            except DataMissingError as error:
                print(f"{data} is left out: {str(error).splitlines()[0]}", file=sys.stderr)
    said = f"{processor()}, {counted(given.threads, 'thread')}, batches of {BATCH}, {given.rounds} turns, medians of the turns' ratios"
    print(f"{said}\n\n{table(rows)}")
    given.out.mkdir(parents=True, exist_ok=True)
    write_atomically(given.out / "speed.md", f"{said}\n\n{table(rows)}\n")
    content = {"machine": said, "rows": [{**vars(row), "ratio": row.ratio} for row in rows]}
    write_atomically(given.out / "speed.json", json.dumps(json.loads(canonical_json(content)), indent=2))
    for line in slower(rows):
        print(line, file=sys.stderr)
    return 1 if slower(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
