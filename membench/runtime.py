"""Randomness and threads: under the case's control while it runs, given back as they were found."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


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
    """Run torch's operations on `threads` threads: how many there are moves the last bits of a sum, and all times."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
