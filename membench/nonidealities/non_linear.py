"""Non-linear I-V: a device's current is not proportional to its voltage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from membench.devices import CurrentLaw, Device, LookUp, Sinh
from membench.effect import Crossbar, Proof, ReadEffect, Reading
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Integer, Number, Positive


class NonLinear(ReadEffect):
    """A device of conductance g carries g h(v) at v volts, with one h for all: in all models offered, conductance and voltage are
    separate factors, so that the law acts on the word lines' voltages before the product.

    MemTorch's NonLinear builds a look-up table of each device and never uses it, or steps every device in Python for hours
    (simulate=True), so there is no mode that is compatible with it (docs/deviations.md).

    Attributes:
        law: `device`: the device model's own current law (Stanford-PKU and the data-driven models have one; VTEAM and linear ion
            drift are ohmic); `sinh`: h(v) = scale sinh(v / scale), which is v at low voltages; `table`: as measured.
        scale: of `sinh`, in volts.
        voltages: of `table`, in volts, rising. They must reach as far as max_input_voltage, in both directions.
        currents: of `table`: through a device of 1 S, in amperes; linear in between.
        look_up: read the law from a table of so many points, evenly spaced over +-max_input_voltage, as a simulator's look-up table
            does; None: exactly.
    """

    kind: Literal["non_linear"] = "non_linear"
    law: Literal["device", "sinh", "table"] = "device"
    scale: Positive | None = None
    voltages: Annotated[tuple[Number, ...], Field(min_length=2)] | None = None
    currents: Annotated[tuple[Number, ...], Field(min_length=2)] | None = None
    look_up: Annotated[Integer, Field(ge=2, le=65_536)] | None = None

    @model_validator(mode="after")
    def _law_is_whole(self) -> Self:
        if (self.scale is not None) != (self.law == "sinh"):
            raise InputError("NonLinear: scale, in volts, belongs to law='sinh', and must be given there.")
        given = self.voltages is not None, self.currents is not None
        if given != ((True, True) if self.law == "table" else (False, False)):
            raise InputError("NonLinear: voltages and currents belong to law='table', and must both be given there.")
        if self.voltages is not None and self.currents is not None:
            if len(self.voltages) != len(self.currents):
                raise InputError(f"NonLinear: {len(self.voltages)} voltages, but {len(self.currents)} currents.")
            if any(a >= b for a, b in zip(self.voltages, self.voltages[1:], strict=False)):
                raise InputError("NonLinear: voltages must rise, each once.")
            if self.look_up is not None:
                raise InputError("NonLinear: law='table' is a look-up already; leave look_up out.")
            if np.allclose(self.currents, self.voltages, rtol=1e-9):
                raise InputError("NonLinear: the table says that current is voltage: nothing would be non-linear.")
        return self

    def unfit(self, device: Device, max_input_voltage: float | None) -> str:
        if self.law == "device" and device.law is None:
            return f"the current of {device.kind} is ohmic; take law='sinh' or 'table', or another device"
        if (self.look_up is not None or self.law == "table") and max_input_voltage is None:
            return "a table ends somewhere, so max_input_voltage must be set"
        if self.voltages is not None and max_input_voltage is not None:
            reach = min(-self.voltages[0], self.voltages[-1])
            if reach < max_input_voltage:
                return f"its table reaches +-{reach:g} V, max_input_voltage is {max_input_voltage:g} V"
        if self.law == "table" and (rest := float(np.interp(0.0, self.voltages or (), self.currents or ()))):
            return f"its table has a current of {rest:g} A at 0 V, where no device carries one"
        return ""

    def current_law(self, device: Device, max_input_voltage: float | None) -> CurrentLaw | None:
        if self.voltages is not None and self.currents is not None:
            return LookUp(self.voltages, self.currents)
        law = Sinh(self.scale, self.scale) if self.scale is not None else device.law
        if self.look_up is None or law is None or max_input_voltage is None:
            return law
        points = np.linspace(-max_input_voltage, max_input_voltage, self.look_up)
        return LookUp(tuple(points.tolist()), tuple(np.asarray(law(points)).tolist()))

    def check_reading(self, crossbars: Sequence[Crossbar], before: Sequence[Reading], after: Sequence[Reading]) -> Proof:
        """The currents must be those of the law, to single precision and as far as noise of the reads lets it be seen."""
        changes = []
        for old, new in zip(before, after, strict=True):
            law = self.current_law(crossbars[0].device, old.max_input_voltage)
            assert law is not None  # `unfit` has refused that
            expected, found = law(old.voltages) @ new.conductance, new.currents.mean(axis=0)
            plain = old.voltages @ new.conductance
            noise = 6 * new.currents.std(axis=0) / np.sqrt(len(new.currents))
            wrong = np.abs(found - expected) > 1e-4 * np.abs(expected).max() + noise
            if wrong.any():
                raise EffectDidNothingError(
                    f"non_linear: {int(wrong.sum())} of {wrong.size} currents of {new.layer!r} are not those of the law."
                )
            changes.append(np.abs(found - plain).mean() / np.abs(plain).mean())
        if max(changes) < 1e-6:
            raise EffectDidNothingError(
                "non_linear: the law changes no current by more than a millionth at these voltages: nothing is non-linear here."
            )
        devices = sum(int(bar.real.sum()) for bar in crossbars)
        return Proof(
            effect=self.kind,
            devices=devices,
            moved=devices,
            mean_change=float(np.mean(changes)),
            details={"largest_change": float(max(changes))},
        )
