"""A fault that was put in on purpose is blamed: on the step that brings it, and on the layer that holds it."""

from __future__ import annotations

import math

import pytest
from conftest import make_case

from membench import ADC, Case, ConductanceDrift, Conversion, DeviceFaults, Variability, profile, run_case
from membench.arrays import MemristiveLayer
from membench.engines.vectorized import VectorizedNetwork
from membench.errors import InputError, UnknownNameError
from membench.explain import decibel, explain, lost_at
from membench.explanation import LayerBlame

FINE = Conversion(tile_shape=(16, 8), adc=ADC(bits=8), max_input_voltage=6.0)
SLIGHT = (Variability(r_on_sigma=5.0, r_off_sigma=100.0),)


def small(conversion: Conversion, *effects: object) -> Case:
    return make_case(conversion=conversion, nonidealities=effects, images=100, seeds=(0, 1))


@pytest.mark.parametrize(
    ("case", "step", "by"),
    [
        (small(FINE.replace(adc=ADC(bits=2)), *SLIGHT), "ADC", "loss"),
        (small(FINE, *SLIGHT, DeviceFaults(lrs_proportion=0.2), ConductanceDrift(time=2.0)), "device_faults", "loss"),
        (
            make_case(network="vgg-mnist", conversion=profile("ideal").conversion.replace(max_input_voltage=0.3)),
            "input limit",
            "loss",
        ),
        (small(FINE.replace(max_input_voltage=1.0), *SLIGHT), "input limit", "logit error"),
        (small(FINE.replace(retained=0.5), *SLIGHT), "mapped", "loss"),
    ],
    ids=["ADC", "faults", "limit", "limit that flips no image", "mapping"],
)
def test_the_step_that_does_the_damage_is_blamed(case: Case, step: str, by: str) -> None:
    found = explain(case)
    assert found.culprit is not None
    assert (found.culprit.step, found.culprit.by) == (step, by)
    assert (
        lost_at(run_case(case))
        == f"{found.culprit} on {case.images} images x {len(case.seeds)} seed{'s' * (len(case.seeds) > 1)}"
    )


def test_the_last_step_is_the_case_and_the_steps_add_up() -> None:
    case = small(FINE.replace(adc=ADC(bits=2)), *SLIGHT)
    found, measured = explain(case), run_case(case).measured
    *_, adc, last = found.steps
    assert adc.loss.estimate > 5
    assert (last.accuracy, last.loss, last.logit_error) == (measured.accuracy, measured.loss, measured.logit_error)
    assert found.digital_accuracy == measured.digital_accuracy
    assert sum(step.change.estimate for step in found.steps) == pytest.approx(last.loss.estimate)
    assert [step.loss.estimate for step in found.steps] == pytest.approx(
        [100 * (found.digital_accuracy - step.accuracy) for step in found.steps]
    )
    assert (found.images, found.seeds, found.layer_images, found.layer_seeds) == (100, (0, 1), 100, (0, 1))
    assert found.fingerprint == case.fingerprint
    assert explain(case) == found


def of(layers: tuple[LayerBlame, ...]) -> dict[str, LayerBlame]:
    return {layer.name: layer for layer in layers}


def test_an_error_that_arrives_is_not_the_layers_own() -> None:
    """Two bits in both layers: the first has only its own error, the second that of the first as well."""
    found = of(explain(small(FINE.replace(adc=ADC(bits=2)))).layers)
    assert list(found) == ["0", "4"]
    assert found["0"].snr_db_alone == found["0"].snr_db_arriving
    assert found["4"].snr_db_alone > found["4"].snr_db_arriving + 1
    assert all(0 < layer.clipped < 0.2 for layer in found.values())


def test_layers_without_adc_and_limit_clip_and_scale_nothing() -> None:
    for layer in explain(small(Conversion())).layers:
        assert layer.snr_db_alone > 100
        assert (layer.clipped, layer.scaled) == (0.0, 0.0)


def test_inputs_beyond_the_limit_are_counted() -> None:
    """Every digit has a white pixel, above 0.1 V; at 6 V only what the classifier sees is scaled, by batches of 20."""
    assert [layer.scaled for layer in explain(small(FINE.replace(max_input_voltage=0.1))).layers] == [1.0, 1.0]
    first, last = (layer.scaled for layer in explain(small(FINE)).layers)
    assert first == 0.0
    assert 0 < last < 1
    assert 10 * last == pytest.approx(round(10 * last))  # 5 batches on 2 seeds


def broken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """After tuning, the conductances of one layer are those of another network."""
    tune = VectorizedNetwork.tune

    def tuned(self: VectorizedNetwork, *arguments: object) -> None:
        tune(self, *arguments)  # type: ignore[arg-type]
        layer = self.network.get_submodule(name)
        if isinstance(layer, MemristiveLayer):
            layer.conductance = layer.conductance.flip(-1)

    monkeypatch.setattr(VectorizedNetwork, "tune", tuned)


@pytest.mark.parametrize("name", ["0", "4"])
def test_protecting_the_only_broken_layer_wins_all_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, name)
    found = explain(small(Conversion()))
    assert found.most_valuable == name
    layers = of(found.layers)
    lost = found.steps[-1].loss.estimate
    assert lost > 10
    assert layers[name].protected_gain.estimate == pytest.approx(lost)
    assert layers[name].protected_logit_error < 1e-5
    (other,) = set(layers) - {name}
    assert layers[other].protected_gain.estimate == pytest.approx(0.0, abs=2.0)
    assert layers[other].snr_db_alone > 100
    assert layers[name].snr_db_alone < 10


def test_a_network_of_one_memristive_layer_is_protected_whole() -> None:
    found = explain(small(FINE.replace(adc=ADC(bits=2), keep_digital=("0",))))
    (layer,) = found.layers
    assert layer.name == found.most_valuable == "4"
    assert layer.protected_gain.estimate == found.steps[-1].loss.estimate > 0
    assert layer.protected_logit_error == 0.0


def test_other_engines_tell_the_ladder_alone_and_say_so() -> None:
    found = explain(make_case(conversion=Conversion(adc=ADC(bits=2)), images=20), "memtorch")
    assert [step.name for step in found.steps] == ["mapped", "ADC"]
    assert (found.layers, found.layer_images, found.layer_seeds, found.most_valuable) == ((), 0, (), None)
    assert "The engine memtorch does not tell what its layers do" in found.note


def test_a_digital_network_has_nothing_to_explain() -> None:
    assert explain(make_case(), "digital").culprit is None
    assert lost_at(run_case(make_case(), "digital")) == "no step: nothing is lost"


def test_a_failed_case_is_explained_on_few_images_or_not_at_all() -> None:
    record = run_case(make_case(conversion=Conversion(adc=ADC(bits=2)), images=260, seeds=(0, 1, 2)))
    assert lost_at(record).endswith("on 200 images x 2 seeds")
    slow = record.costs.replace(seeds=tuple(seed.replace(convert=60.0) for seed in record.costs.seeds))
    with pytest.raises(InputError, match="about 4 minutes on engine vectorized"):
        lost_at(record.replace(costs=slow))


def test_progress_names_the_step() -> None:
    said: list[str] = []
    explain(make_case(conversion=Conversion(adc=ADC(bits=8)), images=20), progress=lambda what, done, total: said.append(what))
    assert "step 1 of 2, mapped, seed 0: infer" in said
    assert "step 2 of 2, ADC, seed 0: infer" in said
    assert "protect 4, seed 0: infer" in said


def test_errors_are_those_of_run_case() -> None:
    with pytest.raises(UnknownNameError):
        explain(make_case(dataset="mnist6"))


def test_decibel() -> None:
    assert decibel(100.0, 1.0) == pytest.approx(20.0)
    assert decibel(1.0, 0.0) == math.inf
    assert decibel(0.0, 1.0) == decibel(1.0, math.nan) == -math.inf
