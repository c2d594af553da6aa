"""A study measured on Dask's workers gives the records of run_case, whatever interrupts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import make_case, needs_loopback

from membench import ADC, Case, ConductanceDrift, Conversion, Knob, Quick, Study, Sweep, run_case
from membench import campaign as campaigns
from membench.campaign import Campaign, State, Store, Workers
from membench.errors import EnvironmentProblemError, InputError, UnsupportedError
from membench.record import Record, load

DECLARED = """
import sys; sys.path.insert(0, {tests!r})
import tiny
from membench import ADC, Case, Conversion, Knob, Quick, Study, Sweep, Thresholds

def bits(case, bits):
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits)))

STUDY = Study(
    name="small", title="Small", description="For tests.",
    bases={{"A": Case(name="a", dataset="mnist5k", network="tiny", conversion=Conversion(),
                     thresholds=Thresholds(max_loss_points=100.0), seeds={seeds}, images={images})}},
    sweeps=(Sweep("adc", "ADC", (Knob(name="bits", label="ADC resolution, bit", values={values}),), bits),),
    quick=Quick(images=5, seeds=1, values=2),
)
"""


def bits(case: Case, bits: int) -> Case:
    return case.replace(conversion=case.conversion.replace(adc=ADC(bits=bits)))


def study(*values: int, base: Case | None = None) -> Study:
    knob = Knob(name="bits", label="ADC resolution, bit", values=values)
    sweep = Sweep("adc", "ADC", (knob,), bits)
    return Study("small", "Small", "For tests.", {"A": base or make_case()}, (sweep,), quick=Quick(images=5, seeds=1, values=2))


def prepare(study: Study, folder: Path, workers: Workers | None = None, **options: Any) -> Campaign:
    """As `membench study` does; the workers learn of the tiny network from the file that registers it."""
    declared_in = Path(__file__).resolve().parent.parent / "tiny.py"
    return campaigns.prepare(study, folder, declared_in=declared_in, workers=workers, **options)


def run(campaign: Campaign) -> list[State]:
    states: list[State] = []
    assert campaign.run(states.append) == states[-1]
    return states


def records(folder: Path) -> dict[str, Record]:
    return {file.stem: load(Record, file) for file in (folder / "records").iterdir()}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, scheduler: str) -> tuple[Path, list[State]]:
    """A small study that two processes measured."""
    folder = tmp_path_factory.mktemp("study")
    return folder, run(prepare(study(4, 6, 8), folder, Workers(scheduler=scheduler)))


def test_records_are_those_of_run_case(measured: tuple[Path, list[State]]) -> None:
    folder, _ = measured
    found = records(folder)
    cases = [point.case for point in study(4, 6, 8).points()]
    assert set(found) == {case.fingerprint for case in cases}
    for case in cases:
        assert found[case.fingerprint].measured == run_case(case).measured
        assert found[case.fingerprint].case == case


def test_progress_counts_cases_and_work(measured: tuple[Path, list[State]]) -> None:
    _, states = measured
    assert [(state.done, state.total, dict(state.failures)) for state in states] == [(done, 3, {}) for done in range(4)]
    assert [(state.points_done, state.points, state.workers) for state in states] == [(done, 3, 2) for done in range(4)]
    assert [state.work / state.whole for state in states] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert 0 < states[0].whole < 60


def test_what_is_there_is_not_measured_again(measured: tuple[Path, list[State]], workers: Workers) -> None:
    folder, _ = measured
    before = {file: file.stat().st_mtime_ns for file in (folder / "records").iterdir()}
    again = prepare(study(4, 6, 8), folder, workers)
    assert again.missing == ()
    more = prepare(study(4, 6, 8, 10), folder)
    assert [case.conversion.adc for case in more.missing] == [ADC(bits=10)]
    states = run(again)
    assert [(state.done, state.work) for state in states] == [(3, states[0].whole)]
    assert {file: file.stat().st_mtime_ns for file in (folder / "records").iterdir()} == before


def test_damaged_records_and_those_of_other_weights_are_measured_again(measured: tuple[Path, list[State]]) -> None:
    folder, _ = measured
    store = Store(folder)
    record = next(iter(records(folder).values()))
    key = (record.fingerprint, record.engine, record.weights.sha256)
    assert store.record(*key) == record
    assert store.record(record.fingerprint, record.engine, "0" * 64) is None
    assert store.record(record.fingerprint, "memtorch", record.weights.sha256) is None
    assert store.record("0" * 64, record.engine, record.weights.sha256) is None
    file = store.record_file(record.fingerprint)
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b'"accuracy": ', b'"accuracy": 1')):
        file.write_bytes(damaged)
        assert store.record(*key) is None
        assert len(prepare(study(4, 6, 8), folder).missing) == 1
    file.write_bytes(whole)


def test_another_study_in_the_folder_is_refused(measured: tuple[Path, list[State]]) -> None:
    folder, _ = measured
    with pytest.raises(InputError, match=r"holds the study 'small' \(whole, .*this is 'small' \(quick, .*--out"):
        run(prepare(study(4, 6, 8), folder, quick=True))
    with pytest.raises(InputError, match="this is 'other'"):
        run(prepare(replace(study(4), name="other"), folder))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--out: .* cannot be a folder"):
        prepare(study(4), tmp_path / "file/study")
    campaign = prepare(study(4), tmp_path / "later")
    (tmp_path / "later").write_text("")
    with pytest.raises(EnvironmentProblemError, match=r"Cannot write to .*--out"):
        campaign.run(lambda state: None)


def test_quick_is_coarse(tmp_path: Path, workers: Workers) -> None:
    campaign = prepare(study(4, 6, 8), tmp_path, workers, quick=True)
    run(campaign)
    found = [record.case for record in records(tmp_path).values()]
    assert sorted((case.images, case.conversion.adc.bits) for case in found if case.conversion.adc) == [(5, 4), (5, 8)]
    assert json.loads((tmp_path / "study.json").read_text())["quick"] is True


def test_a_case_that_fails_is_told_and_the_others_are_measured(tmp_path: Path, workers: Workers) -> None:
    """More calibration images than there are: found out only when the case is run. A million are refused for their memory."""

    def broken(case: Case, bits: int) -> Case:
        adc = ADC(bits=bits) if bits < 8 else ADC(bits=bits, range="calibrated", calibration_images={8: 5000, 9: 10**6}[bits])
        return case.replace(conversion=case.conversion.replace(adc=adc))

    wrong = replace(study(4, 8, 6, 9), sweeps=(replace(study(4, 8, 6, 9).sweeps[0], turn=broken),))
    states = run(prepare(wrong, tmp_path, workers))
    assert (states[-1].done, states[-1].total) == (2, 4)
    failures = dict(states[-1].failures)
    assert list(failures) == ["small, adc: bits=9, seed 0", "small, adc: bits=8, seed 0"]
    assert "calibrates on 5000 images" in failures["small, adc: bits=8, seed 0"]
    assert re.search(r"needs an estimated .* GiB of memory; the largest worker offers", failures["small, adc: bits=9, seed 0"])
    assert len(records(tmp_path)) == 2
    assert len(prepare(wrong, tmp_path).missing) == 2
    tries = {
        error.case.description: error.tries
        for error in map(Store(tmp_path).error, (c.fingerprint for c in prepare(wrong, tmp_path).missing))
        if error
    }
    assert tries == {"adc: bits=8": 1, "adc: bits=9": 0}


@pytest.mark.parametrize(
    ("base", "error", "message"),
    [
        (make_case(images=10**6), InputError, r"mnist5k' has 1000, and adc: bits=8 \(1000000\) asks for more: set images=1000"),
        (make_case(conversion=Conversion(keep_digital=("9",))), UnsupportedError, "keep_digital names '9'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_measured(
    tmp_path: Path, base: Case, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        prepare(study(8, base=base), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_effects_are_measured_and_proven(tmp_path: Path, workers: Workers) -> None:
    base = make_case(nonidealities=(ConductanceDrift(time=10.0),))
    run(prepare(study(8, base=base), tmp_path, workers))
    (record,) = records(tmp_path).values()
    assert [proof.effect for proof in record.measured.seeds[0].proofs] == ["conductance_drift"]


def command(folder: Path, *, values: tuple[int, ...], images: int = 40, seeds: tuple[int, ...] = (0,)) -> list[str]:
    file = folder / "declared.py"
    tests = str(Path(__file__).resolve().parent.parent)
    file.write_text(DECLARED.format(tests=tests, values=values, images=images, seeds=seeds))
    return [sys.executable, "-m", "membench", "study", str(file), "--out", str(folder / "out"), "--workers", "2"]


@needs_loopback
@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_records(tmp_path: Path) -> None:
    """kill -9 of the client: no worker outlives it, what was measured stays, and the rest is as it would have been."""
    wanted = command(tmp_path, values=(3, 4, 5, 6, 7, 8, 9, 10), images=400, seeds=(0, 1))
    out = tmp_path / "out/records"
    client = subprocess.Popen(wanted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out.is_dir() and len(list(out.glob("*.json"))) >= 2):
        assert client.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = psutil.Process(client.pid).children(recursive=True)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    gone, alive = psutil.wait_procs(workers, timeout=120)
    assert gone
    assert not alive
    kept = {file.name: file.stat().st_mtime_ns for file in out.glob("*.json")}
    assert 2 <= len(kept) < 8
    again = subprocess.run(wanted, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert "8 of 8 cases measured" in again.stdout
    assert "All 8 cases of the study are measured." in again.stdout
    assert (tmp_path / "out/report.html").is_file()
    assert f"8 cases, {len(kept)} of them measured before" in again.stderr
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    for record in records(tmp_path / "out").values():
        assert record.measured == run_case(record.case).measured


@needs_loopback
@pytest.mark.slow
def test_an_interrupt_ends_it_at_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    wanted = command(tmp_path, values=(3, 4, 5, 6, 7, 8, 9, 10), images=1000, seeds=(0, 1, 2, 3, 4))
    # A child of a process that was started in the background would ignore interrupts, as that does.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    client = subprocess.Popen(wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out/points").is_dir():
        assert client.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = psutil.Process(client.pid).children(recursive=True)
    os.killpg(client.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, said = client.communicate(timeout=120)
    assert client.returncode == 130
    assert "The same command goes on" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(workers, timeout=120)[1] == []
    assert list((tmp_path / "out").rglob("*.tmp")) == []


@needs_loopback
@pytest.mark.slow
def test_the_estimate_alone_measures_nothing(tmp_path: Path) -> None:
    wanted = command(tmp_path, values=(4, 8))
    said = subprocess.run([*wanted, "--estimate"], capture_output=True, text=True, timeout=300, check=True)
    assert "2 cases, 0 of them measured before" in said.stderr
    assert "about 1 min on 2 workers" in said.stderr
    assert not (tmp_path / "out/records").exists()
