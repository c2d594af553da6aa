"""What workers are sent: only what they lack, once, by hash; and what is not the client's is refused by name."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
from conftest import make_case

from membench import ADC, Conversion
from membench.campaign._flights import measure
from membench.campaign._kit import Kit, KitPlugin, Unpacked, data_digest, packed, parts_of, setup_of, unpacked
from membench.campaign._task import How
from membench.datasets import DATASETS
from membench.errors import DataMissingError, EnvironmentProblemError, SuiteError
from membench.models import NETWORKS, obtain

CASE = make_case()
TINY = Path(__file__).resolve().parent.parent / "tiny.py"


def kit(network: str = "tiny") -> Kit:
    case = CASE.replace(network=network)
    trained = obtain(NETWORKS.get(network), DATASETS.get("mnist5k"))
    digests = {f"mnist5k/{part}": data_digest("mnist5k", part, None) for part in ("test", "train")}
    return packed(TINY, {setup_of(case): trained}, digests)


def test_weights_that_come_with_membench_are_not_sent_and_others_are() -> None:
    assert kit("vgg-mnist").weights == ()
    (weights,) = kit("tiny").weights
    assert weights.name.endswith(".safetensors")
    assert len(pickle.dumps(KitPlugin(kit("vgg-mnist")))) < 20_000
    assert len(pickle.dumps(KitPlugin(kit("tiny")))) < 40_000


def test_a_task_is_small_whatever_the_network() -> None:
    how = How("vectorized", 1, None, kit("vgg-mnist").digest, "membench-0")
    assert len(pickle.dumps((measure, how, CASE.replace(network="vgg-mnist").model_dump_json(), 60.0))) < 2_000


def test_a_worker_without_the_weights_gets_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = kit()
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path))
    there = Unpacked(sent)
    there.open()
    there.check(CASE, None)
    (file,) = tmp_path.glob("fetched/*/*.safetensors")
    assert file.read_bytes() == sent.weights[0].data
    before = file.stat().st_mtime_ns
    again = Unpacked(sent)
    again.open()
    again.check(CASE, None)
    assert file.stat().st_mtime_ns == before
    file.write_bytes(b"damaged")
    mended = Unpacked(sent)
    mended.open()
    mended.check(CASE, None)
    assert file.read_bytes() == sent.weights[0].data


def test_other_weights_are_refused_and_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = kit()
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path))
    for changed, words in (
        ({"weights": ()}, "has none"),
        ({"hashes": {setup_of(CASE): "0" * 64}}, "hash 000000000000; this worker has"),
    ):
        there = Unpacked(dataclasses.replace(sent, **changed))
        there.open()
        with pytest.raises(EnvironmentProblemError, match=rf"weights of tiny on mnist5k are not the client's.*{words}"):
            there.check(CASE, None)


def test_other_images_are_refused_by_the_name_of_their_data_set() -> None:
    sent = kit()
    there = Unpacked(dataclasses.replace(sent, data={**sent.data, "mnist5k/test": "0" * 64}))
    there.open()
    with pytest.raises(DataMissingError, match="The test images of mnist5k on this worker are not the client's"):
        there.check(CASE, None)
    calibrated = CASE.replace(conversion=Conversion(adc=ADC(bits=8, range="calibrated")))
    assert (parts_of(CASE), parts_of(calibrated)) == (("test",), ("test", "train"))
    there = Unpacked(dataclasses.replace(sent, data={**sent.data, "mnist5k/train": "0" * 64}))
    there.open()
    there.check(CASE, None)
    with pytest.raises(DataMissingError, match="The train images of mnist5k"):
        there.check(calibrated, None)


def test_another_membench_is_refused() -> None:
    with pytest.raises(EnvironmentProblemError, match=r"This worker has membench .*, and the client 0\.0\.0"):
        Unpacked(dataclasses.replace(kit(), version="0.0.0")).open()


def test_a_file_that_cannot_be_imported_on_the_worker_is_told() -> None:
    broken = dataclasses.replace(kit(), sources={"/client/mine.py": "import nothing_of_that_name"})
    with pytest.raises(SuiteError, match=r"/client/mine\.py cannot be imported: ModuleNotFoundError"):
        Unpacked(broken).open()


def test_a_worker_that_was_handed_nothing_says_so() -> None:
    with pytest.raises(EnvironmentProblemError, match="was not handed"):
        unpacked("0" * 64)


def test_two_studies_that_declare_the_same_name_each_get_their_own() -> None:
    text = "from membench.models import NETWORKS, Network, Recipe\nNETWORKS.add('mine', Network('mine', {build}, Recipe(epochs=1)))"
    file = "/client/mine.py"
    one, two = (Unpacked(dataclasses.replace(kit(), sources={file: text.format(build=build)})) for build in ("int", "float"))
    for there, build in ((one, int), (two, float), (one, int), (one, int)):
        there.open()
        assert NETWORKS.get("mine").build is build


def test_kits_that_differ_have_other_digests() -> None:
    sent = kit()
    others = [
        dataclasses.replace(sent, sources={}),
        dataclasses.replace(sent, hashes={}),
        dataclasses.replace(sent, data={}),
        dataclasses.replace(sent, version="0"),
    ]
    assert len({sent.digest, *(other.digest for other in others)}) == 5
    assert kit().digest == sent.digest
