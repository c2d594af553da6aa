"""Every kind of file that membench reads: a valid example, how membench reads it, and which changed files are other valid ones.

A reader gives what was read, raises an error of membench, or gives None where a file is one that membench passes over (a cache
that is made anew). The pickles and tables of data sets are read by others' code, and their pixels may be any.
"""

from __future__ import annotations

import copy
import datetime
import functools
import io
import json
import math
import pickle
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rules
import tiny  # noqa: F401 - registers the network of that name
import torch
from mutations import Mutants, mutants_of_bytes, mutants_of_json, mutants_of_text
from PIL import Image
from records import make_baseline, make_record
from studies import write_study

from membench import ADC, Case, ConductanceDrift, Conversion, DeviceFaults, Thresholds
from membench.baselines import BaselineStore
from membench.campaign._store import Plan, PointError
from membench.datasets import DATASETS, Dataset, Split, image_folder, npz
from membench.datasets._contract import as_tensors, check_read
from membench.explanation import Culprit, Explanation, LayerBlame, Step
from membench.grace import load_known_failures
from membench.models import NETWORKS, Recipe, _folds, _weights, obtain
from membench.models._train import read_checkpoint, train
from membench.plain import Plain
from membench.record import Record, load, save
from membench.report.collected import collect
from membench.runtime import pinned_threads
from membench.statistics import Interval
from membench.study import StudyInfo, load_study
from membench.suite import load_suite

TODAY = datetime.date(2026, 11, 24)
MNIST5K, TINY = DATASETS.get("mnist5k"), NETWORKS.get("tiny")


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        files: a valid example, by path; others that must lie beside it among them.
        target: the one that is damaged.
        read: the content of a folder as membench reads it.
        fault: (valid, mutant, what was read) -> why the mutant is no other valid file; empty where it is one.
        mutants: of the valid bytes.
        fields: whether an error can name a field; else the file alone.
        tries: how many mutants the slow test draws.
        refused: how many different ones of these it finds refused, at least.
    """

    name: str
    files: Mapping[str, bytes]
    target: str
    read: Callable[[Path], object]
    fault: Callable[[bytes, bytes, Any], str]
    mutants: Callable[[bytes], Mutants] = mutants_of_json
    fields: bool = True
    tries: int = 1000
    refused: int = 800

    @property
    def valid(self) -> bytes:
        return self.files[self.target]

    def lay(self, folder: Path) -> Path:
        """Write the example; return its target."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / self.target


def _written(*items: tuple[str, Plain]) -> dict[str, bytes]:
    """Files as membench writes them."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: save(item, Path(folder) / name).read_bytes() for name, item in items}


def _in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def whole(item: Any) -> Any:
    """A model as plain data with every field, those that are not written at their neutral value among them."""
    if isinstance(item, Plain):
        return {name: whole(getattr(item, name)) for name in type(item).model_fields}
    if isinstance(item, dict):
        return {name: whole(part) for name, part in item.items()}
    if isinstance(item, tuple | list):
        return [whole(part) for part in item]
    return item.value if isinstance(item, Enum) else item


def of_json(checks: rules.Rules) -> Callable[[bytes, bytes, Any], str]:
    """For files that membench writes: the same structure, and other values only where these are free."""
    return lambda valid, mutant, read: rules.fault(valid, mutant, checks)


# ---- records, baselines, studies, explanations

EFFECTS = (DeviceFaults(lrs_proportion=0.1), ConductanceDrift(time=10.0))
CONVERSION = Conversion(tile_shape=(8, 4), adc=ADC(bits=6), max_input_voltage=3.0)


def record() -> Record:
    return make_record(
        engine="vectorized",
        images=5,
        batch_size=3,
        seeds=(4, 2),
        wrong={4: (0, 4), 2: (1,)},
        digital_wrong=(3,),
        nonidealities=EFFECTS,
        conversion=CONVERSION,
        description="For tests.",
    )


def _load_record(folder: Path) -> Record:
    return load(Record, folder / "record.json")


def _record() -> Format:
    return Format("record", _written(("record.json", record())), "record.json", _load_record, of_json(rules.RECORD))


def _not_finite() -> Format:
    """A record of logits that were not finite: NaN is text there."""
    broken = make_record(images=5, batch_size=3, broken=(0, 1), logit_error={0: (0.1, math.nan)})
    files = _written(("record.json", broken))
    checks = {
        **rules.RECORD,
        "measured.logit_error": rules.among("NaN"),
        "measured.seeds.0.batch_error_power.1": rules.among("NaN"),
    }

    def judge(valid: bytes, mutant: bytes, read: Any) -> str:
        return rules.fault(valid, mutant, checks, following=False)

    return Format("record of NaN", files, "record.json", _load_record, judge)


def _baseline() -> Format:
    files = _written(("vectorized/small.json", make_baseline(record())))
    checks = {
        "reason": rules.reason,
        "accepted": rules.moment,
        **{f"record.{path}": check for path, check in rules.RECORD.items() if path not in ("engine", "case.name")},
    }

    def judge(valid: bytes, mutant: bytes, read: Any) -> str:
        return rules.fault(_inner(valid), _inner(mutant), rules.RECORD) or rules.fault(valid, mutant, checks)

    return Format(
        "baseline", files, "vectorized/small.json", lambda folder: BaselineStore(folder).get("vectorized", "small"), judge
    )


def _inner(baseline: bytes) -> bytes:
    return json.dumps(rules.tree(baseline)["record"]).encode()


@functools.cache
def _study_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_study(Path(folder))
        return _in(Path(folder))


def _study_info() -> Format:
    files = _study_files()

    def judge(valid: bytes, mutant: bytes, read: Any) -> str:
        old, new = rules.tree(valid), rules.tree(mutant)
        if all(sweep in old["sweeps"] for sweep in new["sweeps"]):  # fewer of the questions, or in another order
            old["sweeps"] = new["sweeps"]
        return rules.fault(json.dumps(old).encode(), mutant, rules.STUDY) or rules.unread(
            new, json.loads(read.model_dump_json())
        )

    few = {"study.json": files["study.json"]}
    return Format("study", few, "study.json", lambda folder: load(StudyInfo, folder / "study.json"), judge)


def _study_record() -> Format:
    """A record in the folder of a study, as a report reads it: the name of its file must fit it."""
    files = _study_files()
    target = next(name for name in files if name.startswith("records/"))
    few = {"study.json": files["study.json"], target: files[target]}
    checks = {path: check for path, check in rules.RECORD.items() if path != "engine"}
    return Format("record of a study", few, target, collect, of_json(checks), tries=600, refused=480)


def _point_error() -> Format:
    item = PointError(
        fingerprint="c" * 64, case=record().case, engine="vectorized", reason="It failed.", tries=2, created="2026-01-02T03:04:05+00:00"
    )  # fmt: skip
    name = f"errors/{item.fingerprint}.json"

    def judge(valid: bytes, mutant: bytes, read: PointError) -> str:
        checks = {"fingerprint": rules.hexadecimal(64), "engine": rules.line, "reason": rules.text, "tries": rules.whole(0)}
        checks |= {"created": rules.moment, **{f"case.{path}": check for path, check in rules.CASE.items()}}
        return rules.fault(valid, mutant, checks) or _sound(read.case)

    files = _written((name, item))  # hypothesis draws constants of the tested code too, so that new code moves what is drawn
    return Format("error of a point", files, name, lambda folder: load(PointError, folder / name), judge, tries=1_060)


def _plan() -> Format:
    item = Plan(points={"a" * 64: ("b" * 64, "c" * 64), "d" * 64: ("e" * 64,)})

    def judge(valid: bytes, mutant: bytes, read: Plan) -> str:
        names = [*read.points, *(point for points in read.points.values() for point in points)]
        return "" if all(map(rules.hexadecimal(64), names)) else "a fingerprint"

    return Format(
        "plan", _written(("plan.json", item)), "plan.json", lambda folder: load(Plan, folder / "plan.json"), judge, refused=700
    )


def _explanation() -> Format:
    def points(estimate: float) -> Interval:
        return Interval(estimate=estimate, low=estimate - 1, high=estimate + 1, seeds=2)

    steps = tuple(
        Step(
            name=name, what=f"what {name} is", accuracy=0.9 - loss / 100, loss=points(loss), certain=True, change=points(loss / 2),
            logit_error=0.1,
        )
        for name, loss in (("mapped", 0.0), ("tiles", 0.5), ("ADC", 6.0))
    )  # fmt: skip
    layers = tuple(
        LayerBlame(
            name=name, kind="Linear", snr_db_alone=math.inf, snr_db_arriving=12.5, clipped=0.0, scaled=0.5, protected_gain=points(1.0),
            protected_logit_error=0.05,
        )
        for name in ("0", "4")
    )  # fmt: skip
    item = Explanation(
        case="small", fingerprint="f" * 64, engine="vectorized", images=40, seeds=(0, 1), layer_images=20, layer_seeds=(0,),
        digital_accuracy=0.9, steps=steps, layers=layers, culprit=Culprit(step="ADC", by="loss", before=0.5, after=6.0),
        most_valuable="0", note="",
    )  # fmt: skip

    def judge(valid: bytes, mutant: bytes, read: Explanation) -> str:
        if fault := rules.fault(valid, mutant, rules.EXPLANATION):
            return fault
        bounds = [
            *(part for step in read.steps for part in (step.loss, step.change)),
            *(layer.protected_gain for layer in read.layers),
        ]
        if any(not part.low <= part.estimate <= part.high for part in bounds):
            return "an interval is out of order"
        if read.culprit and read.culprit.step not in [step.name for step in read.steps]:
            return "no step is the culprit"
        known = read.most_valuable is None or read.most_valuable in [layer.name for layer in read.layers]
        return "" if known else "no layer is the most valuable"

    def read(folder: Path) -> Explanation:
        return load(Explanation, folder / "explanation.json")

    files = _written(("explanation.json", item))
    return Format(
        "explanation",
        files,
        "explanation.json",
        lambda folder: load(Explanation, folder / "explanation.json"),
        judge,
        refused=740,
    )


# ---- declared by people

CASE = {
    "name": "small",
    "dataset": "mnist5k",
    "network": "tiny",
    "conversion": CONVERSION,
    "thresholds": Thresholds(max_loss_points=5.0),
    "nonidealities": EFFECTS,
    "seeds": (0, 1),
    "images": 40,
    "description": "For tests.",
}


def _sound(case: Case) -> str:
    """Why a case is none by the rules that no single field tells."""
    device = case.conversion.device
    if not device.r_on < device.r_off:
        return "r_on is not below r_off"
    if len(set(case.seeds)) != len(case.seeds) or not case.seeds:
        return "seeds"
    empty = ("nonidealities", "conversion.keep_digital")
    return rules.broken(whole(case), rules.CASE, lists=empty)


def _case_json() -> Format:
    def judge(valid: bytes, mutant: bytes, read: Case) -> str:
        given = rules.tree(mutant)
        if given is None:
            return "it is no JSON"
        return rules.unread(given, whole(read)) or _sound(read)

    def read(folder: Path) -> Case:
        file = folder / "case.json"
        return Case.from_json(file.read_bytes(), str(file))

    files = {"case.json": json.dumps(whole(Case(**CASE)), indent=1).encode()}  # type: ignore[arg-type]
    return Format("case", files, "case.json", read, judge, refused=720)


CASES = b"""# Declared for tests.
from membench import ADC, VTEAM, Case, Conversion, DeviceFaults, Thresholds

CASES = [
    Case(
        name="small-faulty",
        dataset="mnist5k",
        network="tiny",
        conversion=Conversion(
            device=VTEAM(r_on=1.4e4, r_off=5e7),
            tile_shape=(64, 64),
            adc=ADC(bits=8, overflow_rate=0.01),
            max_input_voltage=6.0,
        ),
        nonidealities=(DeviceFaults(lrs_proportion=0.01, hrs_proportion=0.02),),
        seeds=(0, 1, 2),
        images=100,
        batch_size=20,
        thresholds=Thresholds(max_loss_points=5.0, tolerance_points=0.5),
    ),
    Case(
        name="small-ideal",
        dataset="mnist5k",
        network="tiny",
        conversion=Conversion(tile_shape=(128, 128)),
        thresholds=Thresholds(max_loss_points=1.0),
    ),
]
"""


def _cases() -> Format:
    def judge(valid: bytes, mutant: bytes, read: Any) -> str:
        names = [case.name for case in read]
        if len(set(names)) != len(names) or not names:
            return "names"
        return next(filter(None, map(_sound, read)), "")

    def read(folder: Path) -> object:
        return load_suite([folder / "cases"])

    return Format("declared cases", {"cases/mine.py": CASES}, "cases/mine.py", read, judge, mutants_of_text, refused=770)


STUDY = b"""# Declared for tests.
from membench import ADC, Case, Conversion, Knob, Quick, Recommendation, Study, Sweep, Thresholds


def bits(case, bits):
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits)))


def both(case, bits, volts):
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits), max_input_voltage=volts))


BITS = Knob(name="bits", label="ADC resolution, bit", values=(4, 6, 8))
STUDY = Study(
    name="small",
    title="Small",
    description="For tests.",
    bases={
        "A": Case(
            name="a",
            dataset="mnist5k",
            network="tiny",
            conversion=Conversion(),
            thresholds=Thresholds(max_loss_points=100.0),
            seeds=(0,),
            images=20,
        )
    },
    sweeps=(
        Sweep("adc", "ADC", (BITS,), bits),
        Sweep("map", "Map", (BITS, Knob(name="volts", label="V", values=(1.0, 6.0), log=True)), both, kind="map"),
    ),
    recommendations=(Recommendation(what="ADC", sweep="adc", cost="adc_energy", at_most=1.0),),
    quick=Quick(images=5, seeds=1, values=2),
)
"""


def _study() -> Format:
    def judge(valid: bytes, mutant: bytes, read: Any) -> str:
        names = [sweep.name for sweep in read.sweeps]
        if not names or len(set(names)) != len(names):
            return "sweeps"
        return next(filter(None, (_sound(point.case) for point in read.points())), "")

    def read(folder: Path) -> object:
        return load_study(str(folder / "study.py"))

    return Format("declared study", {"study.py": STUDY}, "study.py", read, judge, mutants_of_text, refused=820)


KNOWN = b"""# Reviewed like baselines.
[[known]]
case = "small"
max_loss_points = 14
expires = 2027-01-31
reason = "The new fault model costs more; issue 42"

[[known]]
case = "other"
engine = "memtorch"
max_loss_points = 2.5
expires = 2026-12-24
reason = "Two words at least"
"""


def _known() -> Format:
    checks: rules.Rules = {
        "case": rules.among("small", "other"),
        "engine": rules.line,
        "max_loss_points": rules.number(0, 100),
        "expires": lambda v: type(v) is datetime.date and v <= TODAY + datetime.timedelta(days=366),
        "reason": rules.reason,
    }

    def judge(valid: bytes, mutant: bytes, read: Any) -> str:
        given = tomllib.loads(mutant.decode())
        if set(given) - {"known"}:
            return "another table"
        entries = [whole(entry) for entry in read]
        pairs = [(entry["case"], entry["engine"]) for entry in entries]
        if len(set(pairs)) != len(pairs):
            return "listed twice"
        return rules.unread(given.get("known", []), entries) or next(
            filter(None, (rules.broken(entry, checks) for entry in entries)), ""
        )

    def read(folder: Path) -> object:
        return load_known_failures(folder / "known-failures.toml", ["small", "other"], TODAY)

    files = {"known-failures.toml": KNOWN}
    return Format("known failures", files, "known-failures.toml", read, judge, mutants_of_text, refused=770)


# ---- weights and what training leaves

RECIPE = Recipe(epochs=1, batch_size=500, mirror=False, shift=0)


class Few(type(MNIST5K)):  # type: ignore[misc]
    """Every twentieth image of mnist5k."""

    name, test_images = "few", 50

    def read(self, found: Path, part: Any) -> Split:
        split = super().read(found, part)
        return split.take(torch.arange(0, len(split), 20))


FEW = Few()
KEY = _weights.weights_key(TINY, FEW, RECIPE)


@functools.cache
def _trained() -> tuple[dict[str, bytes], dict[str, bytes], bytes, list[tuple[Any, ...]]]:
    """Files of trained weights, of finished folds, and of an interrupted training; and how each fold was looked for."""
    looked: list[tuple[Any, ...]] = []
    kept = _folds._kept
    with tempfile.TemporaryDirectory() as place, pinned_threads(1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(_folds, "_kept", lambda *given: (looked.append(given), kept(*given))[1])
        weights, folds = Path(place) / "weights", Path(place) / "folds"
        obtain(TINY, FEW, recipe=RECIPE, folder=weights)
        _folds.cross_validate(TINY, FEW, 2, recipe=RECIPE, folder=folds)
        train(TINY, FEW, FEW.load("test"), RECIPE, checkpoint=Path(place) / "checkpoint")

        def keep(folder: Path) -> dict[str, bytes]:
            return {name: content for name, content in _in(folder).items() if not name.endswith(".lock")}

        return keep(weights), keep(folds), (Path(place) / "checkpoint").read_bytes(), looked


def _read_weights(folder: Path) -> object:
    (file,) = _weights.candidates(TINY, FEW, KEY, folder)[1:]
    return _weights.read(file, TINY, FEW, KEY)


def _card() -> Format:
    files = _trained()[0]
    target = next(name for name in files if name.endswith(".json"))
    # Many mutants are other numbers of the probe: of another network, whose weights then do not fit.
    return Format("card of weights", files, target, _read_weights, of_json(rules.CARD), refused=700)


def _tensors() -> Format:
    files = _trained()[0]
    target = next(name for name in files if name.endswith(".safetensors"))
    return Format("weights", files, target, _read_weights, _untouched, mutants_of_bytes, fields=False, tries=500, refused=480)


def _untouched(valid: bytes, mutant: bytes, read: object) -> str:
    return "" if valid == mutant else "it has a checksum, and was changed"


def _fold() -> Format:
    files = _trained()[1]
    file, key, known = _trained()[3][0]

    def read(folder: Path) -> object:
        return _folds._kept(folder / file.name, key, known)

    return Format("fold", {file.name: files[file.name]}, file.name, read, of_json(rules.FOLD))


def _checkpoint() -> Format:
    files = {"training.checkpoint": _trained()[2]}

    def read(folder: Path) -> object:
        return read_checkpoint(folder / "training.checkpoint")

    return Format(
        "checkpoint", files, "training.checkpoint", read, _untouched, mutants_of_bytes, fields=False, tries=500, refused=480
    )


# ---- data sets


def _checked(dataset: Dataset, found: Path) -> Split:
    dataset = copy.copy(dataset)
    dataset.test_images = None  # these files hold few
    split = as_tensors(dataset, dataset.read(found, "test"), "test", found)
    check_read(dataset, split, "test", found)
    return split


def _same_shape(images: int, shape: tuple[int, ...]) -> Callable[[bytes, bytes, Any], str]:
    """Pixels may be any; how many, of which shape, and that each class is there may not."""

    def judge(valid: bytes, mutant: bytes, read: Split) -> str:
        if tuple(read.images.shape[1:]) != shape or read.images.dtype != torch.uint8:
            return f"images of {tuple(read.images.shape)} {read.images.dtype}"
        if len(read.labels) != len(read.images) or sorted(set(read.labels.tolist())) != list(range(10)):
            return f"labels {read.labels.tolist()}"
        return ""

    return judge


def _idx(part: str) -> Format:
    """MNIST: ten images, one of each class."""
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    raw = "MNIST/raw/t10k-"
    files = {
        f"{raw}images-idx3-ubyte": bytes([0, 0, 8, 3]) + np.array([10, 28, 28], dtype=">u4").tobytes() + images.tobytes(),
        f"{raw}labels-idx1-ubyte": bytes([0, 0, 8, 1]) + np.array([10], dtype=">u4").tobytes() + bytes(range(10)),
    }
    target = next(name for name in files if part in name)
    mnist = DATASETS.get("mnist")
    return Format(
        f"MNIST {part}", files, target, lambda folder: _checked(mnist, folder / "MNIST/raw"), _same_shape(10, (1, 28, 28)),
        lambda valid: mutants_of_bytes(valid, first=20), fields=False, tries=400, refused=270,
    )  # fmt: skip


def _cifar() -> Format:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)
    files = {"cifar-10-batches-py/test_batch": pickle.dumps({b"data": pixels, b"labels": [i % 10 for i in range(20)]}, 2)}
    cifar = DATASETS.get("cifar10")
    return Format(
        "CIFAR's pickle", files, "cifar-10-batches-py/test_batch", lambda folder: _checked(cifar, folder / "cifar-10-batches-py"),
        _same_shape(20, (3, 32, 32)), mutants_of_bytes, fields=False, tries=400, refused=280,
    )  # fmt: skip


def _parquet() -> Format:
    def png(seed: int) -> bytes:
        held = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(held, "png")
        return held.getvalue()

    rows = pa.table({"img": [{"bytes": png(i), "path": None} for i in range(10)], "label": list(range(10))})
    held = io.BytesIO()
    pq.write_table(rows, held)
    files = {"cifar10/test-00000-of-00001.parquet": held.getvalue(), "cifar10/train-00000-of-00001.parquet": held.getvalue()}
    cifar = DATASETS.get("cifar10")
    return Format(
        "CIFAR's parquet", files, "cifar10/test-00000-of-00001.parquet", lambda folder: _checked(cifar, folder / "cifar10"),
        _same_shape(10, (3, 32, 32)), mutants_of_bytes, fields=False, tries=300, refused=260,
    )  # fmt: skip


def _csv() -> Format:
    """The names in a gzip file's head may be any."""
    found = MNIST5K.find(Path())
    assert found is not None
    whole = MNIST5K.read(found, "test")

    def read(folder: Path) -> Split:
        return _checked(MNIST5K, folder / found.name)

    def judge(valid: bytes, mutant: bytes, read: Split) -> str:
        return "" if torch.equal(read.images, whole.images) and torch.equal(read.labels, whole.labels) else "other images"

    files = {found.name: found.read_bytes()}
    return Format("mnist5k", files, found.name, read, judge, mutants_of_bytes, fields=False, tries=30, refused=25)


def _npz() -> Format:
    """Of any values; what a checksum does not cover (the times of members) may differ."""
    held = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    classes = np.arange(20) % 10
    np.savez_compressed(held, x_train=pixels, y_train=classes, x_test=pixels[::-1], y_test=classes[::-1])

    def read(folder: Path) -> Split:
        return _own(npz(folder / "own.npz"), folder)

    def judge(valid: bytes, mutant: bytes, read: Split) -> str:
        return "" if torch.equal(read.images, torch.from_numpy(pixels[::-1, None].copy())) else "other images"

    return Format(
        "npz", {"own.npz": held.getvalue()}, "own.npz", read, judge, mutants_of_bytes, fields=False, tries=300, refused=200
    )


def _png() -> Format:
    """One image of a folder of twenty; its pixels may be any."""

    def png(seed: int) -> bytes:
        held = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(held, "png")
        return held.getvalue()

    files = {f"own/{part}/{c}/0.png": png(10 * n + c) for n, part in enumerate(("train", "test")) for c in range(10)}

    def read(folder: Path) -> Split:
        return _own(image_folder(folder / "own"), folder)

    return Format(
        "image folder", files, "own/test/3/0.png", read, _same_shape(10, (3, 8, 8)), mutants_of_bytes, fields=False, tries=300,
        refused=100,
    )  # fmt: skip


def _own(dataset: Dataset, folder: Path) -> Split:
    dataset.name = "own"
    return dataset.load("test", folder)


MAKERS: dict[str, Callable[[], Format]] = {
    "record": _record,
    "record of NaN": _not_finite,
    "baseline": _baseline,
    "study": _study_info,
    "record of a study": _study_record,
    "error of a point": _point_error,
    "plan": _plan,
    "explanation": _explanation,
    "case": _case_json,
    "declared cases": _cases,
    "declared study": _study,
    "known failures": _known,
    "card of weights": _card,
    "weights": _tensors,
    "fold": _fold,
    "checkpoint": _checkpoint,
    "MNIST images": lambda: _idx("images"),
    "MNIST labels": lambda: _idx("labels"),
    "CIFAR's pickle": _cifar,
    "CIFAR's parquet": _parquet,
    "mnist5k": _csv,
    "npz": _npz,
    "image folder": _png,
}


@functools.cache
def made(name: str) -> Format:
    """The format of that name; its example is made once."""
    return MAKERS[name]()
