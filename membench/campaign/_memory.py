"""How much memory the process that measures a point needs: an estimate from the plan, on the safe side.

Measured peaks of whole processes, with the estimate for each: docs/cluster.md. The factors were fitted to these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from membench.arrays.tiles import Tiling
from membench.case import Case, Scheme
from membench.engines import Plan

_PROCESS = 1_000 * 2**20  # Python with torch, pandas and Dask, a small data set read, kernels compiled
_READING = 4  # an image of the data set, while it is decoded and joined with the others, per byte
_ANSWERS = 48  # an image that is measured: as floats, and what its batches leave between what is kept, per value
_DEVICE = 24  # a device: its conductance and bounds, copied for each proof
_MEMTORCH = 600  # one of MemTorch's Python objects
_CALIBRATION = 8  # times the inputs of a layer while its ADC's range is found


@dataclass(frozen=True)
class Sizes:
    """How many images of a data set are read here, and how large one is.

    Attributes:
        test: test images.
        train: training images; 0 where they are not read.
        image: values in an image: channels times height times width.
        value: bytes of a value: 1 of uint8 images, 4 of float32.
    """

    test: int
    train: int
    image: int
    value: int = 1


def estimated(case: Case, plan: Plan, sizes: Sizes, engine: str) -> int:
    """Bytes of resident memory that a process reaches while it measures one point of a case.

    Args:
        plan: of the case, with how many vectors an image puts through each layer.
        sizes: of its data set.
        engine: that executes it.
    """
    conversion, adc = case.conversion, case.conversion.adc
    calibrated = adc is not None and adc.range == "calibrated"
    crossbars = 2 if conversion.scheme is Scheme.DOUBLE_COLUMN else 1
    devices = inputs = 0
    for layer in plan.layers:
        columns = layer.weight.shape[0]
        rows = layer.weight.numel() // columns
        devices += crossbars * math.prod(Tiling(rows, columns, conversion.tile_shape).shape)
        inputs = max(inputs, 4 * (layer.reads or 1) * (rows + columns))  # bytes of one image, in the widest layer
    return (
        _PROCESS
        + _READING * (sizes.test + sizes.train) * sizes.image * sizes.value
        + _ANSWERS * case.images * sizes.image
        + _DEVICE * devices * (1 + len(case.nonidealities))
        + (_MEMTORCH * devices if engine == "memtorch" else 0)
        + case.batch_size * inputs
        + (_CALIBRATION * adc.calibration_images * inputs if adc is not None and calibrated else 0)
    )
