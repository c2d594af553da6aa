"""Records as a table: a row each (in a study, a row for each place of a record in a sweep), a column each quantity."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from membench.case import ADC, InputScaling
from membench.explanation import in_words
from membench.record import Record
from membench.report.collected import Collected
from membench.storage import write_atomically
from membench.study import Value

PLACE = ("study", "sweep", "base")
INTEGERS = ("images", "seeds", "adc_bits", "adc_conversions", "adc_energy")
QUANTITIES = (
    "fingerprint",
    "case",
    "dataset",
    "network",
    "engine",
    "images",
    "seeds",
    "tile",
    "adc_bits",
    "adc_range",
    "max_input_voltage",
    "scaling",
    "effects",
    "digital_accuracy",
    "accuracy",
    "loss",
    "loss_low",
    "loss_high",
    "logit_error",
    "agreement",
    "seconds_per_image",
    "digital_seconds_per_image",
    "ratio",
    "adc_conversions",
    "adc_energy",
    "weights_sha256",
)


def table(collected: Collected) -> pd.DataFrame:
    """All rows, in the order of the study's points; the columns are documented in docs/report.md."""
    study = collected.study
    if study is None:
        empty: dict[str, Any] = dict.fromkeys(PLACE)
        return _frame([{**empty, **quantities(record)} for record in collected.records], ())
    knobs = tuple(dict.fromkeys(knob.name for sweep in study.sweeps for knob in sweep.knobs))
    rows = [
        {
            **dict(zip(PLACE, (study.name, sweep.name, point.base), strict=True)),
            **{knob_column(name): value for name, value in point.settings.items()},
            **quantities(record),
        }
        for sweep in study.sweeps
        for point, record in collected.placed(sweep)
    ]
    return _frame(rows, tuple(map(knob_column, knobs)))


def knob_column(name: str) -> str:
    """The column of a knob: its name, or knob_<name> where that is the name of another column (a knob may be called `tile`)."""
    return f"knob_{name}" if name in (*PLACE, *QUANTITIES) else name


def quantities(record: Record) -> dict[str, Any]:
    """The columns that follow from a record alone."""
    case, measured, costs = record.case, record.measured, record.costs
    conversion = case.conversion
    conversions = adc_conversions(record)
    values: Sequence[Any] = (
        record.fingerprint,
        case.name,
        case.dataset,
        case.network,
        record.engine,
        case.images,
        len(case.seeds),
        "none" if conversion.tile_shape is None else "x".join(map(str, conversion.tile_shape)),
        conversion.adc.bits if conversion.adc else None,
        _range(conversion.adc),
        conversion.max_input_voltage,
        "none" if conversion.max_input_voltage is None else _scaling(conversion.scaling),
        _effects(record),
        measured.digital_accuracy,
        measured.accuracy,
        measured.loss.estimate,
        measured.loss.low,
        measured.loss.high,
        measured.logit_error,
        measured.agreement,
        costs.seconds_per_image,
        costs.digital_seconds_per_image,
        costs.ratio,
        conversions,
        adc_energy(record, conversions),
        record.weights.sha256,
    )
    return dict(zip(QUANTITIES, values, strict=True))


def adc_conversions(record: Record) -> int | None:
    """Conversions that one image costs: over all layers, reads x columns x crossbars x tiles that share a column's word lines.

    None where there is no ADC, or the record was made before `reads` were kept.
    """
    conversion, total = record.case.conversion, 0
    if conversion.adc is None:
        return None
    for layer in record.measured.layers:
        if layer.reads is None:
            return None
        row_tiles = 1 if conversion.tile_shape is None else math.ceil(layer.rows / conversion.tile_shape[0])
        total += layer.reads * layer.columns * layer.crossbars * row_tiles
    return total


def adc_energy(record: Record, conversions: int | None) -> int | None:
    """conversions x 2^bits: relative, after the figure of merit of Walden, IEEE JSAC 17(4), 1999."""
    adc = record.case.conversion.adc
    return None if adc is None or conversions is None else conversions * 2**adc.bits


def write_tables(frame: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Write results.csv and results.parquet."""
    held = io.BytesIO()
    frame.to_parquet(held, index=False)
    return (
        write_atomically(folder / "results.csv", frame.to_csv(index=False, lineterminator="\n")),
        write_atomically(folder / "results.parquet", held.getvalue()),
    )


def said(value: Value) -> str:
    """A knob's value in words."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _frame(rows: list[dict[str, Any]], knobs: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[*PLACE, *knobs, *QUANTITIES])
    for name in PLACE:
        frame[name] = frame[name].astype("string")
    for name in INTEGERS:
        frame[name] = frame[name].astype("Int64")
    frame["max_input_voltage"] = frame["max_input_voltage"].astype("float64")
    for name in knobs:
        frame[name] = _one_kind([row.get(name) for row in rows])
    return frame


def _one_kind(values: list[Value | None]) -> pd.Series[Any]:
    """A knob's column: whole numbers, numbers, or, where one value is a word, text."""
    kinds = {type(value) for value in values if value is not None}
    if str in kinds:
        return pd.Series([None if value is None else said(value) for value in values], dtype="string")
    return pd.Series(values, dtype="Int64" if kinds == {int} else "Float64")


def _range(adc: ADC | None) -> str:
    return "none" if adc is None else said(adc.range)


def _scaling(scaling: InputScaling) -> str:
    return ("undone" if scaling.undone else "kept") + ("" if scaling.per == "memtorch" else f", per {scaling.per}")


def _effects(record: Record) -> str:
    effects = record.case.nonidealities
    return "; ".join(in_words(effect, effect.kind) for effect in effects)


def spread(values: Sequence[int]) -> str:
    """One number, or a range where they differ."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,} to {max(values):,}"
