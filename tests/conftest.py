"""Fixtures for all tests: a cache of their own, real data where they are, and a network small enough for MemTorch in a second."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import tiny  # noqa: F401 - registers the network of that name

from membench import Case, Conversion, Thresholds

if TYPE_CHECKING:
    from membench.campaign import Workers

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MEMBENCH_DATA") or ROOT.parent / "shared" / "data")

pytest_plugins = ["pytester"]

# The same examples in every run: what CI finds, a developer finds.
hypothesis.settings.register_profile("membench", derandomize=True, deadline=None)
hypothesis.settings.load_profile("membench")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that no other run sees, so that a test cannot pass on what an earlier one left."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMBENCH_CACHE", str(folder))
        patch.setenv("MEMBENCH_DATA", str(SHARED))
        yield folder


@pytest.fixture(scope="session")
def scheduler(own_cache: Path) -> Iterator[str]:
    """The address of a Dask scheduler with two workers, for all tests that kill none: to start one takes seconds."""
    from membench.campaign import Workers

    if not loopback():
        pytest.skip(NO_LOOPBACK)

    with Workers(count=2).opened() as client:
        assert client.scheduler is not None
        yield client.scheduler.address


@pytest.fixture
def workers(scheduler: str) -> Workers:
    """Two workers that other tests have used before."""
    from membench.campaign import Workers

    return Workers(scheduler=scheduler)


@pytest.fixture
def case() -> Case:
    """A case that MemTorch runs in about a second: the tiny network on mnist5k, untiled."""
    return make_case()


@pytest.fixture
def pair() -> tuple[Case, Case]:
    """Two cases, one of them on two seeds."""
    return make_case(name="one", seeds=(0, 1)), make_case(name="two", images=20)


def make_case(**changes: object) -> Case:
    """The small case of the fixture `case`, with other fields."""
    fields: dict[str, object] = {
        "name": "small",
        "dataset": "mnist5k",
        "network": "tiny",
        "conversion": Conversion(),
        "thresholds": Thresholds(max_loss_points=5.0),
        "seeds": (0,),
        "images": 40,
    }
    return Case(**{**fields, **changes})


@pytest.fixture
def small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files of MNIST and CIFAR that a test writes hold fewer test images than these data sets have."""
    from membench.datasets import DATASETS

    for name in ("mnist", "cifar10", "cifar100"):
        monkeypatch.setattr(type(DATASETS.get(name)), "test_images", None)


NO_LOOPBACK = "Dask talks to its workers over 127.0.0.1, and the loopback interface is down (ip link set lo up)"


@functools.cache
def loopback() -> bool:
    """Whether a process can talk to another one over 127.0.0.1; in a fresh network namespace (unshare -n) it cannot."""
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", 0))
            server.listen()
            socket.create_connection(server.getsockname(), timeout=5).close()
        except OSError:
            return False
    return True


needs_loopback = pytest.mark.skipif(not loopback(), reason=NO_LOOPBACK)


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skip where a data set that cannot be committed is not on this machine."""
    from membench.datasets import DATASETS

    return pytest.mark.skipif(
        DATASETS.get(name).find(SHARED) is None, reason=f"{name} is not below {SHARED}: set MEMBENCH_DATA"
    )
