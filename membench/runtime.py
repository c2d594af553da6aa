"""Randomness and threads: under the case's control while it runs, given back as they were found."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from membench.case import MOST_THREADS
from membench.errors import EnvironmentProblemError, InputError
from membench.words import brief, quoted


def derive_seed(root: int, *axes: str | int) -> int:
    """A seed for one axis of randomness: adding an axis, a layer or an effect moves no other one's.

    Args:
        root: the case's seed.
        axes: what draws, for example ("devices", "features.0").

    Returns:
        An integer in [0, 2^63).
    """
    text = "\0".join([str(root), *map(str, axes)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def legacy_generator(seed: int) -> np.random.RandomState:
    """numpy's generator as `np.random.seed` leaves the global one, which MemTorch draws from; its stream is frozen for good."""
    return np.random.RandomState(seed % 2**32)


_ALONE = threading.RLock()  # the generators are global: one thread at a time may have them


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's global generators, which MemTorch draws from, and restore their states afterwards."""
    with _ALONE:
        python, legacy, state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        errors = np.geterr()  # MemTorch's device simulations set all of numpy's errors to "raise"
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
            torch.random.set_rng_state(state)
            np.seterr(**errors)


@contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Run torch's operations on `threads` threads: how many there are moves the last bits of a sum, and all times.

    Raises:
        InputError: when `threads` is not between 1 and MOST_THREADS.
    """
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads: {quoted(threads)} torch threads are not possible. Allowed: 1 to {MOST_THREADS}.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Convolutions in single precision: cuDNN's default on a GPU is TF32, whose 10 bits of mantissa an 8-bit ADC would see."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def torch_device(name: str) -> torch.device:
    """A device by torch's name for it.

    Raises:
        InputError: when torch knows no such device, or nothing can be computed on it ("meta").
        EnvironmentProblemError: when it is not on this machine.
    """
    allowed = "Allowed: cpu, or a device that torch finds on this machine, such as cuda or cuda:1."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device {quoted(name)}: {brief(error)}. {allowed}") from error
    if device.type == "meta":
        raise InputError(f"The device {quoted(name)} holds no numbers, so nothing can be measured on it. {allowed}")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:  # torch without CUDA asserts; some devices are packages
        raise EnvironmentProblemError(f"The device {quoted(name)} cannot be used here: {brief(error)}. {allowed}") from error
    return device
