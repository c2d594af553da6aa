"""The table of a study: a row a place, columns that follow from the records, conversions as counted by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from records import make_record
from studies import small_study, write_study

from membench.case import ADC, Conversion, InputScaling
from membench.errors import FileFormatError, InputError
from membench.nonidealities import Variability
from membench.record import LayerInfo, Record, save
from membench.report.collected import collect
from membench.report.study_report import write
from membench.report.tidy import QUANTITIES, adc_conversions, knob_column, table

LAYERS = (
    LayerInfo(name="0", kind="Conv2d", rows=25, columns=4, crossbars=2, tiles=4, devices=200, reads=49),
    LayerInfo(name="4", kind="Linear", rows=196, columns=10, crossbars=2, tiles=26, devices=3920, reads=1),
)


def with_layers(record: Record, *layers: LayerInfo) -> Record:
    return record.replace(measured=record.measured.replace(layers=layers))


def converted(layers: tuple[LayerInfo, ...] = LAYERS, **conversion: object) -> Record:
    return with_layers(make_record(conversion=Conversion(**conversion)), *layers)


@pytest.mark.parametrize(
    ("tile_shape", "conversions"),
    [
        (None, 49 * 4 * 2 + 10 * 2),
        ((8, 16), 49 * 4 * 2 * 4 + 10 * 2 * 25),  # 25 rows lie in 4 tiles of 8, 196 in 25
        ((25, 8), 49 * 4 * 2 + 10 * 2 * 8),  # tiles beside one another share no column: rows alone count
        ((64, 64), 49 * 4 * 2 + 10 * 2 * 4),
    ],
)
def test_conversions_are_those_counted_by_hand(tile_shape: tuple[int, int] | None, conversions: int) -> None:
    assert adc_conversions(converted(tile_shape=tile_shape, adc=ADC(bits=8))) == conversions


def test_conversions_are_unknown_without_an_adc_or_reads() -> None:
    assert adc_conversions(converted(tile_shape=(8, 8))) is None
    assert adc_conversions(converted((LAYERS[0], LAYERS[1].replace(reads=None)), adc=ADC(bits=8))) is None


def test_every_column_of_a_record(tmp_path: Path) -> None:
    conversion = Conversion(
        tile_shape=(64, 32), adc=ADC(bits=6, range="calibrated"), max_input_voltage=6.0, scaling=InputScaling(undone=True)
    )
    record = make_record(
        conversion=conversion,
        nonidealities=(Variability(r_on_sigma=1.0, r_off_sigma=2.0, distribution="normal"),),
        images=20,
        seeds=(3, 5),
        wrong={3: range(3), 5: range(5)},
        digital_wrong=(19,),
    )
    save(with_layers(record, *LAYERS), tmp_path / "records" / "memtorch" / "small.json")
    write(tmp_path)
    (row,) = pd.read_parquet(tmp_path / "results.parquet").to_dict("records")
    assert set(row) == {"study", "sweep", "base", *QUANTITIES}
    wanted = {
        "fingerprint": record.fingerprint, "case": "small", "dataset": "mnist5k", "network": "tiny", "engine": "memtorch",
        "images": 20, "seeds": 2, "tile": "64x32", "adc_bits": 6, "adc_range": "calibrated", "max_input_voltage": 6.0,
        "scaling": "undone", "digital_accuracy": 0.95, "agreement": 0.75,
        "adc_conversions": 49 * 8 + 80, "adc_energy": (49 * 8 + 80) * 64, "weights_sha256": "a" * 64,
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert row["effects"].startswith("variability(")
    assert row["accuracy"] == pytest.approx(0.8)
    assert row["loss"] == pytest.approx(15.0)
    assert (row["loss_low"], row["loss_high"]) == (record.measured.loss.low, record.measured.loss.high)
    assert row["seconds_per_image"] == pytest.approx(0.02)
    assert row["ratio"] == pytest.approx(20.0)
    assert pd.read_csv(tmp_path / "results.csv")["adc_energy"].tolist() == [(49 * 8 + 80) * 64]


def test_a_record_has_a_row_in_each_sweep_in_which_it_stands(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    frame = table(collect(tmp_path))
    assert len(frame) == sum(len(sweep.points) for sweep in study.sweeps)
    assert frame["fingerprint"].nunique() < len(frame)
    row = frame[(frame["sweep"] == "adc") & (frame["base"] == "two")].iloc[0]
    assert (row["bits"], row["images"]) == ("2", 20)
    assert set(frame["study"]) == {"small"}


def test_a_knob_that_is_called_like_another_column_has_one_of_its_own(tmp_path: Path) -> None:
    write_study(tmp_path)
    frame = table(collect(tmp_path))
    tiles = frame[(frame["sweep"] == "tile") & (frame["base"] == "one")]
    assert tiles["knob_tile"].tolist() == ["8", "64", "none"]
    assert tiles["tile"].tolist() == ["8x8", "64x64", "none"]
    assert (knob_column("tile"), knob_column("miv")) == ("knob_tile", "miv")


def test_a_column_is_text_where_one_of_its_values_is(tmp_path: Path) -> None:
    """`bits` is text in one sweep and a number in the other; `miv` is a number in all."""
    write_study(tmp_path)
    kept = pd.read_parquet(table_file(tmp_path))
    assert set(kept["bits"].dropna()) == {"2", "4", "none"}
    assert set(kept["miv"].dropna()) == {0.5, 6.0}
    assert kept["bits"].map(type).isin([str]).sum() == kept["bits"].notna().sum()


def table_file(folder: Path) -> Path:
    return write(folder).parquet


def test_points_that_are_missing_are_left_out_and_counted(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    planned = {point.fingerprint for sweep in study.sweeps for point in sweep.points}
    gone = next(point for point in study.sweeps[1].points if point.base == "two")
    (tmp_path / "records" / f"{gone.fingerprint}.json").unlink()
    words = write(tmp_path).words
    assert f"{len(planned) - 1} of {len(planned)} cases are measured" in words
    assert gone.fingerprint not in set(table(collect(tmp_path))["fingerprint"])
    assert "not measured" in (tmp_path / "report.md").read_text()
    assert f"Cases missing: 1 of {len(planned)}." in (tmp_path / "report.md").read_text()


def test_a_record_that_is_no_point_is_counted_and_not_shown(tmp_path: Path) -> None:
    write_study(tmp_path)
    save(make_record(name="stranger", images=30), tmp_path / "records" / "stranger.json")
    assert "stranger" not in set(table(collect(tmp_path))["case"])
    write(tmp_path)
    assert "no point of the study, and are not shown: 1." in (tmp_path / "report.html").read_text()


def test_a_folder_without_records_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no record below .*records.*membench study NAME --out"):
        write(tmp_path)
    small_study_file = tmp_path / "study.json"
    save(small_study()[0], small_study_file)
    with pytest.raises(InputError, match="no record"):
        write(tmp_path)


def test_a_study_none_of_whose_points_is_there(tmp_path: Path) -> None:
    save(small_study()[0], tmp_path / "study.json")
    save(make_record(name="stranger"), tmp_path / "records" / "stranger.json")
    with pytest.raises(InputError, match=r"1 record lies, but none is a point of the study 'small'"):
        write(tmp_path)


def test_two_records_of_one_point_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path)
    file = next((tmp_path / "records").glob("*.json"))
    (tmp_path / "records" / "copy.json").write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"records of the same case.*remove one"):
        write(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_study(tmp_path)
    file = next((tmp_path / "records").glob("*.json"))
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=file.name):
        write(tmp_path)
    assert not (tmp_path / "report.html").exists()
    file.write_text(whole)
    (tmp_path / "study.json").write_text((tmp_path / "study.json").read_text().replace('"two"', '"too"', 1))
    with pytest.raises(FileFormatError, match=r"study\.json"):
        write(tmp_path)
