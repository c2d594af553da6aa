"""Whether the noise that layers are tuned on fits them."""

from __future__ import annotations

from membench.arrays.geometry import Geometry
from membench.case import Tuning
from membench.engines._layers import Plan
from membench.errors import InputError, UnsupportedError


def check_tuning(plan: Plan, tuning: Tuning | None) -> None:
    """Raise UnsupportedError, with the layer's name, where its kernel is larger than the noise images."""
    for layer in plan.layers:
        if tuning is not None and layer.kind != "Linear":
            size = tuning.conv_size
            geometry = Geometry.of(layer.module)
            try:
                geometry.out([size] * geometry.dimensions)
            except InputError as error:
                raise UnsupportedError(
                    f"{layer.name}: its kernel of {geometry.kernel} does not fit tuning noise of {size}: raise Tuning.conv_size."
                ) from error
