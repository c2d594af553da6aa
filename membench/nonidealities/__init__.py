"""Non-idealities: one file an effect. A new effect is one new file here; it registers itself under its `kind`."""

from membench.nonidealities.conductance_drift import ConductanceDrift
from membench.nonidealities.device_faults import DeviceFaults
from membench.nonidealities.endurance import Endurance
from membench.nonidealities.retention import Retention
from membench.nonidealities.variability import Variability

__all__ = ["ConductanceDrift", "DeviceFaults", "Endurance", "Retention", "Variability"]
