"""What is tracked of a case, and what asv makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asv.commands.compare import _is_result_better
from asv_runner import discovery
from asv_runner.statistics import compute_stats
from conftest import ROOT

from membench import Case, run_case, tracking
from membench.baselines import BaselineStore
from membench.errors import InputError
from membench.record import Record
from membench.suite import load_suite


@pytest.fixture(scope="module")
def record() -> Record:
    from conftest import make_case

    return run_case(make_case(seeds=(0, 1)))


def baseline(folder: Path, record: Record, **changes: object) -> Path:
    """The baseline of `record`, with other values in its file."""
    file = BaselineStore(folder).update(record, "measured for this test")
    content = json.loads(file.read_text())
    for name, value in changes.items():
        content["record"][name] = value
    file.write_text(json.dumps(content))
    return file


def test_a_label_is_the_name_and_the_fingerprint_of_the_case(tmp_path: Path, record: Record) -> None:
    file = baseline(tmp_path, record)
    assert tracking.tracked(file.parent, ["small"]) == {f"small · {record.fingerprint[:8]}": file}


def test_a_changed_case_has_another_label(tmp_path: Path, record: Record) -> None:
    before = tracking.tracked(baseline(tmp_path, record).parent, ["small"])
    changed = run_case(record.case.replace(subset_seed=1))
    after = tracking.tracked(baseline(tmp_path, changed).parent, ["small"])
    assert before.keys() != after.keys()


def test_asv_shows_a_label_without_quotes() -> None:
    assert repr(tracking.Label("small · 3fa9c2d1")) == "small · 3fa9c2d1"


def test_a_case_without_a_baseline_is_refused(tmp_path: Path, record: Record) -> None:
    file = baseline(tmp_path, record)
    with pytest.raises(InputError, match=r"no baseline of the case 'smal' in .*Known: small.*membench baseline update smal "):
        tracking.tracked(file.parent, ["smal"])


def test_values_are_those_of_the_record(record: Record) -> None:
    values = tracking.values([record])
    costs = record.costs
    batches = [seconds / 20 for seed in costs.seeds for seconds in seed.batches]
    assert values["loss"]["samples"][tracking.QUANTILES // 2] == pytest.approx(record.measured.loss.estimate, abs=1e-3)  # type: ignore[index]
    assert values["error"] == pytest.approx(100 * (1 - record.measured.accuracy), abs=1e-3)
    assert values["time"] == min(batches)
    assert values["ratio"] == pytest.approx(min(batches) / min(seconds / 20 for seconds in costs.digital_batches), abs=1e-3)
    assert values["conversion"] == min(seed.convert + seed.tune + seed.effects for seed in costs.seeds)
    assert 50 < values["memory"] < 50e3  # type: ignore[operator]


def test_peak_memory_is_not_that_of_the_process_which_started_it() -> None:
    """`getrusage` begins a child's peak with its parent's, so that a case's memory would be asv's, or a test run's."""
    ballast = b"\1" * 400_000_000
    here = tracking.peak_bytes()
    program = (
        "import importlib.util, sys; spec = importlib.util.spec_from_file_location('tracking', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); print(module.peak_bytes())"
    )
    said = subprocess.run([sys.executable, "-c", program, str(tracking.__file__)], capture_output=True, text=True, check=True)
    assert 1_000_000 < int(said.stdout) < len(ballast) < here


def test_times_are_those_of_the_fastest_run(record: Record) -> None:
    costs = record.costs
    slow = costs.replace(
        digital_batches=tuple(3 * seconds for seconds in costs.digital_batches),
        seeds=tuple(
            seed.replace(convert=3 * seed.convert, tune=3 * seed.tune, effects=9.0, batches=tuple(3 * s for s in seed.batches))
            for seed in costs.seeds
        ),
    )
    alone, both = tracking.values([record]), tracking.values([record.replace(costs=slow), record])
    for name in ("time", "ratio", "conversion"):
        assert both[name] == alone[name]


def quantiles(low: float, estimate: float, high: float) -> dict[str, Any]:
    return {"samples": tracking._quantiles(low, estimate, high), "number": 1}


def told(before: Any, after: Any, factor: float = 1.5) -> str:
    """What asv compares: worse, better or neither."""

    def parts(value: Any) -> tuple[float, Any]:
        if not isinstance(value, dict):
            return value, None
        result, stats = compute_stats(value["samples"], value["number"])
        return result, (stats, value["samples"])

    (a, a_stats), (b, b_stats) = parts(before), parts(after)
    if _is_result_better(b, a, b_stats, a_stats, factor):
        return "better"
    return "worse" if _is_result_better(a, b, a_stats, b_stats, factor) else "neither"


NOTHING = quantiles(-0.28, 0.0, 0.28)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (NOTHING, NOTHING, "neither"),
        (NOTHING, quantiles(1.0, 2.0, 3.0), "worse"),
        (quantiles(1.0, 2.0, 3.0), NOTHING, "better"),
        (NOTHING, quantiles(-0.26, 0.02, 0.3), "neither"),  # one image of one seed
        (NOTHING, quantiles(-0.16, 0.1, 0.38), "neither"),  # one image of every seed
        (quantiles(-0.9, -0.4, 0.1), quantiles(-0.9, -0.4, 0.1), "neither"),  # ratios alone would say: better
        (quantiles(-0.9, -0.4, 0.1), quantiles(0.6, 1.6, 2.6), "worse"),
        (quantiles(4.8, 6.6, 8.3), quantiles(5.0, 6.8, 8.5), "neither"),
        (1.2, 3.2, "worse"),  # wrong answers of a network that is 98.8 % right, at two points
        (1.2, 1.3, "neither"),
    ],
)
def test_what_asv_makes_of_losses(before: Any, after: Any, verdict: str) -> None:
    assert told(before, after) == verdict


def test_without_statistics_a_negative_loss_would_get_better_by_itself() -> None:
    """Why the loss comes as samples."""
    assert told(-0.4, -0.4) == "better"


def test_measuring_gives_what_run_case_gives(tmp_path: Path, record: Record) -> None:
    values = tracking.measure(baseline(tmp_path, record))["values"]
    assert values["error"] == tracking.values([record])["error"]
    assert values["loss"] == tracking.values([record])["loss"]


def test_what_this_membench_cannot_express_is_unfit(tmp_path: Path, record: Record) -> None:
    later = {**record.case.model_dump(mode="json"), "humidity": 0.3}
    for changes, words in (
        ({"case": later}, "humidity: there is no such field"),
        ({"engine": "later"}, "no engine 'later'"),
        ({"fingerprint": 64 * "0"}, "another fingerprint"),
    ):
        outcome = tracking.measure(baseline(tmp_path, record, **changes))
        assert outcome.keys() == {"unfit"}
        assert words in outcome["unfit"]


def test_a_case_without_its_data_fails_with_the_command_that_gets_them(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = record.case.replace(dataset="cifar10")
    file = baseline(tmp_path, record, case=absent.model_dump(mode="json"), fingerprint=absent.fingerprint)
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "empty"))
    outcome = tracking.measure(file)
    assert outcome["failed"].startswith("DataMissingError: cifar10 was not found")
    assert "membench data get cifar10" in outcome["failed"]


def test_each_case_has_an_outcome_of_its_own(tmp_path: Path, record: Record) -> None:
    """Measured in other processes: one case is unknown there, the file of another is damaged."""
    later = baseline(tmp_path / "later", record, case={**record.case.model_dump(mode="json"), "humidity": 0.3})
    damaged = baseline(tmp_path / "damaged", record)
    damaged.write_text(damaged.read_text()[:1000])
    outcomes = tracking.outcomes({tracking.Label("later"): later, tracking.Label("damaged"): damaged})
    assert "humidity: there is no such field" in outcomes["later"]["unfit"]
    assert "exit code 1" in outcomes["damaged"]["failed"]
    assert "JSONDecodeError" in outcomes["damaged"]["failed"]


def test_a_module_that_is_not_there_yet_makes_a_case_unfit_and_one_that_fails_does_not(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_more.py").write_text("import what_nobody_has\n")
    file = baseline(tmp_path, record)
    assert tracking.measure(file, ["networks_of_later"]) == {"unfit": "there is no module networks_of_later yet"}
    with pytest.raises(ModuleNotFoundError, match="what_nobody_has"):
        tracking.measure(file, ["needs_more"])


def test_the_process_that_measures_counts_cpu_time_and_finds_the_standard_library(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """membench has a module `statistics` too, beside the script."""
    told = "f'{time.perf_counter.__name__}, {statistics.fmean([2])}'"
    (tmp_path / "clock.py").write_text(
        f"import statistics, time\nfrom membench.errors import InputError\nraise InputError({told})\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path)]))
    outcomes = tracking.outcomes({tracking.Label("small"): baseline(tmp_path, record)}, ["clock"])
    assert outcomes == {"small": {"unfit": "process_time, 2.0"}}


@pytest.mark.slow
def test_a_network_that_another_module_registers_is_measured(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    outcomes = tracking.outcomes({tracking.Label("small"): baseline(tmp_path, record)}, ["tiny"])
    assert outcomes["small"]["values"]["error"] == tracking.values([record])["error"]


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The benchmarks of this repository, by name, as asv finds them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "asv"))
    monkeypatch.delenv("MEMBENCH_ASV_CASES", raising=False)
    yield {benchmark.name: benchmark for benchmark in discovery.disc_benchmarks("suite")}
    for name in [name for name in sys.modules if name.split(".")[0] == "suite"]:
        del sys.modules[name]


def test_the_suite_tracks_what_it_must_in_units(suite: dict[str, Any]) -> None:
    assert {name: benchmark.unit for name, benchmark in suite.items()} == {
        "accuracy.track_loss": "points",
        "accuracy.track_error": "% of images",
        "cost.track_time": "seconds",
        "cost.track_ratio": "x digital",
        "cost.track_conversion": "seconds",
        "cost.track_memory": "MB",
    }
    for benchmark in suite.values():
        assert benchmark.pretty_name
        assert benchmark.version == "1"
        assert benchmark.setup_cache_key == suite["accuracy.track_loss"].setup_cache_key  # each case is measured once a commit


def test_the_suite_tracks_cases_as_they_are_declared(suite: dict[str, Any]) -> None:
    declared: dict[str, Case] = {case.name: case for case in load_suite([ROOT / "benchmarks" / "cases"])}
    for benchmark in suite.values():
        assert benchmark.param_names == ["case"]
        (labels,) = benchmark.params
        names = [label.split(" · ")[0] for label in labels]
        assert labels == [f"{name} · {declared[name].fingerprint[:8]}" for name in names]
        assert {declared[name].dataset for name in names} == {"mnist5k"}  # on any machine


def test_what_was_not_measured_is_skipped_or_fails_by_name(suite: dict[str, Any]) -> None:
    benchmark = suite["cost.track_time"]
    benchmark.set_param_idx(0)
    label = benchmark._current_params[0]
    for outcome, skipped in (({"values": {"time": 0.5}}, False), ({"unfit": "it is old"}, True)):
        benchmark.set_cache({label: outcome})
        assert benchmark.do_setup() is skipped
    benchmark.set_cache({label: {"values": {"time": 0.5}}})
    assert benchmark.do_run() == 0.5
    benchmark.set_cache({label: {"failed": "exit code 1"}})
    assert not benchmark.do_setup()
    with pytest.raises(RuntimeError, match=r"mnist5k-.* could not be measured: exit code 1"):
        benchmark.do_run()
