"""Where a run took place, and with which versions."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata

import psutil
import torch

from membench.arrays import kernel_in_use
from membench.record import Provenance
from membench.version import __version__

_PACKAGES = ("torch", "torchvision", "memtorch-cpu", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Of Python, membench and the packages that take part in a measurement; "absent" where one is not installed."""
    found = {"python": platform.python_version(), "membench": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def provenance(device: str = "cpu") -> Provenance:
    """Of a run on `device`, as torch names it."""
    return Provenance(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=versions(),
        machine={
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor(),
            "cores": str(os.cpu_count()),
            "kernel": "C++" if kernel_in_use() else "plain torch",
            "device": device if device == "cpu" else f"{device}: {torch.cuda.get_device_name(device)}",
            "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        },
    )
