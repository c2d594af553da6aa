"""One case on several engines: who agrees with whom, and the first layer at which two part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_case
from torch import nn
from typer.testing import CliRunner

from membench import ADC, Case, ConductanceDrift, Conversion, InputScaling, ReadNoise, Variability, run_case
from membench.arrays import MemristiveLayer
from membench.cli import app
from membench.comparison import Comparison, Contender, Pair, Parting
from membench.engines import ENGINES, layer_at
from membench.engines._base import Problem
from membench.engines.vectorized import VectorizedEngine, VectorizedNetwork
from membench.errors import InputError, UnknownNameError
from membench.models import NETWORKS, Network, Recipe
from membench.report.versus import compared, verdict
from membench.report.versus_figure import write_figure
from membench.statistics import paired_difference
from membench.versus import default_engines, versus

TILED = Conversion(tile_shape=(16, 8), adc=ADC(bits=8, range="calibrated"), max_input_voltage=6.0)
Change = Callable[[MemristiveLayer], None]


def another(monkeypatch: pytest.MonkeyPatch, layer: str, change: Change, name: str = "another") -> str:
    """An engine like `vectorized`, but for one layer, that is changed when it is tuned."""

    class Changed(VectorizedNetwork):
        def tune(self, *arguments: Any) -> None:
            super().tune(*arguments)
            if layer:
                found = layer_at(self.network, layer)
                assert isinstance(found, MemristiveLayer)
                change(found)

    return engine_of(monkeypatch, Changed, name)


def engine_of(monkeypatch: pytest.MonkeyPatch, kind: type[VectorizedNetwork], name: str) -> str:
    class Another(VectorizedEngine):
        def convert(self, *arguments: Any) -> VectorizedNetwork:
            made = super().convert(*arguments)
            return kind(made.network, made._conversion, made._converted)

    Another.name = name
    monkeypatch.setitem(ENGINES._items, name, Another())
    return name


def shifted(layer: MemristiveLayer) -> None:
    """Every output a few steps of the ADC off."""
    layer.offset += 3.5 * float(layer.full_scale) / 128 * float(layer.gain)


def small(**fields: Any) -> Case:
    return make_case(**{"conversion": TILED, "images": 100, "seeds": (0, 1), **fields})


def the_pair(found: Comparison, one: str, other: str) -> Pair:
    (pair,) = (pair for pair in found.pairs if (pair.one, pair.other) == (one, other))
    return pair


def test_equal_engines_agree_in_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    name = another(monkeypatch, "", lambda layer: None)
    case = small()
    found = versus(case, ["vectorized", name])
    measured = run_case(case).measured
    for contender in found.contenders:
        assert contender.measured is not None
        assert (contender.measured.accuracy, contender.measured.loss) == (measured.accuracy, measured.loss)
        assert contender.measured.logit_error == measured.logit_error
        assert contender.measured.ratio > 0
        assert contender.measured.convert_seconds > 0
        assert [layer.name for layer in contender.measured.layers] == [layer.name for layer in measured.layers]
        first, last = contender.measured.layers
        assert 0 < first.alone == pytest.approx(first.arriving, rel=1e-6)  # both get the image
        assert 0 < last.alone < last.arriving < 1  # the first layer's error arrives too
        assert first.noise == last.noise == 0
    pair = the_pair(found, "vectorized", name)
    assert (pair.parting, pair.disagree, pair.same_predictions) == (None, False, 1.0)
    assert pair.difference.estimate == 0
    assert (found.images, found.seeds, found.layer_images) == (100, (0, 1), 40)
    assert found.fingerprint == case.fingerprint
    assert "No two engines disagree" in compared(found)


@pytest.mark.parametrize("layer", ["0", "4"])
def test_the_layer_that_differs_is_the_first_at_which_they_part(monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
    """Later layers get other inputs in the network, but here each is given the digital network's."""
    name = another(monkeypatch, layer, shifted)
    pair = the_pair(versus(small(), ["vectorized", name]), "vectorized", name)
    assert pair.parting is not None
    assert pair.parting.layer == layer
    assert pair.parting.off > 0.99
    assert pair.parting.steps == pytest.approx(3.5, rel=0.01)
    assert "steps of the ADC" in str(pair.parting)


def test_an_image_that_was_scaled_has_a_step_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.6 codes are much for most of the images, whose scale is less, though not for the one with the largest."""

    def off(layer: MemristiveLayer) -> None:
        layer.offset += 1.6 * float(layer.full_scale) / 128 * float(layer.gain)

    name = another(monkeypatch, "4", off)
    conversion = TILED.replace(max_input_voltage=3.3, scaling=InputScaling(undone=True, per="image"))
    parting = the_pair(versus(small(conversion=conversion), ["vectorized", name]), "vectorized", name).parting
    assert parting is not None
    assert parting.layer == "4"
    assert 0.5 < parting.off < 0.99
    assert parting.steps == pytest.approx(1.6, rel=0.01)


def test_layers_are_looked_at_in_the_order_in_which_the_network_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `__init__` may name them in another."""

    class Backwards(nn.Module):
        def __init__(self, classes: int, shape: tuple[int, int, int]) -> None:
            super().__init__()
            self.head = nn.Linear(32, classes)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], 32), nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x))  # type: ignore[no-any-return]

    recipe = Recipe(epochs=1, mirror=False, shift=0)
    monkeypatch.setitem(NETWORKS._items, "backwards", Network("backwards", Backwards, recipe))

    class Changed(VectorizedNetwork):
        def tune(self, *arguments: Any) -> None:
            super().tune(*arguments)
            for layer in ("head", "body.1"):
                found = layer_at(self.network, layer)
                assert isinstance(found, MemristiveLayer)
                shifted(found)

    name = engine_of(monkeypatch, Changed, "another")
    found = versus(small(network="backwards", seeds=(0,)), ["vectorized", name])
    measured = found.contenders[0].measured
    assert measured is not None
    assert [layer.name for layer in measured.layers] == ["body.1", "head"]
    parting = the_pair(found, "vectorized", name).parting
    assert parting is not None
    assert parting.layer == "body.1"


def test_a_single_step_now_and_then_is_no_parting(monkeypatch: pytest.MonkeyPatch) -> None:
    def nudged(layer: MemristiveLayer) -> None:
        layer.conductance[0] *= 1 + 1e-6

    name = another(monkeypatch, "0", nudged)
    assert the_pair(versus(small(), ["vectorized", name]), "vectorized", name).parting is None


@pytest.mark.parametrize(("values", "parts"), [(3, False), (30, True)])
def test_one_output_in_a_thousand_may_be_off(monkeypatch: pytest.MonkeyPatch, values: int, parts: bool) -> None:
    """By steps of the ADC, in each batch of 20 images: 3 of 3920 outputs, or 30."""

    def some_off(layer: MemristiveLayer) -> None:
        step = float(layer.full_scale) / 128 * abs(float(layer.gain))

        def spoil(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
            output.view(-1)[:values] += 5 * step
            return output

        layer.register_forward_hook(spoil)

    name = another(monkeypatch, "0", some_off)
    parting = the_pair(versus(small(seeds=(0,)), ["vectorized", name]), "vectorized", name).parting
    assert (parting is not None) is parts


def test_without_an_adc_a_relative_difference_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small(conversion=TILED.replace(adc=None))

    def scaled(by: float) -> Change:
        def change(layer: MemristiveLayer) -> None:
            layer.gain *= by

        return change

    close, far = another(monkeypatch, "0", scaled(1 + 1e-5), "close"), another(monkeypatch, "0", scaled(1.01), "far")
    found = versus(case, ["vectorized", close, far])
    assert the_pair(found, "vectorized", close).parting is None
    parting = the_pair(found, "vectorized", far).parting
    assert parting is not None
    assert (parting.layer, parting.steps) == ("0", 0.0)
    assert parting.error == pytest.approx(0.01, rel=0.2)
    assert "of the largest" in str(parting)


def test_a_disagreement_names_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(layer: MemristiveLayer) -> None:
        layer.gain *= 0

    name = another(monkeypatch, "4", dead)
    found = versus(small(), ["vectorized", name])
    pair = the_pair(found, "vectorized", name)
    assert pair.disagree
    assert pair.difference.estimate > 50
    assert f"vectorized and {name} disagree by" in verdict(found)
    assert "they part first at layer 4" in verdict(found)


def test_noise_is_no_parting_and_more_noise_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines draw other numbers; what may not differ is how large they are."""

    def reseeded(times: float) -> Change:
        def change(layer: MemristiveLayer) -> None:
            assert layer.noise_seed is not None
            layer.noise_seed += 1
            layer.variance = layer.variance * times**2

        return change

    conversion = TILED.replace(adc=None, tuning=Conversion().tuning.replace(after="effects"))  # type: ignore[union-attr]
    case = small(conversion=conversion, nonidealities=(ReadNoise(sigma=0.1),))
    alike, louder = another(monkeypatch, "0", reseeded(1), "alike"), another(monkeypatch, "0", reseeded(2), "louder")
    found = versus(case, ["vectorized", alike, louder])
    measured = found.contenders[0].measured
    assert measured is not None
    assert all(layer.noise > 0 for layer in measured.layers)
    assert the_pair(found, "vectorized", alike).parting is None
    parting = the_pair(found, "vectorized", louder).parting
    assert parting is not None
    assert parting.layer == "0"
    assert parting.noise[1] == pytest.approx(2 * parting.noise[0], rel=0.05)
    assert "its reads vary by" in str(parting)


@pytest.mark.parametrize("seed", range(5))
def test_noise_on_a_few_outputs_is_no_parting(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The deviations of 20 values differ by chance, by far more than those of thousands may."""

    def reseeded(layer: MemristiveLayer) -> None:
        assert layer.noise_seed is not None
        layer.noise_seed += 1

    conversion = TILED.replace(adc=None, tuning=Conversion().tuning.replace(after="effects"))  # type: ignore[union-attr]
    case = small(conversion=conversion, nonidealities=(ReadNoise(sigma=0.1),), images=2, batch_size=2, seeds=(seed,))
    name = another(monkeypatch, "4", reseeded)
    assert the_pair(versus(case, ["vectorized", name]), "vectorized", name).parting is None


def test_other_devices_are_said_to_be_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(layer: MemristiveLayer) -> None:
        layer.conductance *= 1.25

    name = another(monkeypatch, "4", moved)
    case = small(conversion=TILED.replace(adc=None), nonidealities=(Variability(r_on_sigma=1.0, r_off_sigma=20.0),))
    parting = the_pair(versus(case, ["vectorized", name]), "vectorized", name).parting
    assert parting is not None
    assert "its devices are others, by up to 2" in str(parting)


def test_an_engine_that_cannot_express_the_case_stands_there_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    name = another(monkeypatch, "", lambda layer: None)
    monkeypatch.setattr(type(ENGINES.get("crosssim")), "problem", lambda self: Problem("it is not here", "get it"))
    found = versus(small(), ["vectorized", name, "memtorch", "crosssim"])
    refused = {one.engine: one.refused for one in found.contenders if one.measured is None}
    assert refused["crosssim"] == "it is not here. Mend it with: get it"
    assert "adc.range='calibrated'" in refused["memtorch"]
    said = compared(found)
    assert "The engine memtorch cannot express adc.range='calibrated'" in said
    assert "crosssim: it is not here" in said
    assert len(found.pairs) == 1


def test_the_digital_network_may_be_one_of_them() -> None:
    """It has no ADC to calibrate."""
    found = versus(small(seeds=(0,)), ["digital", "vectorized"])
    digital, vectorized = (contender.measured for contender in found.contenders)
    assert digital is not None
    assert vectorized is not None
    assert digital.logit_error == 0 < vectorized.logit_error
    assert all(layer.arriving == 0 for layer in digital.layers)


def test_two_engines_at_least_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"needs two engines(.|\n)*memtorch: The engine memtorch cannot express adc.range"):
        versus(small(), ["vectorized", "memtorch"])
    with pytest.raises(InputError, match="named once"):
        versus(small(), ["vectorized", "vectorized"])
    with pytest.raises(UnknownNameError, match="nonesuch"):
        versus(small(), ["vectorized", "nonesuch"])


def test_by_default_all_but_the_slow_one_and_the_digital_network() -> None:
    assert default_engines()[0] == "vectorized"
    assert set(ENGINES.names()) - set(default_engines()) == {"digital", "memtorch"}


def test_a_real_simulator_agrees_on_a_passive_array() -> None:
    """badcrossbar has no converters; with drift its logits are those of membench."""
    case = small(
        conversion=Conversion(tile_shape=(16, 8)), nonidealities=(ConductanceDrift(time=100.0, coefficient=0.05),), seeds=(0,)
    )
    if ENGINES.get("badcrossbar").problem() is not None:
        pytest.skip("badcrossbar is not here")
    pair = the_pair(versus(case, ["vectorized", "badcrossbar"]), "vectorized", "badcrossbar")
    assert pair.parting is None
    assert pair.same_predictions == 1.0


def test_a_record_of_a_simulator_names_it_and_its_version() -> None:
    """The case, and so its fingerprint, knows no engine."""
    if ENGINES.get("badcrossbar").problem() is not None:
        pytest.skip("badcrossbar is not here")
    case = small(conversion=Conversion(tile_shape=(16, 8)), images=20, seeds=(0,))
    other, own = (run_case(case, engine) for engine in ("badcrossbar", "vectorized"))
    assert (other.engine, other.provenance.versions["badcrossbar"]) == ("badcrossbar", "1.1.0")
    assert "badcrossbar" not in own.provenance.versions
    assert other.fingerprint == own.fingerprint


def comparison() -> Comparison:
    """Two engines of which one is refused: what a figure and a table must cope with."""
    return Comparison(
        case="some",
        fingerprint="0",
        images=10,
        seeds=(0,),
        layer_images=10,
        digital_accuracy=0.9,
        contenders=(Contender(engine="crosssim", refused="crosssim: not here"),),
        pairs=(
            Pair(
                one="a",
                other="b",
                difference=paired_difference([True] * 40, [False] * 40),
                same_predictions=0.0,
                parting=Parting(layer="x", off=0.5, steps=2.0, error=0.1, devices=0.0),
            ),
            Pair(one="a", other="c", difference=paired_difference([True] * 40, [False] * 40), same_predictions=0, parting=None),
        ),
        machine="this",
        threads=1,
    )


def test_a_comparison_is_plain_data() -> None:
    found = comparison()
    assert Comparison.from_json(found.model_dump_json(), "a comparison") == found
    lines = verdict(found).splitlines()
    assert lines[0].endswith("they part first at layer x (50 % of its outputs are off, by up to 2 steps of the ADC).")
    assert lines[1].endswith("yet every layer agrees, given the same input.")


def test_the_figure_shows_every_engine_that_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = versus(small(seeds=(0,)), ["vectorized", another(monkeypatch, "0", shifted)])
    file = write_figure(found, tmp_path / "versus.svg")
    text = file.read_text()
    assert "<svg" in text
    with pytest.raises(InputError, match="no folder"):
        write_figure(found, tmp_path / "absent" / "versus.svg")
    with pytest.raises(InputError, match=r"\.txt"):
        write_figure(found, tmp_path / "versus.txt")


def test_the_command_prints_tables_and_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = another(monkeypatch, "0", shifted)
    (tmp_path / "cases.py").write_text(
        "from membench import ADC, Case, Conversion, Thresholds\n"
        "import tiny\n"
        "CASES = [Case(name='mine', dataset='mnist5k', network='tiny', thresholds=Thresholds(max_loss_points=9.0), images=40, seeds=(0, 1),"
        " conversion=Conversion(tile_shape=(16, 8), adc=ADC(bits=8, range='calibrated'), max_input_voltage=6.0))]\n"
    )
    asked = ["versus", "mine", "--cases", str(tmp_path), "--engines", f"vectorized, {name}", "--seeds", "1", "--images", "20"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    assert "part at layer" in told.stdout
    figure = tmp_path / "figure.png"
    told = CliRunner().invoke(app, [*asked, "--json", "--figure", str(figure)])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout[told.stdout.index("{") :])
    assert found["images"] == 20
    assert found["seeds"] == [0]
    assert [pair["parting"]["layer"] for pair in found["pairs"]] == ["0"]
    assert figure.stat().st_size > 1000
