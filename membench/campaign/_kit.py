"""What a worker needs beside the case: the file that declares it, weights, and which data are meant. Sent to each worker once.

Code and weights that come with membench are not sent, nor are data: they are found on the worker by name, and must have the
client's hash.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from membench.case import Case
from membench.datasets import DATASETS, Part
from membench.declared import import_source
from membench.errors import DataMissingError, EnvironmentProblemError
from membench.models import NETWORKS, Trained, other_function, read, shipped_file, write_weights
from membench.pipeline import Grounds
from membench.registry import hold_names, yield_names
from membench.storage import cache_dir, canonical_json, read_whole, sha256
from membench.version import __version__

HANDED_S = 20.0  # how long a worker waits for a kit that is not there yet


def setup_of(case: Case) -> str:
    """Network, data set, and the file of weights where the case names one: what cases of the same weights share."""
    return f"{case.network} on {case.dataset}{f' with {case.weights}' if case.weights else ''}"


def data_digest(dataset: str, part: Part, root: Path | None) -> str:
    """One hash for the images and classes of a part of a data set, whatever their order."""
    return DATASETS.get(dataset).load(part, root).labelled_digest


def parts_of(case: Case) -> tuple[Part, ...]:
    """The parts of its data set that a case reads."""
    adc = case.conversion.adc
    return ("test", "train") if adc is not None and adc.range == "calibrated" else ("test",)


@dataclass(frozen=True)
class Weights:
    """The files of trained weights that do not come with membench.

    Attributes:
        setup: whose they are (`setup_of`).
        name: of the file on workers.
        data: its content.
        card: content of the card beside it.
    """

    setup: str
    name: str
    data: bytes
    card: bytes


@dataclass(frozen=True)
class Kit:
    """What a study's workers need.

    Attributes:
        sources: files that declare networks, data sets or effects, by their path on the client.
        hashes: of the weights of each network on each data set (`setup_of`).
        weights: those that workers cannot have.
        data: of each part of each data set, its digest.
        version: of membench.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__

    @cached_property
    def digest(self) -> str:
        parts = [
            dict(self.sources),
            dict(self.hashes),
            [[item.name, sha256(item.card)] for item in self.weights],
            dict(self.data),
            self.version,
        ]
        return sha256(canonical_json(parts))


def packed(declared_in: Path | None, trained: Mapping[str, Trained], data: Mapping[str, str]) -> Kit:
    """The kit of a study.

    Args:
        declared_in: the file that declares it.
        trained: its networks, by `setup_of`.
        data: digests, by "data set/part".
    """
    sources = {} if declared_in is None else {str(declared_in): declared_in.read_text(encoding="utf-8")}
    own = tuple(
        Weights(setup, f"{sha256(setup.encode())[:16]}.safetensors", *_files(one.file))
        for setup, one in trained.items()
        if not one.shipped
    )
    return Kit(sources, {setup: one.card.sha256 for setup, one in trained.items()}, own, data)


def _files(file: Path) -> tuple[bytes, bytes]:
    return file.read_bytes(), file.with_suffix(".json").read_bytes()


class KitPlugin(WorkerPlugin):
    """Hands a kit to each worker that there is and that will come."""

    idempotent = True

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.name = f"membench-{kit.digest[:16]}"

    def setup(self, worker: Any) -> None:
        """Unpacking waits for the first point, where what goes wrong is told with it."""
        _HERE.setdefault(self.kit.digest, Unpacked(self.kit))


class Unpacked:
    """A kit on a worker, and what its process keeps from point to point."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.grounds = Grounds()
        self.folder = cache_dir() / "fetched" / kit.digest[:16]
        self._checked: set[str] = set()

    def open(self) -> None:
        """Import what the client declared, and put its weights where they are found.

        Again where another kit was opened since: it may have declared something else under the same names.
        """
        global _OPEN
        if _OPEN is self:
            return
        if self.kit.version != __version__:
            raise EnvironmentProblemError(
                f"This worker has membench {__version__}, and the client {self.kit.version}. Install the same on both."
            )
        if _OPEN is not None:
            _OPEN.grounds = Grounds()  # what it kept for its next point would stay for good
            yield_names(_OPEN.kit.sources)
        hold_names(self.kit.sources)
        for path, source in self.kit.sources.items():
            import_source(source, Path(path))
        for item in self.kit.weights:
            file = self.folder / item.name
            if (read_whole(file), read_whole(file.with_suffix(".json"))) != (item.data, item.card):
                write_weights(file, item.data, item.card)
        _OPEN = self

    def check(self, case: Case, root: Path | None) -> None:
        """Refuse to measure with other weights, or on other images, than the client means.

        Raises:
            DataMissingError: when the data set is not here.
            EnvironmentProblemError: when weights or data are not those of the client.
        """
        for part in parts_of(case):
            name = f"{case.dataset}/{part}"
            if name not in self._checked:
                if data_digest(case.dataset, part, root) != self.kit.data[name]:
                    raise DataMissingError(
                        f"The {part} images of {case.dataset} on this worker are not the client's: their digests differ. Get the same "
                        f"data: {DATASETS.get(case.dataset).remedy}"
                    )
                self._checked.add(name)
        setup = setup_of(case)
        if setup not in self._checked:
            self.trained(case)
            self._checked.add(setup)

    def trained(self, case: Case) -> Trained:
        """The digital network of a case, with the client's weights.

        Raises:
            EnvironmentProblemError: when they are not here, or the network computes something else with them than on the client.
        """
        setup = setup_of(case)
        network, dataset = NETWORKS.get(case.network), DATASETS.get(case.dataset)
        sent = next((self.folder / item.name for item in self.kit.weights if item.setup == setup), None)
        found = read(sent or shipped_file(network, dataset), network, dataset)
        if found is None or found.card.sha256 != self.kit.hashes[setup]:
            there = f"has {found.card.sha256[:12]} ({found.file})" if found else "has none"
            raise EnvironmentProblemError(
                f"The weights of {setup} are not the client's, which have the hash {self.kit.hashes[setup][:12]}; this worker {there}. "
                "Install the same membench on both."
            )
        if reason := other_function(found, dataset):
            raise EnvironmentProblemError(f"{setup}: on this worker, {reason}. Install the same code on both.")
        return found


_HERE: dict[str, Unpacked] = {}
_OPEN: Unpacked | None = None


def unpacked(digest: str) -> Unpacked:
    """The kit that this worker was handed, opened.

    Raises:
        EnvironmentProblemError: when it was not, or does not fit this worker.
    """
    end = time.monotonic() + HANDED_S
    while digest not in _HERE and time.monotonic() < end:  # another client may be handing it out
        time.sleep(0.1)
    if digest not in _HERE:
        raise EnvironmentProblemError("This worker was not handed what the client declared. Start the worker anew.")
    kit = _HERE[digest]
    kit.open()
    return kit
