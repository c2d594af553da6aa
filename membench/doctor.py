"""What this machine has and lacks, with the command that mends each problem."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from membench.arrays import kernel_in_use, kernel_problem
from membench.datasets import DATASETS
from membench.engines import ENGINES
from membench.errors import MembenchError
from membench.measure.machine import processor, versions
from membench.models import NETWORKS, find_trained, shipped
from membench.storage import cache_dir, data_root
from membench.words import counted


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        found: what is the case.
        ok: whether it can be used.
        remedy: the command that mends it, or nothing.
        vital: whether nothing can be measured without it.
    """

    what: str
    found: str
    ok: bool = True
    remedy: str = ""
    vital: bool = False


def examine_machine() -> list[Finding]:
    """Look at versions, processor, compiler, folders, engines, data sets and weights."""
    return [*_versions(), *_machine(), *_folders(), *_engines(), *_kernel(), *_data(), *_weights()]


def healthy(findings: list[Finding]) -> bool:
    """Whether something can be measured: no vital thing is missing."""
    return not any(finding.vital and not finding.ok for finding in findings)


def _versions() -> Iterator[Finding]:
    for name, version in versions().items():
        if name != "memtorch-cpu":  # the engine speaks for it
            yield Finding(name, version, version != "absent", "" if version != "absent" else f"pip install {name}", vital=True)


def _machine() -> Iterator[Finding]:
    yield Finding("processor", f"{processor()}, {counted(os.cpu_count() or 1, 'core')}")
    yield Finding("torch threads", f"{torch.get_num_threads()} (1 while measuring, unless told otherwise)")
    yield Finding("CUDA", torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the CPU is used")
    compiler = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    if compiler is None:
        yield Finding("C++ compiler", "none", False, "apt-get install g++ (to compile MemTorch and membench's kernel, once)")
    else:
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout.splitlines()[:1]
        yield Finding("C++ compiler", f"{compiler}: {''.join(version)}")


def _folders() -> Iterator[Finding]:
    for what, folder, variable in (("cache", cache_dir(), "MEMBENCH_CACHE"), ("data", data_root(), "MEMBENCH_DATA")):
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        writable = existing.is_dir() and os.access(existing, os.W_OK)
        vital = what == "cache"
        remedy = "" if writable or not vital else f"export {variable}=/a/folder/that/can/be/written"
        note = "" if writable else " (cannot be written)"
        yield Finding(f"{what} folder", f"{folder}{note}", writable or not vital, remedy, vital)


def _engines() -> Iterator[Finding]:
    for engine in ENGINES:
        problem = engine.problem()
        if problem is None:
            yield Finding(f"engine {engine.name}", engine.version(), vital=not engine.optional)
        else:
            yield Finding(f"engine {engine.name}", problem.reason, False, problem.remedy, vital=not engine.optional)


def _kernel() -> Iterator[Finding]:
    kernel, reason = kernel_in_use(), kernel_problem()
    if kernel is None:
        remedy = "apt-get install g++; unset MEMBENCH_KERNEL (slower without, same results but for rounding)"
        yield Finding("kernel", f"plain torch is used: {reason}", False, remedy)
    else:
        built = f", compiled now in {kernel.build_seconds:.1f} s" if kernel.build_seconds else ""
        yield Finding("kernel", f"C++, {kernel.path}{built}")


def _data() -> Iterator[Finding]:
    for data in DATASETS:
        try:
            test = data.load("test")
            yield Finding(f"data {data.name}", f"{data.locate()}: {len(test)} test images", vital=data.name == "mnist5k")
        except MembenchError as error:
            yield Finding(f"data {data.name}", str(error).splitlines()[0], False, data.remedy, vital=data.name == "mnist5k")


def _weights() -> Iterator[Finding]:
    try:
        cards = [card for network in NETWORKS for card in shipped(network.name)]
    except MembenchError as error:
        yield Finding("weights", str(error).splitlines()[0], False, "pip install --force-reinstall membench")
        return
    for card in cards:
        what = f"weights {card.network} on {card.dataset}"
        try:
            found = find_trained(NETWORKS.get(card.network), DATASETS.get(card.dataset))
        except MembenchError as error:
            yield Finding(what, str(error).splitlines()[0], False, "pip install --force-reinstall membench")
            continue
        if found is not None and found.card == card:
            yield Finding(what, f"{100 * card.accuracy:.2f} % of {card.test_images} test images; shipped")
        else:
            reason = "the shipped ones do not fit: other test images, or another network or normalisation, than they were trained with"
            yield Finding(what, reason, found is not None, "" if found else f"membench train {card.network} {card.dataset}")
