"""A study of many small points, whole in one file, and what of its records must be the same wherever they are measured."""

from __future__ import annotations

import json
from pathlib import Path

TEXT = """
from torch import nn

from membench import ADC, Case, Conversion, Knob, Study, Sweep, Thresholds
from membench.models import NETWORKS, Network, Recipe


def network(classes, shape):
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, stride=4, padding=2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * (height // 4) * (width // 4), classes),
    )


NETWORKS.add("crowd-tiny", Network("crowd-tiny", network, Recipe(epochs=1, mirror=False, shift=0)))


def turn(case, bits, rows):
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits), tile_shape=(rows, 8)))


STUDY = Study(
    name="crowd", title="A crowd of points", description="To see what becomes of them.",
    bases={{"A": Case(name="crowd", dataset="mnist5k", network="{network}", conversion=Conversion(max_input_voltage=6.0),
                     thresholds=Thresholds(max_loss_points=100.0), seeds=tuple(range({seeds})), images={images})}},
    sweeps=(Sweep("crowd", "Crowd", (Knob(name="bits", label="bits", values=tuple(range(2, 2 + {bits}))),
                                     Knob(name="rows", label="rows", values=tuple(range(8, 8 + {rows})))), turn, kind="table"),),
)
"""


def declare(
    folder: Path, *, bits: int = 10, rows: int = 10, seeds: int = 5, images: int = 200, network: str = "crowd-tiny"
) -> Path:
    """A file that declares bits x rows cases of `seeds` seeds: 500 points unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "crowd.py"
    file.write_text(TEXT.format(bits=bits, rows=rows, seeds=seeds, images=images, network=network), encoding="utf-8")
    return file


def records(store: Path) -> dict[str, str]:
    """Every record of a store by its fingerprint, without times, machine and date."""
    return {file.stem: json.dumps(_lasting(json.loads(file.read_text()))) for file in (store / "records").glob("*.json")}


def _lasting(record: dict[str, object]) -> dict[str, object]:
    costs = record.pop("costs")
    assert isinstance(costs, dict)
    del record["provenance"]
    return {**record, "threads": costs["threads"], "batch_sizes": costs["batch_sizes"]}
