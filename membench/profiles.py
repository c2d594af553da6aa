"""Named, reusable conversions with their non-idealities."""

from __future__ import annotations

from typing import Any

from membench.case import ADC, DAC, Case, Conversion, InputScaling
from membench.devices import VTEAM
from membench.effect import Effects
from membench.nonidealities import (
    ConductanceDrift,
    DeviceFaults,
    FiniteConductanceStates,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Variability,
    WriteVerify,
)
from membench.plain import Plain, Text
from membench.registry import Registry


class Profile(Plain):
    """A conversion plus non-idealities, under a name.

    Attributes:
        name: what it is called.
        source: where its numbers come from.
        conversion: how the network becomes memristive.
        nonidealities: effects, in order.
    """

    name: str
    source: Text
    conversion: Conversion
    nonidealities: Effects = ()

    def case(self, **fields: Any) -> Case:
        """A case of this profile; `fields` are the case's others, and may override the profile's."""
        return Case(**{"conversion": self.conversion, "nonidealities": self.nonidealities, **fields})


PROFILES: Registry[Profile] = Registry("profile")


def profile(name: str) -> Profile:
    """The profile of that name."""
    return PROFILES.get(name)


# The device of public MemTorch studies: r_on 14 kohm, r_off 50 Mohm (paper.md, "Sweep ranges").
STUDY_DEVICE = VTEAM(r_on=1.4e4, r_off=5e7)
_RECOMMENDED = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64), adc=ADC(bits=8), max_input_voltage=6.0)

for _profile in (
    Profile(
        name="exact",
        source="No tiles, no ADC, no input limit: what the mapping alone costs.",
        conversion=Conversion(device=STUDY_DEVICE),
    ),
    Profile(
        name="ideal",
        source="arXiv 2407.13410's recommendation: 64x64 tiles, 8-bit ADC, MIV 6 to 9 V, ideal devices.",
        conversion=_RECOMMENDED,
    ),
    Profile(
        name="variable",
        source="`ideal` with device-to-device variability; sigma of r_off 1e6 to 1e7 ohm is the range of public MemTorch studies.",
        conversion=_RECOMMENDED,
        nonidealities=(Variability(r_on_sigma=1.4e3, r_off_sigma=5e6),),
    ),
    Profile(
        name="faulty",
        source="`ideal` with 2 % of the devices stuck at LRS and 2 % at HRS; public MemTorch studies sweep 0 to 25 %.",
        conversion=_RECOMMENDED,
        nonidealities=(DeviceFaults(lrs_proportion=0.02, hrs_proportion=0.02),),
    ),
    Profile(
        name="chip",
        source="Every effect at once, at sizes reported for 1T1R arrays; converters of fixed ranges, input scales undone. membench's own.",
        conversion=_RECOMMENDED.replace(
            adc=ADC(bits=8, range="calibrated"), dac=DAC(bits=8), scaling=InputScaling(undone=True, per="image")
        ),
        nonidealities=(
            Variability(r_on_sigma=7e2, r_off_sigma=5e6),
            FiniteConductanceStates(states=64),
            ProgrammingError(sigma=0.02, relative_to="range", write_verify=WriteVerify(tolerance=0.02)),
            DeviceFaults(lrs_proportion=0.0005, hrs_proportion=0.005),
            ConductanceDrift(time=3600.0, coefficient=0.01, coefficient_sigma=0.005),
            LineResistance(line_resistance=1.0, source_resistance=10.0),
            NonLinear(law="sinh", scale=20.0),
            ReadNoise(sigma=0.02),
        ),
    ),
):
    PROFILES.add(_profile.name, _profile)
