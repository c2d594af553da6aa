"""Studies are declared like cases: every point is a case, and what is wrong is told with the sweep and the setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_case
from hypothesis import given
from hypothesis import strategies as st

from membench import ADC, Case, Knob, Quick, Recommendation, Study, Sweep
from membench.errors import InputError, SuiteError, UnknownNameError
from membench.study import StudyInfo, Value, _spread, load_study

ROOT = Path(__file__).resolve().parent.parent


def bits(case: Case, bits: int) -> Case:
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits)))


def bits_and_tile(case: Case, bits: int, rows: str) -> Case:
    tile_shape = None if rows == "none" else (int(rows), 8)
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits), tile_shape=tile_shape))


BITS = Knob(name="bits", label="ADC resolution, bit", values=(2, 4, 6, 8, 10))
ROWS = Knob(name="rows", label="rows of a tile", values=("8", "16", "none"))
STUDY = Study(
    name="small",
    title="Small",
    description="For tests.",
    bases={"A": make_case(name="a"), "B": make_case(name="b", images=30)},
    sweeps=(Sweep("adc", "ADC", (BITS,), bits), Sweep("both", "ADC and tile", (BITS, ROWS), bits_and_tile, kind="map")),
    recommendations=(Recommendation(what="ADC", sweep="adc", cost="adc_energy"),),
    quick=Quick(images=10, seeds=1, values=2),
)


def test_points_are_every_setting_of_every_base_in_order() -> None:
    points = STUDY.points()
    assert len(points) == 2 * 5 + 2 * 5 * 3
    assert [(p.sweep, p.base, p.settings) for p in points[:2]] == [("adc", "A", {"bits": 2}), ("adc", "A", {"bits": 4})]
    assert [dict(p.settings) for p in points[10:13]] == [{"bits": 2, "rows": rows} for rows in ("8", "16", "none")]
    for point in points:
        assert point.case.conversion.adc is not None
        assert point.case.conversion.adc.bits == point.settings["bits"]
        assert point.case.name == {"A": "a", "B": "b"}[point.base]


def test_the_same_case_in_two_sweeps_has_one_fingerprint() -> None:
    found = {(p.sweep, p.base, p.settings["bits"], p.settings.get("rows")): p.case.fingerprint for p in STUDY.points()}
    assert found["adc", "A", 4, None] == found["both", "A", 4, "none"] != found["both", "A", 4, "8"]
    assert found["adc", "A", 4, None] != found["adc", "B", 4, None]


def test_coarse_has_fewer_images_seeds_and_values() -> None:
    coarse = replace(STUDY, bases={"A": make_case(name="a", seeds=(3, 4, 5))}).coarse()
    assert {knob.values for sweep in coarse.sweeps for knob in sweep.knobs} == {(2, 10), ("8", "none")}
    assert {(p.case.images, p.case.seeds) for p in coarse.points()} == {(10, (3,))}


def test_coarse_leaves_a_case_of_few_images_and_seeds_as_it_is() -> None:
    coarse = replace(STUDY, bases={"A": make_case(name="a", images=10, seeds=(3,))}, quick=Quick(images=20, seeds=2)).coarse()
    assert {(p.case.images, p.case.seeds) for p in coarse.points()} == {(10, (3,))}


@given(st.lists(st.integers(), min_size=1, max_size=30, unique=True), st.integers(2, 8))
def test_a_spread_keeps_both_ends_and_the_order(values: list[Value], most: int) -> None:
    chosen = _spread(values, most)
    assert len(chosen) == min(most, len(values)) == len(set(chosen))
    assert (chosen[0], chosen[-1]) == (values[0], values[-1])
    assert list(chosen) == [value for value in values if value in chosen]


def test_what_lies_on_disk_says_where_each_fingerprint_stands() -> None:
    info = StudyInfo.from_json(STUDY.described("vectorized", quick=False).model_dump_json(), "study.json")
    assert (info.bases, [sweep.kind for sweep in info.sweeps]) == (("A", "B"), ["curve", "map"])
    stored = [(s.name, p.base, p.settings, p.fingerprint) for s in info.sweeps for p in s.points]
    assert stored == [(p.sweep, p.base, p.settings, p.case.fingerprint) for p in STUDY.points()]
    assert all(type(a) is type(b) for a, b in zip(info.sweeps[1].knobs[1].values, ROWS.values, strict=True))


def test_a_setting_that_cannot_be_is_told_with_its_sweep() -> None:
    wrong = replace(STUDY, sweeps=(Sweep("adc", "ADC", (BITS.replace(values=(8, 77)),), bits),))
    with pytest.raises(InputError, match=r"(?s)Study 'small', sweep 'adc' at bits=77: .*16"):
        wrong.points()


def test_a_function_that_gives_no_case_is_told() -> None:
    wrong = replace(STUDY, sweeps=(Sweep("adc", "ADC", (BITS,), lambda case, bits: None),))  # type: ignore[arg-type,return-value]
    with pytest.raises(InputError, match="sweep 'adc' at bits=2: turn gave no Case but None"):
        wrong.points()
    with pytest.raises(InputError, match=r"sweep 'adc' at bits=2: .*unexpected keyword"):
        replace(STUDY, sweeps=(Sweep("adc", "ADC", (BITS,), lambda case, other: case),)).points()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweeps": ()}, "needs at least one base and one sweep"),
        ({"bases": {}}, "needs at least one base and one sweep"),
        ({"sweeps": (STUDY.sweeps[0], STUDY.sweeps[0])}, "more than one sweep named adc"),
        ({"recommendations": (Recommendation(what="x", sweep="tiles", cost="adc_energy"),)}, "looks at sweep 'tiles'"),
        (
            {"recommendations": (Recommendation(what="x", sweep="adc", cost="adc_energy", where={"bits": 3}),)},
            "bits=3 .*bits: 2, 4,",
        ),
        (
            {"recommendations": (Recommendation(what="x", sweep="adc", cost="adc_energy", where={"rows": 3}),)},
            "rows=3 in sweep 'adc'",
        ),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(STUDY, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweeps": STUDY.sweeps[0]}, r"Study 'small': sweeps takes several values: write sweeps=\(Sweep\(\.\.\.\),\)"),
        (
            {"recommendations": STUDY.recommendations[0]},
            r"recommendations takes several .* \(Recommendation|recommendations=\(Rec",
        ),
        ({"bases": make_case()}, r"bases takes cases by their labels: write bases=\{'label': case\}"),
    ],
)
def test_one_part_where_several_are_asked_for_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(STUDY, **changes)  # type: ignore[arg-type]


def test_one_knob_without_a_tuple_is_refused() -> None:
    with pytest.raises(InputError, match=r"Sweep 'adc': knobs takes several values: write knobs=\(Knob\(\.\.\.\),\)"):
        Sweep("adc", "ADC", BITS, bits)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "knobs"), [("map", (BITS,)), ("curve", (BITS, ROWS, ROWS)), ("table", ())])
def test_a_sweep_of_the_wrong_number_of_knobs_is_refused(kind: str, knobs: tuple[Knob, ...]) -> None:
    with pytest.raises(InputError, match=rf"Sweep 'x': a {kind} has .* knobs; given: {len(knobs)}\."):
        Sweep("x", "X", knobs, bits, kind=kind)  # type: ignore[arg-type]


def test_a_study_is_found_by_name_or_path(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((ROOT / "benchmarks/studies/paper.py").read_text().replace('name="paper"', 'name="mine"'))
    assert load_study("mine", tmp_path).name == "mine"
    assert load_study(str(tmp_path / "mine.py"), tmp_path / "elsewhere").name == "mine"
    with pytest.raises(UnknownNameError, match=r"There is no study 'yours'.* In .*: mine\."):
        load_study("yours", tmp_path)
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(SuiteError, match=r"empty\.py must declare STUDY"):
        load_study("empty", tmp_path)
    (tmp_path / "broken.py").write_text("raise SystemExit(0)")
    with pytest.raises(SuiteError, match=r"broken\.py cannot be imported: SystemExit"):
        load_study("broken", tmp_path)


PAPER = load_study("paper", ROOT / "benchmarks/studies")
POINTS = PAPER.points()


def settings(sweep: str, knob: str) -> set[Value]:
    return {point.settings[knob] for point in POINTS if point.sweep == sweep}


def test_the_paper_is_measured_on_three_data_sets_with_five_seeds_and_thousands_of_images() -> None:
    assert list(PAPER.bases) == ["MNIST", "CIFAR-10", "CIFAR-100"]
    assert {len(point.case.seeds) for point in POINTS} == {5}
    assert min(point.case.images for point in POINTS) == 2_000
    assert {point.case.images for point in POINTS if point.sweep == "headline"} == {10_000}


def test_the_paper_sweeps_what_it_must() -> None:
    assert settings("tile", "tile") == {"none", "8", "16", "32", "64", "128", "256", "256x64"}
    assert settings("adc", "bits") == {*map(str, range(2, 11)), "none"}
    assert settings("adc", "adc_range") == {"MemTorch's", "fixed"}
    assert {0.3, 12.0} <= settings("miv", "miv")
    assert settings("miv", "scale") == {"kept", "undone"}
    assert max(settings("faults", "stuck")) == 25
    assert settings("faults", "at") == {"LRS", "HRS", "both, half each"}
    for sweep, knob in (("endurance", "cycles"), ("retention", "time")):
        assert settings(sweep, knob) == {float(10**k) for k in range(1, 10)}
    assert {2, 64} <= settings("states", "states")
    assert {sweep.name for sweep in PAPER.sweeps if sweep.kind == "map"} == {"tile-adc", "faults-tile", "states-variability"}


def test_the_knobs_of_the_paper_turn_what_they_name() -> None:
    """A knob that turned nothing would draw a flat line: within a sweep and a base, other settings are another case."""
    start = {base: case.fingerprint for base, case in PAPER.bases.items()}
    seen: dict[tuple[str, str, str], dict[str, Value]] = {}
    for point in POINTS:
        key = (point.sweep, point.base, point.case.fingerprint)
        if key in seen:  # where nothing has failed yet, the case is the base; and without an ADC there is no range
            assert point.case.fingerprint == start[point.base] or point.settings["bits"] == "none"
        seen[key] = dict(point.settings)
