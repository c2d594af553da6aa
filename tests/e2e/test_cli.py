"""The command line: what it prints, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from repository import accept, declare

from membench import ADC, Case, Conversion, DeviceFaults, Thresholds, cli
from membench.campaign import State
from membench.cli import _campaign
from membench.cli._bar import TimeLeft, progress_bar
from membench.errors import InputError
from membench.explanation import Explanation
from membench.models import NETWORKS, Card, CrossValidation, FoldCard, Recipe
from membench.record import Baseline, load
from membench.runtime import pinned_threads


class Answer:
    """Exit code and what was printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call `membench` in a user's repository in tmp_path."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["membench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Answer(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_list_json_is_an_array_of_objects_with_every_declared_field(call: Any, tmp_path: Path, pair: tuple[Case, Case]) -> None:
    declare(tmp_path, *pair)
    answer = call("list", "--json")
    listed = json.loads(answer.out)
    assert answer.code == 0
    assert [item["name"] for item in listed] == ["one", "two"]
    for item, case in zip(listed, pair, strict=True):
        assert set(item) == {*Case.model_fields, "fingerprint", "file"} - set(Case.later)
        assert item["fingerprint"] == case.fingerprint
        assert item["conversion"]["device"]["kind"] == "VTEAM"


def test_list_names_the_cases(call: Any, tmp_path: Path, pair: tuple[Case, Case]) -> None:
    declare(tmp_path, *pair)
    assert {line.split()[0] for line in call("list").out.splitlines()[2:]} == {"one", "two"}


def test_run_update_run(call: Any, tmp_path: Path, case: Case) -> None:
    """Red without a baseline, accepted with a reason, green afterwards."""
    declare(tmp_path, case)
    assert call("run", "small").code == 1
    assert call("baseline", "update", "small", "--reason", "first measured for this test").code == 0
    assert load(Baseline, tmp_path / "baselines/vectorized/small.json").reason == "first measured for this test"
    green = call("run", "small", "--json")
    assert green.code == 0
    answered = json.loads(green.out)
    assert [(one["case"], one["verdict"]) for one in answered] == [("small", "PASS")]
    assert answered[0]["record"]["measured"]["digital_accuracy"] > 0.5
    assert "first measured for this test" in call("baseline", "list").out
    assert json.loads(call("baseline", "show", "small").out)["record"]["engine"] == "vectorized"


def test_a_baseline_is_accepted_from_an_earlier_run(call: Any, tmp_path: Path, case: Case) -> None:
    declare(tmp_path, case)
    call("run", "small", "--report", "out")
    assert call("baseline", "update", "--all", "--from", "out", "--reason", "accepted as reported").code == 0
    declare(tmp_path, case.replace(batch_size=10))
    stale = call("baseline", "update", "small", "--from", "out", "--reason", "of another case by now")
    assert stale.code == 2
    assert "of another case than is declared now" in stale.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "smal"), 2, "There is no case 'smal'"),
        (("run",), 2, "Missing argument"),
        (("run", "small", "--images", "0"), 2, "Invalid value"),
        (("run", "small", "--cases", "nowhere"), 2, "no folder of cases at nowhere"),
        (("baseline", "update", "small", "--reason", "because"), 2, "is not accepted: must be a sentence"),
        (("baseline", "update", "small"), 2, "Missing option"),
        (("baseline", "update", "--reason", "a good reason"), 2, "Name the cases to update, or say --all"),
        (("baseline", "show", "small"), 2, "There is no baseline of 'small'"),
        (("train", "vgg", "mnist5k"), 2, "There is no network 'vgg'"),
        (("train", "tiny", "mnist5k", "--precision", "float16"), 2, "precision: Input should be 'float32' or 'bfloat16'"),
        (("train", "tiny", "mnist5k", "--folds", "1"), 2, "Invalid value for '--folds'"),
        (("train", "tiny", "mnist5k", "--folds", "2", "--ship"), 2, "--ship and --folds exclude each other"),
        (("data", "get", "mnist6"), 2, "no data set 'mnist6'"),
        (("fly",), 2, "No such command"),
    ],
)
def test_bad_input_is_named_and_ends_with_2(
    call: Any, tmp_path: Path, case: Case, arguments: tuple[str, ...], code: int, words: str
) -> None:
    declare(tmp_path, case)
    answer = call(*arguments)
    assert answer.code == code
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_a_result_that_cannot_be_accepted_is_no_baseline(call: Any, tmp_path: Path, case: Case) -> None:
    declare(tmp_path, case.replace(nonidealities=(DeviceFaults(hrs_proportion=1.0),)))
    answer = call("baseline", "update", "small", "--reason", "it should not be possible")
    assert answer.code == 1
    assert "OVER_THRESHOLD" in answer.err
    assert not (tmp_path / "baselines").exists()


def test_missing_data_end_with_3(call: Any, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(tmp_path, case.replace(dataset="cifar10"))
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path))
    answer = call("run", "small")
    assert answer.code == 3
    assert "membench data get cifar10" in answer.out
    assert call("baseline", "update", "small", "--reason", "there are no data").code == 3


def test_all_leaves_cases_without_data_as_they_are(
    call: Any, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, case, case.replace(name="absent", dataset="cifar10"))
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path))
    answer = call("baseline", "update", "--all", "--reason", "all that can be measured here")
    assert answer.code == 0
    assert "absent: left as it is" in answer.err
    assert [file.name for file in (tmp_path / "baselines/vectorized").iterdir()] == ["small.json"]


def test_all_without_any_data_updates_nothing_and_says_so(
    call: Any, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, case.replace(dataset="cifar10"))
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path))
    answer = call("baseline", "update", "--all", "--reason", "all that can be measured here")
    assert answer.code == 3
    assert "No baseline was updated: the data of every case are missing" in answer.err


def test_train_then_find_it_trained(call: Any) -> None:
    first = call("train", "tiny", "mnist5k", "--epochs", "1", "--out", "weights")
    assert first.code == 0
    assert "of 1000 test images, 2078 parameters, trained on 4000 images" in first.out
    assert call("train", "tiny", "mnist5k", "--epochs", "1", "--out", "weights").out == first.out


@pytest.fixture
def own_threads() -> Iterator[None]:
    """`--threads` sets the process's number of threads, which other tests must not see."""
    with pinned_threads(torch.get_num_threads()):
        yield


def test_train_prints_its_card_as_json(call: Any, own_threads: None) -> None:
    arguments = ("train", "tiny", "mnist5k", "--epochs", "1", "--seed", "3", "--precision", "bfloat16", "--threads", "1")
    answer = call(*arguments, "--out", "weights", "--json")
    card = Card.from_json(answer.out, "the answer")
    assert answer.code == 0
    assert card.recipe == NETWORKS.get("tiny").recipe.replace(epochs=1, seed=3, precision="bfloat16")
    assert (card.threads, card.network, card.dataset) == (1, "tiny", "mnist5k")


def test_train_overrides_only_what_is_given(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes: list[Recipe] = []

    def spy(network: Any, dataset: Any, *, recipe: Recipe, **_: Any) -> None:
        recipes.append(recipe)
        raise InputError("enough")

    monkeypatch.setattr("membench.models.obtain", spy)
    own = NETWORKS.get("vgg-cifar10").recipe
    assert own.precision == "bfloat16"
    for options in ((), ("--precision", "float32"), ("--seed", "0", "--epochs", "2")):
        assert call("train", "vgg-cifar10", "cifar10", *options).code == 2
    assert recipes == [own, own.replace(precision="float32"), own.replace(seed=0, epochs=2)]


def test_train_with_folds_prints_a_table_and_trains_no_fold_twice(call: Any, tmp_path: Path, own_threads: None) -> None:
    arguments = ("train", "tiny", "mnist5k", "--epochs", "1", "--threads", "1", "--folds", "3", "--out", "folds")
    answer = call(*arguments)
    assert answer.code == 0
    cards = sorted((tmp_path / "folds").glob("mnist5k-tiny-fold-?-of-3-*.json"))
    folds = [FoldCard.from_json(file.read_bytes(), file.name).fold for file in cards]
    lines = answer.out.splitlines()
    assert lines[0] == "tiny on mnist5k: 3 folds of 4000 training images, 1000 test images, 1 thread"
    assert [line.split() for line in lines[4:7]] == [
        [
            str(fold.number),
            f"{100 * fold.held_out_accuracy:.2f}",
            f"{100 * fold.test_accuracy:.2f}",
            f"{fold.seconds:.0f}",
        ]
        for fold in folds
    ]
    assert call(*arguments).out == answer.out
    found = CrossValidation.from_json(call(*arguments, "--json").out, "the answer")
    assert found.folds == tuple(folds)
    for words, spread in (("held out", found.held_out), ("test", found.test)):
        said = f"{words} {spread.mean:.2f} {spread.deviation:.2f} [{spread.low:.2f}, {spread.high:.2f}]"
        assert said in [" ".join(line.split()) for line in lines[-2:]]


def test_impossible_folds_are_refused_before_training(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.models._folds.train", lambda *_, **__: pytest.fail("it was trained"))
    many = call("train", "tiny", "mnist5k", "--folds", "401")
    assert many.code == 2
    assert "401 folds are not possible: class 0 of mnist5k has 400 different training images" in many.err
    assert "Allowed: 2 to 400." in many.err


class Clock:
    """A clock that tests turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("membench.cli._bar.time.monotonic", lambda: self.now)


def test_time_left_is_told_from_the_steps_made_since_it_was_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interrupted training had done before took no time of this one."""
    clock, left = Clock(monkeypatch), TimeLeft()
    assert left.after(501, 1000) is None
    clock.now += 20
    assert left.after(511, 1000) == pytest.approx(2 * 489)
    clock.now += 4
    assert left.after(525, 1000) == pytest.approx(475)
    clock.now += 1
    assert left.after(1000, 1000) is None


@pytest.mark.parametrize(("done", "total"), [(1, 100), (50, 80)])
def test_another_task_on_the_same_bar_is_timed_by_itself(done: int, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement converts, then runs, then the next seed: steps of one take another time than steps of the other."""
    clock, left = Clock(monkeypatch), TimeLeft()
    for step in range(51):
        assert (left.after(step, 100) is None) == (step == 0)
        clock.now += 10
    assert left.after(done, total) is None
    clock.now += 3
    assert left.after(done + 1, total) == pytest.approx(3 * (total - done - 1))


def test_time_left_where_nothing_is_to_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    left = TimeLeft()
    assert [left.after(0, 0), left.after(0, 1), left.after(0, 1), left.after(1, 1)] == [None] * 4


def test_the_bar_shows_steps_and_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with progress_bar("vgg on mnist") as tell:
        for step in (5, 6, 7):
            tell("epoch 1/2", step, 100)
            clock.now += 2
            time.sleep(0.6)  # tqdm draws twice a second at most
    drawn = capsys.readouterr().err
    assert re.search(r"vgg on mnist: epoch 1/2: .* 7/100 00:0\d, 03:06 left", drawn)
    assert "None" not in drawn.split("epoch", 1)[1]


def test_the_bar_shows_no_total_before_it_is_known_and_never_more_than_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar("vgg") as tell:
        for done, total in ((0, 0), (3, 0), (1, 2), (3, 2)):
            tell("step", done, total)
            time.sleep(0.6)  # tqdm draws twice a second at most
    drawn = capsys.readouterr().err
    assert "None" not in drawn
    assert "0/0" not in drawn
    assert "3/2" not in drawn
    assert {"1/2", "2/2"} == set(re.findall(r"\d+/\d+", drawn))


def test_the_bar_of_a_study_never_exceeds_100_percent(capsys: pytest.CaptureFixture[str]) -> None:
    states = [State(0, 1, 0, 1, 0.0, 2.0, {}, 1), State(0, 1, 0, 1, 1.0, 2.0, {}, 1), State(1, 1, 1, 1, 3.0, 2.0, {}, 1)]
    with _campaign._bar() as tell:
        for state in states:
            tell(state)
            time.sleep(0.6)
    drawn = capsys.readouterr().err
    assert "on 1 worker\n" in drawn
    assert "1/1 case, 1/1 point" in drawn
    assert "None" not in drawn
    percents = [int(found) for found in re.findall(r"(\d+) %", drawn)]
    assert percents
    assert max(percents) == 100


def test_doctor_names_every_engine_and_data_set(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path))
    answer = call("doctor")
    assert answer.code == 0
    for words in ("torch ", "engine memtorch", "engine digital", "data mnist5k", "C++ compiler", "torch threads"):
        assert words in answer.out
    assert "mend it with: membench data get cifar100" in answer.out
    assert {finding["what"] for finding in json.loads(call("doctor", "--json").out)} >= {"engine memtorch", "data cifar10"}


def test_doctor_ends_with_3_where_nothing_can_be_measured(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("membench.engines.memtorch._memtorch", lambda: (_ for _ in ()).throw(ImportError("no memtorch")))
    answer = call("doctor")
    assert answer.code == 3
    assert "mend it with: make setup" in answer.out


@pytest.mark.parametrize(
    "command", [(), ("list",), ("run",), ("explain",), ("train",), ("doctor",), ("baseline", "update"), ("data", "get")]
)
def test_help_has_examples(call: Any, command: tuple[str, ...]) -> None:
    answer = call(*command, "--help")
    assert answer.code == 0
    assert ("Exit codes: 0 green, 1 the gate failed" if not command else "Example") in answer.out


def test_a_users_network_in_the_file_that_declares_its_case(call: Any, tmp_path: Path, case: Case) -> None:
    """One file: a factory of torch modules, its recipe, and a case that names it."""
    declare(tmp_path)
    (tmp_path / "benchmarks/cases/mine.py").write_text(
        f"""
from torch import nn
from membench import Case
from membench.models import NETWORKS, Network, Recipe

def perceptron(classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))

NETWORKS.add("perceptron", Network("perceptron", perceptron, Recipe(epochs=1)))
CASES = [Case.from_json({case.model_dump_json()!r}, "here").replace(network="perceptron")]
"""
    )
    answer = json.loads(call("run", "small", "--json").out)
    assert answer[0]["verdict"] == "NO_BASELINE"
    assert [layer["name"] for layer in answer[0]["record"]["measured"]["layers"]] == ["1"]


def test_the_installed_command_and_the_module_answer_alike() -> None:
    for command in ([str(Path(sys.executable).parent / "membench")], [sys.executable, "-m", "membench"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "0.1.0"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_under_the_output_is_a_problem_of_the_environment() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "membench", "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (3, "membench: cannot write the output: No space left on device.\n")


def test_two_baselines_are_measured_alike_by_both_ways_in(call: Any, tmp_path: Path, case: Case) -> None:
    """`membench run` judges what `membench.run_case` measured: one way through."""
    declare(tmp_path, case)
    accept(tmp_path, case)
    assert json.loads(call("run", "small", "--json").out)[0]["verdict"] == "PASS"


def test_parity_prints_each_layer_and_ends_with_1_where_one_differs(
    call: Any, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, case)
    out = call("parity", "small").out
    assert "small: vectorized against memtorch" in out
    assert out.count("equal") == 2
    monkeypatch.setattr("membench.parity.DEVICE_TOLERANCE", -1.0)
    answer = call("parity", "small")
    assert answer.code == 1
    assert "conductances differ" in answer.out


ENGINE = "no engine 'nope'"
DEVICE = "There is no device 'gpu'"
ABSENT = "The device 'cuda:99' cannot be used here"
SENTENCE = ("--reason", "a sentence of a reason")


@pytest.fixture
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is refused before any network is trained or run."""

    def measured(*_: object, **__: object) -> None:
        pytest.fail("it was measured")

    for name in (
        "membench.pipeline.obtain_for",
        "membench.versus.obtain_for",
        "membench.parity.obtain_for",
        "membench.campaign._prepare.obtain_for",
    ):
        monkeypatch.setattr(name, measured)
    monkeypatch.setattr("membench.models.obtain", measured)


@pytest.mark.usefixtures("nothing_measured")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        # an engine or device that cannot be
        (("run", "small", "--engine", "nope"), 2, ENGINE),
        (("explain", "small", "--engine", "nope"), 2, ENGINE),
        (("versus", "small", "--engines", "vectorized,nope"), 2, ENGINE),
        (("versus", "small", "--engines", ","), 2, "no engine ''"),
        (("parity", "small", "--engine", "nope"), 2, ENGINE),
        (("parity", "small", "--reference", "nope"), 2, ENGINE),
        (("baseline", "update", "small", "--engine", "nope", *SENTENCE), 2, ENGINE),
        (("baseline", "update", "small", "--engine", "nope", "--from", "out", *SENTENCE), 2, ENGINE),
        (("sweep", "small", "--over", "images=20", "--engine", "nope"), 2, ENGINE),
        (("run", "small", "--device", "gpu"), 2, DEVICE),
        (("explain", "small", "--device", "gpu"), 2, DEVICE),
        (("run", "small", "--device", "meta"), 2, "The device 'meta' holds no numbers"),
        (("run", "small", "--engine", "memtorch", "--device", "cuda"), 2, "runs on the CPU only"),
        (("run", "small", "--device", "cuda:99"), 3, ABSENT),
        (("explain", "small", "--device", "cuda:99"), 3, ABSENT),
        # a reason that says nothing
        (("baseline", "update", "small", "--reason", ""), 2, "An argument is empty (after '--reason')"),
        (("baseline", "update", "small", "--reason", "no"), 2, "The reason 'no' is not accepted"),
        (("baseline", "update", "small", "--reason", "a reason \x1b[2J with a control"), 2, "holds the control character"),
        # numbers
        (("run", "small", "--threads", "100000"), 2, "Invalid value for '--threads'"),
        (("train", "tiny", "mnist5k", "--threads", "100000"), 2, "Invalid value for '--threads'"),
        (("explain", "small", "--seeds", "2"), 2, "--seeds 2: the case 'small' declares 1 seed"),
        (("versus", "small", "--seeds", "2"), 2, "--seeds 2: the case 'small' declares 1 seed"),
        (("compare", "a", "b", "--tolerance", "nan"), 2, "Invalid value for '--tolerance'"),
        (("compare", "a", "b", "--tolerance", "inf"), 2, "Invalid value for '--tolerance'"),
        (("sweep", "small", "--over", "images=20", "--memory", "inf"), 2, "Invalid value for '--memory'"),
        (("sweep", "small", "--over", "images=20", "--limit", "inf"), 2, "Invalid value for '--limit'"),
        # names
        (("run", "small", "small"), 2, "Each case can be named once; named twice: small"),
        (("run", ""), 2, "An argument is empty (after 'run')"),
        (("run", "small", "--engine", ""), 2, "An argument is empty (after '--engine')"),
        (("versus", "small", "--engines", ""), 2, "An argument is empty (after '--engines')"),
        # files and folders
        (("run", "small", "--report", ""), 2, "An argument is empty (after '--report')"),
        (("run", "small", "--report="), 2, "An argument is empty ('--report')"),
        (("run", "small", "--report", "taken"), 2, "--report: taken cannot be a folder"),
        (("run", "small", "--report", "taken/below"), 2, "--report: taken/below cannot be a folder"),
        (("run", "small", "--report", "dangling"), 2, "--report: dangling cannot be a folder"),
        (("run", "small", "--report", "/proc/new"), 3, "--report: cannot write to /proc/new"),
        (("run", "small", "--baselines", "nowhere"), 2, "There is no folder of baselines at nowhere"),
        (("run", "small", "--baselines", "taken"), 2, "There is no folder of baselines at taken"),
        (("run", "small", "--report", "taken/\x1b[2J"), 2, "--report: taken/\\x1b[2J cannot be a folder"),
        (("baseline", "list", "--baselines", "nowhere"), 2, "There is no folder of baselines at nowhere"),
        (("baseline", "update", "small", "--baselines", "taken", *SENTENCE), 2, "--baselines: taken cannot be a folder"),
        (("baseline", "update", "small", "--from", "nowhere", *SENTENCE), 2, "--from: there is no record nowhere/records"),
        (("baseline", "update", "--all", "--from", "taken", *SENTENCE), 2, "--from: there is no record below taken/records"),
        (("explain", "small", "--figure", "folder.png"), 2, "it is a folder"),
        (("versus", "small", "--figure", "folder.png"), 2, "it is a folder"),
        (("explain", "small", "--figure", "/proc/new.png"), 3, "--figure: cannot write to /proc"),
        (("train", "tiny", "mnist5k", "--out", "taken"), 2, "--out: taken cannot be a folder"),
        (("sweep", "small", "--over", "images=20", "--out", "taken"), 2, "--out: taken cannot be a folder"),
        (("sweep", "small", "--over", "images=20", "--cluster", "nowhere.py"), 2, "--cluster: there is no file nowhere.py"),
        (("status", "nowhere"), 2, "nowhere holds no study"),
        (("report", "nowhere"), 2, "There is no record below nowhere/records"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_measured(
    call: Any, tmp_path: Path, case: Case, arguments: tuple[str, ...], code: int, words: str
) -> None:
    declare(tmp_path, case)
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    answer = call(*arguments)
    assert answer.code == code, answer.err
    assert words in answer.err
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err
    assert answer.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_an_engine_whose_simulator_is_not_here_ends_with_3(
    call: Any, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, case)
    monkeypatch.setattr("membench.engines.memtorch._memtorch", lambda: (_ for _ in ()).throw(ImportError("no memtorch")))
    for arguments in (
        ("run", "small", "--engine", "memtorch"),
        ("explain", "small", "--engine", "memtorch"),
        ("parity", "small"),
        ("baseline", "update", "small", "--engine", "memtorch", *SENTENCE),
    ):
        answer = call(*arguments)
        assert answer.code == 3
        assert "cannot be used: memtorch-cpu cannot be imported" in answer.err


def test_run_ends_with_the_code_of_what_went_wrong(
    call: Any, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "empty"))
    declare(tmp_path, case, case.replace(name="large", images=5000), case.replace(name="absent", dataset="cifar10"))
    accept(tmp_path, case)
    for names, code in [
        (("small",), 0),
        (("large",), 2),
        (("absent",), 3),
        (("small", "large"), 2),
        (("large", "absent"), 2),
        (("small", "absent"), 3),
    ]:
        assert call("run", *names, "--json").code == code, names
    (tmp_path / "baselines/vectorized/small.json").unlink()
    assert call("run", "small", "absent").code == 1
    assert call("run", "small", "large", "absent").code == 2  # refused before any is measured
    monkeypatch.setattr("membench.gate.run_case", lambda *_, **__: 1 / 0)
    assert call("run", "small").code == 1


def test_an_update_from_an_earlier_run_changes_all_baselines_or_none(
    call: Any, tmp_path: Path, pair: tuple[Case, Case]
) -> None:
    declare(tmp_path, *pair)
    call("run", "one", "--report", "out")
    nothing = call("baseline", "update", "one", "two", "--from", "out", *SENTENCE)
    assert nothing.code == 2
    assert "there is no record out/records/vectorized/two.json" in nothing.err
    assert not (tmp_path / "baselines").exists()
    every = call("baseline", "update", "--all", "--from", "out", *SENTENCE)
    assert every.code == 0
    assert "two: left as it is: there is no record out/records/vectorized/two.json" in every.err
    assert [file.name for file in (tmp_path / "baselines/vectorized").iterdir()] == ["one.json"]


def test_an_update_refuses_a_record_that_cannot_be_accepted_before_it_changes_any(
    call: Any, tmp_path: Path, pair: tuple[Case, Case]
) -> None:
    declare(tmp_path, pair[0], pair[1].replace(nonidealities=(DeviceFaults(hrs_proportion=1.0),)))
    assert call("run", "one", "two", "--report", "out", "--no-explain").code == 1
    answer = call("baseline", "update", "--all", "--from", "out", *SENTENCE)
    assert answer.code == 1
    assert "two cannot become a baseline: OVER_THRESHOLD" in answer.err
    assert not (tmp_path / "baselines").exists()


def test_baselines_of_an_engine_that_has_none_are_told_and_a_misspelt_one_is_refused(
    call: Any, tmp_path: Path, case: Case
) -> None:
    accept(tmp_path, case)
    none = call("baseline", "list", "--engine", "digital")
    assert none.code == 0
    assert "No case has a baseline on engine digital" in none.err
    assert call("baseline", "list", "--engine", "nope").code == 2


def test_explain_names_the_step_and_the_layer(call: Any, tmp_path: Path, case: Case) -> None:
    declare(tmp_path, case.replace(conversion=Conversion(adc=ADC(bits=2)), seeds=(0, 1)))
    answer = call("explain", "small", "--images", "60", "--figure", "ladder.png")
    assert answer.code == 0
    assert "small on engine vectorized: 60 images x 2 seeds" in answer.out
    assert [line.split()[0] for line in answer.out.splitlines() if line.startswith(("digital", "mapped", "ADC"))] == [
        "digital",
        "mapped",
        "ADC",
    ]
    assert "The step that loses most is ADC" in answer.out.splitlines()[-1]
    assert (tmp_path / "ladder.png").stat().st_size > 10_000


def test_explain_as_json(call: Any, tmp_path: Path, case: Case) -> None:
    declare(tmp_path, case.replace(conversion=Conversion(adc=ADC(bits=2)), seeds=(0, 1)))
    answer = call("explain", "small", "--seeds", "1", "--json")
    found = Explanation.from_json(answer.out, "the answer")
    assert (found.seeds, found.images, [step.name for step in found.steps]) == ((0,), 40, ["mapped", "ADC"])
    assert [layer.name for layer in found.layers] == ["0", "4"]


def test_explain_refuses_a_figure_before_it_measures(call: Any, tmp_path: Path, case: Case) -> None:
    declare(tmp_path, case.replace(dataset="mnist6"))
    answer = call("explain", "small", "--figure", "ladder.gif")
    assert answer.code == 2
    assert "ends in '.gif'" in answer.err
    assert call("explain", "smal").code == 2


def test_run_says_where_a_failed_case_lost_its_accuracy(call: Any, tmp_path: Path, case: Case) -> None:
    declare(
        tmp_path, case.replace(conversion=Conversion(adc=ADC(bits=2)), images=100, thresholds=Thresholds(max_loss_points=0))
    )
    (said,) = json.loads(call("run", "small", "--json").out)
    assert said["verdict"] == "OVER_THRESHOLD"
    assert "0 are accepted; lost at: ADC (0.00 -> " in said["reason"]
    (silent,) = json.loads(call("run", "small", "--json", "--no-explain").out)
    assert silent["verdict"] == "OVER_THRESHOLD"
    assert "lost at" not in silent["reason"]
