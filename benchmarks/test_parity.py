"""The canary: the fast engine against MemTorch itself, on two images of a few cases that together use all that it does."""

from collections.abc import Callable

import pytest

CANARY = ("mnist5k-tile-none", "mnist5k-variability", "mnist5k-ideal", "mnist5k-aged", "cifar10-tile-none")


@pytest.mark.parametrize("name", CANARY, ids="parity-of-{}".format)
def test_parity(name: str, membench_parity: Callable[[str], None]) -> None:
    membench_parity(name)
