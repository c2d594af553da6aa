"""A record survives its file, and a file that was damaged or edited is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import make_baseline, make_record

from membench import ConductanceDrift, DeviceFaults
from membench.errors import EnvironmentProblemError, FileFormatError, InputError
from membench.record import Baseline, Record, load, save
from membench.verdict import Status, decide

DRIFT = (DeviceFaults(lrs_proportion=0.1), ConductanceDrift(time=10.0))


def record() -> Record:
    """Two seeds, a last batch that is smaller, two effects; every derived number differs from the others."""
    return make_record(
        images=25,
        seeds=(4, 2),
        wrong={4: (0, 1, 24), 2: (0, 5)},
        digital_wrong=(5, 7),
        logit_error={4: (0.1, 0.2, 0.3), 2: 0.25},
        nonidealities=DRIFT,
        description="Of [ 1, 2 ] things.",
    )


def saved(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    path = save(record(), tmp_path / "record.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return path, content


def test_what_follows_from_the_raw_values() -> None:
    measured = record().measured
    assert measured.digital_accuracy == pytest.approx(23 / 25)
    assert measured.accuracy == pytest.approx((22 + 23) / 50)
    assert measured.loss.estimate == pytest.approx(100 * (1 / 25 + 0 / 25) / 2)
    assert measured.loss.seeds == 2
    # seed 4 differs from the digital network on images 0, 1, 24, 5 and 7, seed 2 on 0 and 7.
    assert measured.agreement == pytest.approx((20 + 23) / 50)
    of_seed_4 = math.sqrt((0.01 + 0.04 + 0.09) / 3)
    assert measured.logit_error == pytest.approx((of_seed_4 + 0.25) / 2)


def test_what_is_compared_of_fewer_images_and_seeds() -> None:
    measured = record().measured
    assert measured.correct((2,), 10).tolist() == [[False, True, True, True, True, False, True, True, True, True]]
    assert measured.correct((2, 4), 25).sum(axis=1).tolist() == [23, 22]
    assert measured.first_batches((2, 4), 2) == pytest.approx([0.25, math.sqrt((0.01 + 0.04) / 2)])


def test_what_a_run_costs() -> None:
    costs = record().costs
    assert costs.seconds_per_image == pytest.approx(0.02)
    assert costs.digital_seconds_per_image == pytest.approx(0.001)
    assert costs.ratio == pytest.approx(20)
    assert (costs.convert_seconds, costs.tune_seconds) == (0.5, 0.25)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    assert load(Record, path) == record()
    assert save(load(Record, path), tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert [type(effect) for effect in load(Record, path).case.nonidealities] == [DeviceFaults, ConductanceDrift]


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    baseline = make_baseline(record(), "Because it was [ 1, 2 ] measured.")
    assert load(Baseline, save(baseline, tmp_path / "baseline.json")) == baseline


def test_a_file_can_be_reviewed(tmp_path: Path) -> None:
    """An image more does not make a line more."""
    short = save(make_record(images=20), tmp_path / "short.json").read_text()
    long = save(make_record(images=40), tmp_path / "long.json").read_text()
    assert len(long.splitlines()) == len(short.splitlines())
    for field in ("images", "labels", "predictions"):
        assert next(line for line in long.splitlines() if f'"{field}": [' in line).count(",") >= 39


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblemError, match="Cannot write"):
        save(record(), tmp_path / "file" / "record.json")


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_a_record_whose_logits_were_not_finite_survives_its_file(tmp_path: Path, error: float) -> None:
    """An INVALID run must be reported, not end in a crash of the report."""
    broken = make_record(images=20, broken=range(20), logit_error={0: (0.1, error)})
    again = load(Record, save(broken, tmp_path / "record.json"))
    assert repr(again.measured.logit_error) == repr(broken.measured.logit_error)
    assert again.measured.seeds[0].predictions == (-1,) * 20
    assert decide(again, None).status is Status.INVALID


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_a_record_whose_logits_were_not_finite_survives_a_pipe(error: float) -> None:
    """pytest's workers send records as JSON."""
    broken = make_record(logit_error={0: (0.1, error)})
    again = Record.from_json(broken.model_dump_json(), "pipe")
    assert repr(again.measured.logit_error) == repr(error)


@pytest.mark.parametrize(
    ("power", "error"), [(0.0, 0.0), (0.0, 0.1), (math.inf, math.inf)], ids=["all zero", "digital zero", "both infinite"]
)
def test_a_relative_error_of_nothing_is_invalid_and_not_a_warning(power: float, error: float) -> None:
    broken = make_record(digital_power=power, logit_error=error)
    assert not math.isfinite(broken.measured.logit_error)
    assert decide(broken, None).status is Status.INVALID


# ---- damaged files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a JSON object"),
        (b"{", "is not a JSON object"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"3", "is not a JSON object"),
        (b"\xff\xfe{}", "is not a JSON object"),
        (b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n", "is not a JSON object"),
        (b"{}", "schema version None"),
        (b'{"schema_version": 2}', "schema version 2"),
        (b'{"schema_version": "1"}', "schema version '1'"),
        (b'{"schema_version": 1}', "Field required"),
    ],
)
@pytest.mark.parametrize("kind", [Record, Baseline])
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes, said: str, kind: type[Record] | type[Baseline]) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as error:
        load(kind, path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("missing", ["nothing.json", "."])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    with pytest.raises(FileFormatError, match="Cannot read") as error:
        load(Record, tmp_path / missing)
    assert str(tmp_path / missing) in str(error.value)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path, _ = saved(tmp_path)
    text = path.read_text()
    path.write_text(text[: int(len(text) * kept)])
    with pytest.raises(FileFormatError, match="is not a JSON object") as error:
        load(Record, path)
    assert str(path) in str(error.value)


def test_one_kind_of_file_is_not_read_as_the_other(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is not valid"):
        load(Record, save(make_baseline(), tmp_path / "baseline.json"))
    with pytest.raises(FileFormatError, match="is not valid"):
        load(Baseline, save(record(), tmp_path / "record.json"))


def put(value: Any, *way: str | int) -> Callable[[dict[str, Any]], None]:
    """Put `value` at the end of a way through the JSON."""

    def edit(content: Any) -> None:
        for step in way[:-1]:
            content = content[step]
        assert content[way[-1]] != value
        content[way[-1]] = value

    return edit


def drop(*way: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(content: Any) -> None:
        for step in way[:-1]:
            content = content[step]
        del content[way[-1]]

    return edit


EDITS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "fingerprint": (put("0" * 64, "fingerprint"), "fingerprint"),
    "the case": (put(3, "case", "subset_seed"), "fingerprint"),
    "a device": (put(60.0, "case", "conversion", "device", "r_on"), "fingerprint"),
    "an effect": (put(11.0, "case", "nonidealities", 1, "time"), "fingerprint"),
    "an effect gone": (drop("case", "nonidealities", 1), "fingerprint"),
    "accuracy": (put(0.91, "measured", "accuracy"), "measured.accuracy"),
    "accuracy by a little": (put(0.900001, "measured", "accuracy"), "measured.accuracy"),
    "accuracy NaN": (put(math.nan, "measured", "accuracy"), "measured.accuracy"),
    "accuracy infinite": (put(math.inf, "measured", "accuracy"), "measured.accuracy"),
    "accuracy as text": (put("high", "measured", "accuracy"), "accuracy"),
    "digital accuracy": (put(1.0, "measured", "digital_accuracy"), "measured.digital_accuracy"),
    "agreement": (put(1.0, "measured", "agreement"), "measured.agreement"),
    "logit error": (put(0.0, "measured", "logit_error"), "measured.logit_error"),
    "logit error NaN": (put(math.nan, "measured", "logit_error"), "measured.logit_error"),
    "loss": (put(0.0, "measured", "loss", "estimate"), "measured.loss.estimate"),
    "loss NaN": (put(math.nan, "measured", "loss", "estimate"), "measured.loss.estimate"),
    "loss low": (put(-1.0, "measured", "loss", "low"), "measured.loss.low"),
    "loss high": (put(1.0, "measured", "loss", "high"), "estimate 2, high 1 are out of order"),
    "loss seeds": (put(9, "measured", "loss", "seeds"), "measured.loss.seeds"),
    "loss level": (put(0.99, "measured", "loss", "level"), "measured.loss.level"),
    "a prediction": (put(3, "measured", "seeds", 0, "predictions", 2), "measured.accuracy"),
    "a prediction below -1": (put(-2, "measured", "seeds", 0, "predictions", 2), "predictions"),
    "a prediction gone": (drop("measured", "seeds", 0, "predictions", 2), "predictions of seed 4: 24 values, 25 are needed"),
    "a digital prediction": (put(3, "measured", "digital_predictions", 2), "measured.digital_accuracy"),
    "a digital prediction gone": (drop("measured", "digital_predictions", 2), "digital_predictions: 24 values"),
    "a label": (put(9, "measured", "labels", 2), "measured.digital_accuracy"),
    "a label gone": (drop("measured", "labels", 24), "labels: 24 values"),
    "an image gone": (drop("measured", "images", 0), "images: 24 values"),
    "error power": (put(0.5, "measured", "seeds", 1, "batch_error_power", 0), "measured.logit_error"),
    "error power negative": (
        put(-9.0, "measured", "seeds", 1, "batch_error_power", 0),
        "batch_error_power.0: must not be negative",
    ),
    "error power gone": (drop("measured", "seeds", 1, "batch_error_power", 0), "batch_error_power of seed 2: 2 values, 3"),
    "digital power": (put(2.0, "measured", "digital_batch_power", 0), "measured.logit_error"),
    "digital power gone": (drop("measured", "digital_batch_power", 0), "digital_batch_power: 2 values"),
    "a seed gone": (drop("measured", "seeds", 1), "seeds measured are not those of the case"),
    "all seeds gone": (put([], "measured", "seeds"), "seeds measured are not those of the case"),
    "another seed": (put(5, "measured", "seeds", 1, "seed"), "seeds measured are not those of the case"),
    "a proof gone": (drop("measured", "seeds", 1, "proofs", 0), "proof"),
    "a proof of another effect": (put("retention", "measured", "seeds", 1, "proofs", 0, "effect"), "proof"),
    "a batch's time gone": (drop("costs", "seeds", 0, "batches", 0), "costs"),
    "a digital batch's time gone": (drop("costs", "digital_batches", 0), "costs"),
    "a batch's size gone": (drop("costs", "batch_sizes", 0), "costs"),
    "a seed's cost gone": (drop("costs", "seeds", 0), "costs"),
    "schema version": (put(2, "schema_version"), "schema version 2"),
    "an unknown field": (lambda content: content.update(extra=1), "extra: there is no such field"),
    "an unknown field inside": (lambda content: content["measured"].update(acuracy=1), "did you mean 'accuracy'"),
    "engine gone": (drop("engine"), "engine: Field required"),
    "costs gone": (drop("costs"), "costs: Field required"),
    "thresholds beyond bounds": (put(101.0, "case", "thresholds", "max_loss_points"), "max_loss_points"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_record_is_refused_by_name(tmp_path: Path, edit: str) -> None:
    change, said = EDITS[edit]
    path, content = saved(tmp_path)
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError) as error:
        load(Record, path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_what_moves_no_result_may_be_edited(tmp_path: Path) -> None:
    """Thresholds and words are no part of the fingerprint. This shows too that EDITS fail for their own reasons alone."""
    path, content = saved(tmp_path)
    put(50.0, "case", "thresholds", "max_loss_points")(content)
    put("Other words.", "case", "description")(content)
    path.write_text(json.dumps(content))
    assert load(Record, path).case.thresholds.max_loss_points == 50


@pytest.mark.parametrize("reason", ["", "short"])
def test_a_baseline_without_a_reason_is_refused(tmp_path: Path, reason: str) -> None:
    path = save(make_baseline(), tmp_path / "baseline.json")
    content = json.loads(path.read_text())
    content["reason"] = reason
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match="reason"):
        load(Baseline, path)


def test_an_edited_record_within_a_baseline_is_refused(tmp_path: Path) -> None:
    path = save(make_baseline(), tmp_path / "baseline.json")
    content = json.loads(path.read_text())
    put(0.5, "record", "measured", "accuracy")(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"measured\.accuracy"):
        load(Baseline, path)


def test_a_record_cannot_be_made_of_parts_that_do_not_fit() -> None:
    one, other = record(), make_record(images=20)
    with pytest.raises(InputError, match="fingerprint"):
        one.replace(fingerprint=other.fingerprint)
    with pytest.raises(InputError, match="fingerprint"):
        one.replace(case=other.case)
    with pytest.raises(InputError, match="seeds"):
        one.replace(measured=other.measured)


def test_derived_values_are_derived_alike_from_a_file(tmp_path: Path) -> None:
    again = load(Record, saved(tmp_path)[0]).measured
    assert again.again() == again
    assert np.array_equal(again.correct((4, 2), 25), record().measured.correct((4, 2), 25))
