"""Checkpoints: measured as they are, kept with a card, never trained, and never said to be of known training images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commits import git
from safetensors.torch import load_file, save_file
from stored import RECIPE, Stored, drawn, network, write
from torch import nn

from membench import Case, Conversion, Thresholds, run_case
from membench.datasets import DATASETS
from membench.errors import FileFormatError, InputError
from membench.models import NETWORKS, Card, Network, Trained, _imported, _weights, import_weights, obtain, obtain_for
from membench.record import Record
from membench.runtime import pinned_threads
from membench.storage import sha256

STORED = Stored()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with data, in which the process stands; its cache is its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path / "cache"))
    git(tmp_path, "init", "--quiet")
    write(tmp_path / "data", drawn())
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_weights, "train", lambda *_, **__: pytest.fail("it was trained"))


def model(seed: int = 0, **parts: Any) -> nn.Module:
    """A network that is trained elsewhere, a little."""
    with pinned_threads(1):
        torch.manual_seed(seed)
        found = network(**parts).build(3, (1, 6, 6))
        split = STORED.load("train")
        optimizer = torch.optim.Adam(found.parameters(), 0.01)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(found(STORED.normalise(split.images)), split.labels).backward()
            optimizer.step()
    return found.eval()


def right(found: nn.Module) -> float:
    test = STORED.load("test")
    with torch.inference_mode():
        return float((found(STORED.normalise(test.images)).argmax(1) == test.labels).float().mean())


def saved(file: Path, found: nn.Module) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": found.state_dict(), "epoch": 20}, file)
    return file


def mine(weights: str | Path | None = "own.pt", **parts: Any) -> Network:
    return Network("mine", network(**parts).build, weights=weights)


def equal(trained: Trained, found: nn.Module) -> bool:
    state = trained.model.state_dict()
    return all(torch.equal(state[name], value) for name, value in found.state_dict().items())


# Measured as they are


@pytest.mark.usefixtures("never")
def test_a_checkpoint_is_measured_as_it_is(place: Path) -> None:
    """Loaded in a factory it was trained over: 92.8 % where it had 98.0 %."""
    theirs = model()
    saved(place / "own.pt", theirs)
    taken = obtain(mine(), STORED)
    assert equal(taken, theirs)
    assert not taken.model.training
    assert taken.card.accuracy == pytest.approx(right(theirs))


@pytest.mark.usefixtures("never")
def test_its_card_says_where_it_comes_from_and_nothing_of_a_training(place: Path) -> None:
    file = saved(place / "own.pt", model())
    card = obtain(mine(), STORED).card
    assert card.source is not None
    assert (card.source.file, card.source.sha256) == ("own.pt", sha256(file.read_bytes()))
    assert [card.recipe, card.train_images, card.train_digest, card.train_labelled, card.threads, card.seconds] == [None] * 6
    assert (card.network, card.dataset, card.test_images) == ("mine", "stored", 60)
    assert card.test_labelled == STORED.load("test").labelled_digest
    assert card.parameters == sum(value.numel() for value in model().parameters())
    assert card.pretrained == f"own.pt (sha256 {card.source.sha256[:12]})"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    original = _imported.accuracy
    monkeypatch.setattr(_imported, "accuracy", lambda *given: (seen.append(1), original(*given))[1])
    return seen


def test_it_is_measured_once_and_again_where_anything_changed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    theirs = model()
    saved(place / "own.pt", theirs)
    first = obtain(mine(), STORED)
    assert obtain(mine(), STORED).card == first.card
    assert len(seen) == 1

    other_code = obtain(mine(activation=nn.Tanh), STORED)
    assert (len(seen), other_code.card.sha256) == (2, first.card.sha256)
    assert other_code.card.accuracy == pytest.approx(right(other_code.model))

    write(place / "data", drawn(3))
    other_data = obtain(mine(), STORED)
    assert (len(seen), other_data.card.sha256) == (3, first.card.sha256)
    assert other_data.card.accuracy == pytest.approx(right(theirs))

    write(place / "data", drawn())
    saved(place / "own.pt", model(1))
    other_file = obtain(mine(), STORED)
    assert len(seen) == 4
    assert other_file.card.sha256 != first.card.sha256

    saved(place / "own.pt", theirs)
    assert [obtain(mine(), STORED).file, obtain(mine(activation=nn.Tanh), STORED).file] == [first.file, other_code.file]
    assert len(seen) == 4


def test_the_same_tensors_have_one_hash_whatever_file_they_come_from(place: Path) -> None:
    """So that a baseline stays where a checkpoint is written anew."""
    theirs = model()
    saved(place / "own.pt", theirs)
    save_file(theirs.state_dict(), place / "own.safetensors", {"by": "others"})
    torch.save(nn.DataParallel(theirs).state_dict(), place / "wrapped.pth")
    found = [obtain(mine(name), STORED).card for name in ("own.pt", "own.safetensors", "wrapped.pth")]
    assert len({card.sha256 for card in found}) == 1
    assert len({card.source.sha256 for card in found if card.source}) == 3


def test_what_is_trained_over_is_refused_by_each_way_of_training(place: Path) -> None:
    saved(place / "own.pt", model())
    from membench.models import cross_validate

    words = r"There is nothing to train: the network 'mine' is measured with the weights of own\.pt, as they are"
    with pytest.raises(InputError, match=words):
        cross_validate(mine(), STORED, 2)
    with pytest.raises(InputError, match=words):
        obtain(mine(), STORED, recipe=RECIPE)


# Which file


def case(**fields: Any) -> Case:
    given: dict[str, Any] = {
        "name": "mine",
        "dataset": "stored",
        "network": "mine",
        "conversion": Conversion(),
        "thresholds": Thresholds(max_loss_points=100.0),
        "seeds": (0,),
        "images": 60,
    }
    return Case(**given | fields)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Network], object]:
    """Registers a network, and the data set, for one test."""
    monkeypatch.setattr(DATASETS, "_items", {**dict(zip(DATASETS.names(), DATASETS, strict=True)), "stored": STORED})

    def register(found: Network) -> None:
        monkeypatch.setattr(NETWORKS, "_items", {**dict(zip(NETWORKS.names(), NETWORKS, strict=True)), found.name: found})

    return register


@pytest.mark.usefixtures("never")
def test_an_argument_goes_before_the_case_and_the_case_before_the_network(place: Path, registered: Any) -> None:
    files = {name: sha256(saved(place / name, model(seed)).read_bytes()) for seed, name in enumerate(("a.pt", "b.pt", "c.pt"))}
    registered(mine("a.pt"))

    def source(found: Trained) -> str:
        assert found.card.source is not None
        return found.card.source.sha256

    assert source(obtain_for(case())) == files["a.pt"]
    assert source(obtain_for(case(weights="b.pt"))) == files["b.pt"]
    assert source(obtain_for(case(weights="b.pt"), weights=place / "c.pt")) == files["c.pt"]
    records = [run_case(case()), run_case(case(weights="b.pt")), run_case(case(weights="b.pt"), weights=place / "c.pt")]
    assert [record.weights.pretrained for record in records] == [
        f"{name} (sha256 {files[name][:12]})" for name in ("a.pt", "b.pt", "c.pt")
    ]
    assert len({record.weights.sha256 for record in records}) == 3
    assert [record.fingerprint for record in records] == [case().fingerprint, *2 * [case(weights="b.pt").fingerprint]]


def test_a_path_is_of_the_current_folder_else_of_the_repository(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(place / "weights" / "own.pt", model())
    (place / "benchmarks" / "cases").mkdir(parents=True)
    expected = obtain(mine("weights/own.pt"), STORED).card.sha256
    for folder in ("benchmarks", "benchmarks/cases", "weights"):
        monkeypatch.chdir(place / folder)
        assert obtain(mine("weights/own.pt"), STORED).card.sha256 == expected
    saved(place / "weights" / "weights" / "own.pt", model(1))
    assert obtain(mine("weights/own.pt"), STORED).card.sha256 != expected
    assert obtain(mine(place / "weights" / "own.pt"), STORED).card.sha256 == expected


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git"])
def test_what_marks_a_repository(place: Path, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = place / "inner"
    (inner / "src").mkdir(parents=True)
    (inner / mark).write_text("")
    saved(inner / "own.pt", model())
    monkeypatch.chdir(inner / "src")
    assert obtain(mine(), STORED).card.source is not None


def test_a_file_that_is_not_there_is_named_with_the_places(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "src").mkdir()
    monkeypatch.chdir(place / "src")
    words = (
        f"There is no file of weights own.pt in {place / 'src'} or {place}. Name a checkpoint, by a path from the repository."
    )
    with pytest.raises(InputError, match=re.escape(words)):
        obtain(mine(), STORED)
    with pytest.raises(InputError, match=re.escape(f"There is no file of weights {place / 'none.pt'}. Name a checkpoint")):
        obtain(mine(place / "none.pt"), STORED)
    with pytest.raises(FileFormatError, match=re.escape(f"Cannot read {place}")):
        obtain(mine(place), STORED)


def test_a_file_that_does_not_fit_is_refused_before_anything_is_kept(place: Path) -> None:
    torch.save({"0.weight": torch.zeros(3)}, place / "own.pt")
    with pytest.raises(InputError, match=r"own\.pt does not fit the network 'mine'"):
        obtain(mine(), STORED)
    assert not list((place / "cache").rglob("*.safetensors"))


# A file with a card of membench beside it


def trained(place: Path) -> Trained:
    """Weights that membench trained, in the repository."""
    with pinned_threads(1):
        return obtain(network(), STORED, folder=place / "weights")


def test_what_membench_trained_can_be_declared_and_its_training_images_are_known(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained(place)
    monkeypatch.setattr(_weights, "train", lambda *_, **__: pytest.fail("it was trained"))
    found = obtain(mine(made.file), STORED)
    assert found.file == made.file
    assert found.card == made.card
    assert found.card.pretrained is None


def test_on_other_test_images_they_are_refused(place: Path) -> None:
    """Among these may be what they were trained on."""
    made = trained(place)
    arrays = drawn()
    write(place / "data", arrays | {"x_test": arrays["x_train"][:60], "y_test": arrays["y_train"][:60]})
    with pytest.raises(
        FileFormatError, match=r"the test images of stored are others than when these weights were trained, and may be"
    ):
        obtain(mine(made.file), STORED)
    made.file.with_suffix(".json").unlink()
    assert obtain(mine(made.file), STORED).card.pretrained is not None


def test_in_another_network_they_count_as_a_checkpoint(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trained(place)
    monkeypatch.setattr(_weights, "train", lambda *_, **__: pytest.fail("it was trained"))
    found = obtain(mine(made.file, activation=nn.Tanh), STORED)
    assert found.card.pretrained is not None
    assert found.card.sha256 == made.card.sha256
    assert found.card.accuracy == pytest.approx(right(found.model))


def test_on_another_data_set_they_count_as_a_checkpoint(place: Path) -> None:
    """mnist5k's test images are training images of mnist."""
    shipped = Path(_weights.SHIPPED) / "mnist-vgg-mnist.safetensors"
    vgg = NETWORKS.get("vgg-mnist")
    found = obtain(Network(vgg.name, vgg.build, weights=shipped), DATASETS.get("mnist5k"))
    assert found.card.pretrained is not None
    assert found.card.accuracy > 0.99


def test_weights_that_are_not_those_of_their_card_are_refused(place: Path) -> None:
    made = trained(place)
    save_file({name: value + 1 for name, value in load_file(made.file).items()}, made.file)
    with pytest.raises(
        FileFormatError, match=r"is not what its card describes \(another sha256\)\. Restore it, or remove .*\.json"
    ):
        obtain(mine(made.file), STORED)


@pytest.mark.parametrize(
    "content",
    ['{"model_type": "cnn"}', "[]", "no JSON", '{"schema_version": 1}'],
    ids=["config", "list", "text", "other schema"],
)
def test_a_json_file_of_others_beside_the_weights_is_none_of_membench_s(content: str, place: Path) -> None:
    theirs = model()
    save_file(theirs.state_dict(), place / "own.safetensors")
    (place / "own.json").write_text(content)
    assert equal(obtain(mine("own.safetensors"), STORED), theirs)


def test_a_damaged_card_beside_the_weights_is_refused(place: Path) -> None:
    made = trained(place)
    card = made.file.with_suffix(".json")
    card.write_text(card.read_text().replace('"test_images": 60', '"test_images": -1'))
    with pytest.raises(FileFormatError, match="test_images"):
        obtain(mine(made.file), STORED)


def edited(card: Path, **changes: Any) -> None:
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"source": None},
        {"recipe": json.loads(RECIPE.model_dump_json())},
        {"train_images": 120},
        {"train_digest": "0" * 64},
        {"threads": 1},
        {"train_labelled": "0" * 64},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_imported_card_that_claims_a_training_is_refused(changes: dict[str, Any], place: Path) -> None:
    found = import_weights(mine(), STORED, saved(place / "own.pt", model()), place / "weights")
    edited(found.file.with_suffix(".json"), **changes)
    with pytest.raises(FileFormatError, match=re.escape(str(found.file.with_suffix(".json")))):
        obtain(mine(found.file), STORED)


# membench import


@pytest.mark.usefixtures("never")
def test_what_is_imported_is_declared_and_not_measured_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = model()
    seen = counted(monkeypatch)
    found = import_weights(mine(None), STORED, saved(place / "elsewhere" / "own.pt", theirs), place / "weights")
    assert found.file == place / "weights" / "own.safetensors"
    assert Card.from_json(found.file.with_suffix(".json").read_bytes(), "card") == found.card
    (place / "elsewhere" / "own.pt").unlink()
    again = obtain(mine("weights/own.safetensors"), STORED)
    assert (again.card, again.file, len(seen)) == (found.card, found.file, 1)
    assert equal(again, theirs)


def test_importing_the_same_again_changes_nothing_and_others_are_not_written_over(place: Path) -> None:
    file = saved(place / "own.pt", model())
    found = import_weights(mine(), STORED, file, place / "weights")
    before = found.file.read_bytes()
    import_weights(mine(), STORED, file, place / "weights")
    assert found.file.read_bytes() == before
    saved(file, model(1))
    with pytest.raises(
        InputError, match=r"own\.safetensors is there, and holds other weights\. Remove it, rename own\.pt, or name"
    ):
        import_weights(mine(), STORED, file, place / "weights")
    assert found.file.read_bytes() == before


def test_a_file_is_not_written_over_by_its_own_import(place: Path) -> None:
    save_file(model().state_dict(), place / "own.safetensors", {"by": "others"})
    with pytest.raises(InputError, match="would be written over by its own import"):
        import_weights(mine(), STORED, place / "own.safetensors", place)


def test_imported_weights_are_measured_again_where_the_card_does_not_fit(place: Path) -> None:
    """Other test images, or other code, since they were imported."""
    theirs = model()
    found = import_weights(mine(), STORED, saved(place / "own.pt", theirs), place / "weights")
    other = obtain(mine(found.file, activation=nn.Tanh), STORED)
    assert other.card.accuracy == pytest.approx(right(other.model))
    assert other.card.sha256 == found.card.sha256
    write(place / "data", drawn(5))
    assert obtain(mine(found.file), STORED).card.accuracy == pytest.approx(right(theirs))
    assert json.loads(found.file.with_suffix(".json").read_text())["accuracy"] == found.card.accuracy


# The record


@pytest.mark.usefixtures("never")
def test_a_record_says_whose_weights_it_measured_and_is_the_same_each_time(place: Path, registered: Any) -> None:
    saved(place / "own.pt", model())
    registered(mine())
    first, second = run_case(case()), run_case(case())
    assert first.measured.model_dump_json() == second.measured.model_dump_json()
    assert first.weights == second.weights
    assert first.weights.pretrained is not None
    assert first.weights.pretrained.startswith("own.pt (sha256 ")
    assert Record.from_json(first.model_dump_json(), "record") == first


def test_a_record_of_weights_that_membench_trained_is_as_it_was(place: Path, registered: Any) -> None:
    """The field is not written: old records and baselines stay what they are."""
    registered(network())
    with pinned_threads(1):
        record = run_case(case())
    assert record.weights.pretrained is None
    assert set(json.loads(record.model_dump_json())["weights"]) == {"network", "dataset", "sha256", "accuracy"}
