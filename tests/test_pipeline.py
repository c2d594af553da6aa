"""run_case: the same record again, nothing left behind, and every fault found before it costs time."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_case, needs_data

from membench import ADC, Case, ConductanceDrift, Conversion, DeviceFaults, Variability, run_case
from membench.datasets import DATASETS
from membench.errors import DataMissingError, EffectDidNothingError, EnvironmentProblemError, InputError, UnknownNameError
from membench.record import Record

VARIED = (Variability(r_on_sigma=5.0, r_off_sigma=100.0), DeviceFaults(hrs_proportion=0.02), ConductanceDrift(time=2.0))


def measured(record: Record) -> str:
    return record.measured.model_dump_json()


def test_the_ideal_case_loses_nothing(case: Case) -> None:
    record = run_case(case)
    assert record.measured.logit_error < 1e-5
    assert record.measured.loss.estimate == 0
    assert record.measured.agreement == 1
    assert record.measured.digital_accuracy > 0.5
    assert [layer.name for layer in record.measured.layers] == ["0", "4"]
    assert record.measured.digital_layers == ("1",)
    assert record.fingerprint == case.fingerprint


def test_the_same_case_gives_the_same_record_byte_for_byte_also_after_another_case() -> None:
    varied = make_case(nonidealities=VARIED, seeds=(0, 1))
    first = run_case(varied)
    assert measured(run_case(varied)) == measured(first)
    run_case(make_case(name="other", images=20, seeds=(7,)))
    torch.manual_seed(99)
    np.random.seed(99)
    assert measured(run_case(varied)) == measured(first)


def test_a_seed_gives_the_same_whatever_other_seeds_there_are() -> None:
    both, one = run_case(make_case(nonidealities=VARIED, seeds=(0, 1))), run_case(make_case(nonidealities=VARIED, seeds=(1,)))
    assert both.measured.seeds[1] == one.measured.seeds[0]
    assert both.measured.seeds[0] != both.measured.seeds[1].model_copy(update={"seed": 0})


def test_adding_an_effect_does_not_move_the_randomness_of_another() -> None:
    """The same devices are stuck whether or not drift comes later, and whether or not it is asked for."""
    alone = run_case(make_case(nonidealities=VARIED[:2]))
    more = run_case(make_case(nonidealities=VARIED))
    assert alone.measured.seeds[0].proofs == more.measured.seeds[0].proofs[:2]


def test_fewer_images_are_the_beginning_of_more() -> None:
    few, many = run_case(make_case(images=20)), run_case(make_case(images=60))
    assert few.measured.images == many.measured.images[:20]
    assert few.measured.seeds[0].predictions == many.measured.seeds[0].predictions[:20]


def test_the_subset_is_balanced() -> None:
    labels = run_case(make_case(images=60)).measured.labels
    assert sorted(labels) == [label for label in range(10) for _ in range(6)]


def test_the_callers_state_is_given_back(case: Case) -> None:
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    torch.set_num_threads(2)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state(), np.geterr()
    run_case(case)
    after = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state(), np.geterr()
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert torch.equal(before[2], after[2])
    assert before[3] == after[3]
    assert torch.get_num_threads() == 2


def test_costs_are_measured() -> None:
    record = run_case(make_case(images=40, batch_size=20, seeds=(0, 1)), threads=1)
    costs = record.costs
    assert costs.threads == 1
    assert costs.batch_sizes == (20, 20)
    assert len(costs.digital_batches) == 2
    assert all(len(cost.batches) == 2 and min(cost.batches) > 0 and cost.convert > 0 and cost.tune > 0 for cost in costs.seeds)
    assert costs.ratio == pytest.approx(costs.seconds_per_image / costs.digital_seconds_per_image)
    assert record.provenance.versions["memtorch-cpu"] == "1.1.6"


def test_effects_are_proven_in_the_record() -> None:
    proofs = run_case(make_case(nonidealities=VARIED)).measured.seeds[0].proofs
    assert [proof.effect for proof in proofs] == ["variability", "device_faults", "conductance_drift"]
    assert all(proof.moved > 0 for proof in proofs)


def test_tuning_after_the_effects_repairs_uniform_drift() -> None:
    drift = (ConductanceDrift(time=100.0),)
    case = make_case(nonidealities=drift)
    tuned = case.replace(conversion=case.conversion.replace(tuning=case.conversion.tuning.replace(after="effects")))
    untuned = case.replace(conversion=case.conversion.replace(tuning=None))
    errors = [run_case(one).measured.logit_error for one in (tuned, case, untuned)]
    assert errors[0] < 1e-4 < 0.1 < errors[1]
    assert errors[2] > 0.1


def test_stronger_faults_cost_more() -> None:
    cases = [
        make_case(nonidealities=(DeviceFaults(hrs_proportion=share),), images=100, seeds=(0, 1)) for share in (0.02, 0.3, 1.0)
    ]
    errors = [run_case(case).measured.logit_error for case in cases]
    assert errors[0] < errors[1] < errors[2]


def test_all_devices_stuck_gives_chance() -> None:
    measured = run_case(make_case(nonidealities=(DeviceFaults(hrs_proportion=1.0),), images=100)).measured
    assert measured.accuracy == pytest.approx(0.1, abs=0.001)  # one class for all of a balanced subset


def test_progress_tells_each_stage() -> None:
    seen: list[tuple[str, int, int]] = []
    run_case(make_case(images=40), progress=lambda what, done, total: seen.append((what, done, total)))
    assert {what for what, _, _ in seen} >= {"seed 0: convert", "seed 0: tune", "seed 0: infer"}
    assert ("seed 0: infer", 40, 40) in seen


@pytest.mark.parametrize("range_", ["vector", "calibrated"])
def test_the_digital_engine_loses_nothing(case: Case, range_: str) -> None:
    record = run_case(case.replace(conversion=case.conversion.replace(adc=ADC(bits=2, range=range_))), "digital")
    assert record.measured.logit_error == 0
    assert record.measured.layers == ()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"dataset": "mnist5"}, UnknownNameError, "no data set 'mnist5'. Did you mean 'mnist5k'"),
        ({"network": "vgg"}, UnknownNameError, "no network 'vgg'"),
        ({"images": 1001}, InputError, "asks for 1001 images; mnist5k has 1000"),
    ],
)
def test_what_is_not_there_is_named(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run_case(make_case(**changes))


def test_an_unknown_engine_is_named(case: Case) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no engine 'memtorh'. Did you mean 'memtorch'\? Known: .*digital, memtorch, vectorized"
    ):
        run_case(case, "memtorh")


def test_an_engine_that_is_not_installed_says_how_to_get_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.engines.memtorch._memtorch", lambda: (_ for _ in ()).throw(ImportError("no memtorch")))
    with pytest.raises(EnvironmentProblemError, match=r"no memtorch.*Mend it with: make setup"):
        run_case(case)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
def test_missing_data_say_how_to_get_them(name: str, tmp_path: Any) -> None:
    with pytest.raises(DataMissingError, match=f"membench data get {name}"):
        run_case(make_case(dataset=name), data=tmp_path)


def test_an_effect_that_does_not_act_ends_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.engines.vectorized.VectorizedNetwork.apply", lambda self, effect, seed: None)
    with pytest.raises(EffectDidNothingError, match="device_faults"):
        run_case(make_case(nonidealities=(DeviceFaults(hrs_proportion=0.1),)))


def test_nan_logits_are_no_prediction(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    from membench.verdict import Status, decide

    monkeypatch.setattr(
        "membench.engines.vectorized.VectorizedNetwork.infer", lambda self, batch: torch.full((len(batch), 10), float("nan"))
    )
    record = run_case(case)
    assert set(record.measured.seeds[0].predictions) == {-1}
    assert decide(record, None).status is Status.INVALID


@needs_data("cifar10")
def test_a_colour_data_set_runs_too() -> None:
    record = run_case(make_case(dataset="cifar10", images=20))
    assert record.measured.logit_error < 1e-5
    assert record.measured.digital_accuracy > 1 / DATASETS.get("cifar10").classes


def test_a_device_that_is_not_here_is_refused_before_anything_is_run(case: Case) -> None:
    with pytest.raises(InputError, match=r"There is no device 'gpu': .*Allowed: cpu, or a device that torch finds"):
        run_case(case, device="gpu")
    with pytest.raises(InputError, match="The device 'meta' holds no numbers"):
        run_case(case, device="meta")
    with pytest.raises(EnvironmentProblemError, match="The device 'cuda:99' cannot be used here"):
        run_case(case, device="cuda:99")


def test_memtorch_runs_on_the_cpu_only(case: Case) -> None:
    with pytest.raises(InputError, match="The engine memtorch runs on the CPU only, not on 'cuda'"):
        run_case(case, "memtorch", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_gives_the_same_record_but_for_rounding() -> None:
    case = make_case(conversion=Conversion(tile_shape=(16, 8), adc=ADC(bits=8), max_input_voltage=3.0), nonidealities=VARIED)
    here, there = run_case(case).measured, run_case(case, device="cuda").measured
    assert there.seeds[0].proofs == here.seeds[0].proofs
    assert there.logit_error == pytest.approx(here.logit_error, rel=1e-3)
    assert np.mean(np.array(there.seeds[0].predictions) != np.array(here.seeds[0].predictions)) <= 0.05


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_move_a_tiled_record(threads: int) -> None:
    case = make_case(conversion=Conversion(tile_shape=(16, 8), adc=ADC(bits=8)), nonidealities=VARIED)
    assert measured(run_case(case, threads=threads)) == measured(run_case(case, threads=1))


@pytest.mark.parametrize("engine", ["vectorized", "memtorch"])
def test_layers_say_how_many_vectors_an_image_puts_through_them(engine: str) -> None:
    """A convolution of stride 4 on 28 x 28 pixels has 7 x 7 outputs a channel; a fully connected layer has one vector."""
    measured = run_case(make_case(images=2), engine).measured
    assert [(layer.kind, layer.reads) for layer in measured.layers] == [("Conv2d", 49), ("Linear", 1)]
