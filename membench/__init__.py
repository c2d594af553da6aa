"""membench: the benchmark suite for memristive deep learning.

A case declares a data set, a network, a conversion and non-idealities; `run_case` measures what accuracy the network loses
there and what simulating it costs. Declaring a case imports neither torch nor MemTorch; running one does.
"""

from __future__ import annotations

from typing import Any

from membench.case import ADC, DAC, Case, Conversion, InputScaling, Scheme, Thresholds, Tuning, UnusualOrderWarning
from membench.devices import VTEAM, DataDriven, DataDriven2021, LinearIonDrift, StanfordPKU
from membench.errors import MembenchError
from membench.nonidealities import (
    ConductanceDrift,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Retention,
    Variability,
    WriteVerify,
)
from membench.profiles import STUDY_DEVICE, Profile, profile
from membench.study import Knob, Quick, Recommendation, Study, Sweep
from membench.version import __version__

__all__ = [
    "ADC",
    "DAC",
    "STUDY_DEVICE",
    "VTEAM",
    "Case",
    "ConductanceDrift",
    "Conversion",
    "DataDriven",
    "DataDriven2021",
    "DeviceFaults",
    "Endurance",
    "FiniteConductanceStates",
    "InputScaling",
    "Knob",
    "LineResistance",
    "LinearIonDrift",
    "MembenchError",
    "NonLinear",
    "Profile",
    "ProgrammingError",
    "Quick",
    "ReadNoise",
    "Recommendation",
    "Retention",
    "Scheme",
    "StanfordPKU",
    "Study",
    "Sweep",
    "Thresholds",
    "Tuning",
    "UnusualOrderWarning",
    "Variability",
    "WriteVerify",
    "__version__",
    "convert",
    "profile",
    "run_case",
]


def __getattr__(name: str) -> Any:
    if name == "run_case":  # these import torch, which declaring a case must not
        from membench.pipeline import run_case

        return run_case
    if name == "convert":
        from membench.conversion import convert

        return convert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
