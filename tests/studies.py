"""A study made by hand, without a network: `from studies import write_study` (tests/ is on sys.path because of its conftest)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from records import make_record

from membench.case import ADC, Case, Conversion
from membench.record import LayerInfo, Record, save
from membench.study import Knob, Recommendation, Study, StudyInfo, Sweep

LAYERS = (
    LayerInfo(name="0", kind="Conv2d", rows=25, columns=4, crossbars=2, tiles=None, devices=200, reads=49),
    LayerInfo(name="4", kind="Linear", rows=196, columns=10, crossbars=2, tiles=None, devices=3920, reads=1),
)


def _base(name: str, images: int) -> Case:
    conversion = Conversion(tile_shape=(64, 64), adc=ADC(bits=4), max_input_voltage=6.0)
    return make_record(name=name, images=images, conversion=conversion).case


def _set(case: Case, **changes: object) -> Case:
    return case.replace(conversion=case.conversion.replace(**changes))


def _tile(case: Case, tile: str) -> Case:
    return _set(case, tile_shape=None if tile == "none" else (int(tile), int(tile)))


def _adc(case: Case, bits: str, adc_range: str) -> Case:
    return _set(case, adc=None if bits == "none" else ADC(bits=int(bits), range=adc_range))


def _map(case: Case, miv: float, bits: int) -> Case:
    return _set(case, max_input_voltage=miv, adc=ADC(bits=bits))


def _table(case: Case, miv: float, bits: int) -> Case:
    return _map(case, miv, bits)


TILE = Knob(name="tile", label="tile, rows x columns", values=("8", "64", "none"))
BITS = Knob(name="bits", label="ADC resolution, bit", values=(2, 4))
MIV = Knob(name="miv", label="maximum input voltage, V", values=(0.5, 6.0), log=True)


@cache
def small_study(title: str = "A small study") -> tuple[StudyInfo, tuple[Record, ...]]:
    """A table, two curves (one of them of tiles), a map; two bases; two recommendations; and a record for each case.

    Base `one` has 100 images, of which it loses 1 for each bit below 4 and 3 at 0.5 V; base `two` has 20, and loses 4 more.
    """
    study = Study(
        name="small",
        title=title,
        description="What is lost, & <where>.",
        bases={"one": _base("one", 100), "two": _base("two", 20)},
        sweeps=(
            Sweep("headline", "The headline", (MIV, BITS), _table, kind="table"),
            Sweep("tile", "Tile size", (TILE,), _tile),
            Sweep(
                "adc",
                "ADC resolution",
                (
                    BITS.replace(values=("2", "4", "none")),
                    Knob(name="adc_range", label="ADC range", values=("vector", "calibrated")),
                ),
                _adc,
            ),
            Sweep("miv-bits", "Voltage and bits", (MIV, BITS), _map, kind="map"),
        ),
        recommendations=(
            Recommendation(what="ADC", sweep="adc", cost="adc_energy", at_most=3.0),
            Recommendation(what="input voltage", sweep="miv-bits", cost="max_input_voltage", at_most=50.0),
        ),
    )
    cases = {point.case.fingerprint: point.case for point in study.points()}
    return study.described("memtorch", quick=False), tuple(_record(case) for case in cases.values())


def _record(case: Case) -> Record:
    conversion = case.conversion
    bits = conversion.adc.bits if conversion.adc else 16
    wrong = (4 - min(bits, 4)) + (3 if conversion.max_input_voltage == 0.5 else 0) + (4 if case.name == "two" else 0)
    fields = {name: getattr(case, name) for name in ("name", "images", "batch_size", "conversion")}
    record = make_record(**fields, seeds=case.seeds, wrong=range(wrong))
    speed = 1.0 if conversion.tile_shape is None else 1 + 32 / conversion.tile_shape[0]
    seeds = tuple(c.replace(batches=tuple(speed * s for s in c.batches)) for c in record.costs.seeds)
    measured = record.measured.replace(layers=LAYERS)
    return record.replace(measured=measured, costs=record.costs.replace(seeds=seeds))


def write_study(folder: Path, title: str = "A small study") -> StudyInfo:
    """study.json and a record for each case, as `membench study` leaves them."""
    info, records = small_study(title)
    save(info, folder / StudyInfo.FILE)
    for record in records:
        save(record, folder / "records" / f"{record.fingerprint}.json")
    return info
