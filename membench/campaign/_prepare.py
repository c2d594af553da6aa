"""A study as a list of cases to measure: every one checked, and its networks found or trained, before the first is measured."""

from __future__ import annotations

import math
from pathlib import Path

from membench.campaign._cluster import Workers
from membench.campaign._kit import data_digest, packed, parts_of, setup_of
from membench.campaign._memory import Sizes, estimated
from membench.campaign._run import Campaign
from membench.campaign._store import Store
from membench.case import DEFAULT_ENGINE
from membench.datasets import DATASETS, check_images
from membench.engines import Batches
from membench.models import NETWORKS, Trained, check_fit, obtain_for
from membench.pipeline import Progress, usable
from membench.storage import check_writable
from membench.study import Study


def prepare(
    study: Study,
    folder: Path,
    engine: str = DEFAULT_ENGINE,
    *,
    quick: bool = False,
    workers: Workers | None = None,
    limit: float | None = None,
    declared_in: Path | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Campaign:
    """Check every case of a study, find or train its networks, and see what is measured already.

    Args:
        folder: where the study's records are kept.
        quick: the coarse study.
        workers: which measure; processes of this machine unless told otherwise.
        limit: seconds that a point may take before it is taken for hung; from its estimate unless given.
        declared_in: file that declares the study; workers run it too.
        data: where data sets are looked for; MEMBENCH_DATA, else the cache folder.
        progress: called while networks are trained.

    Raises:
        InputError, UnsupportedError: when any case cannot be run as declared; names the sweep and the setting.
        DataMissingError, EnvironmentProblemError: when this machine lacks something.
    """
    check_writable(folder, "--out")
    executor, _ = usable(engine)
    chosen = study.coarse() if quick else study
    info = chosen.described(engine, quick)
    cases = tuple({point.case.fingerprint: point.case for point in chosen.points()}.values())
    setups = {setup_of(case): case for case in cases}
    check_images(cases, data, read=True, label=lambda case: case.description)
    for base in setups.values():  # before a network is trained for any
        DATASETS.get(base.dataset).load("test", data)
        check_fit(NETWORKS.get(base.network), DATASETS.get(base.dataset))
    networks: dict[str, Trained] = {}
    memory: dict[str, int] = {}
    digests: dict[str, str] = {}
    for base in setups.values():
        dataset = DATASETS.get(base.dataset)
        test = dataset.load("test", data)
        alike = [case for case in cases if setup_of(case) == setup_of(base)]
        trained = obtain_for(base, root=data, progress=progress)
        networks[setup_of(base)] = trained
        sample = Batches.of(dataset.normalise(test.images[: base.images]), base.batch_size)
        parts = {part for case in alike for part in parts_of(case)}
        found = bool(dataset.found_on_reading)  # in the training part
        train = len(dataset.load("train", data)) if "train" in parts or found else 0
        for case in alike:
            reads = train if found or "train" in parts_of(case) else 0
            sizes = Sizes(len(test), reads, math.prod(dataset.shape), test.images.element_size())
            plan = executor.plan(trained.model, case.conversion, case.nonidealities, sample)
            memory[case.fingerprint] = estimated(case, plan, sizes, engine)
        digests |= {f"{dataset.name}/{part}": data_digest(dataset.name, part, data) for part in parts}
    kit = packed(declared_in, networks, digests)
    store = Store(folder)
    missing = tuple(case for case in cases if store.record(case.fingerprint, engine, kit.hashes[setup_of(case)]) is None)
    bases = {setup_of(base): base for base in chosen.bases.values()}
    return Campaign(info, store, cases, missing, engine, workers or Workers(), kit, bases, memory, limit, data)
