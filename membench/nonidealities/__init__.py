"""Non-idealities: one file an effect. A new effect is one new file here; it registers itself under its `kind`."""

from membench.nonidealities.conductance_drift import ConductanceDrift
from membench.nonidealities.device_faults import DeviceFaults
from membench.nonidealities.endurance import Endurance
from membench.nonidealities.finite_conductance_states import FiniteConductanceStates
from membench.nonidealities.line_resistance import LineResistance
from membench.nonidealities.non_linear import NonLinear
from membench.nonidealities.programming_error import ProgrammingError, WriteVerify
from membench.nonidealities.read_noise import ReadNoise
from membench.nonidealities.retention import Retention
from membench.nonidealities.variability import Variability

__all__ = [
    "ConductanceDrift",
    "DeviceFaults",
    "Endurance",
    "FiniteConductanceStates",
    "LineResistance",
    "NonLinear",
    "ProgrammingError",
    "ReadNoise",
    "Retention",
    "Variability",
    "WriteVerify",
]
