"""`asv continuous` on a repository of two commits: it finds what got worse, and keeps quiet where nothing did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from repository import accept, declare

from membench import Thresholds, profile

pytestmark = pytest.mark.slow

CASE = profile("ideal").case(
    name="small", dataset="mnist5k", network="vgg-mnist", thresholds=Thresholds(max_loss_points=10.0), seeds=(0, 1)
)
PRODUCT = "membench/arrays/product.py"
# What each commit does to the base: in which file, which text, and what stands there instead.
COMMITS = {
    "nothing": (PRODUCT, "class Product:\n", "# A remark.\nclass Product:\n"),
    "slower": (
        PRODUCT,
        "        return self._native(x, kernel, first) if kernel is not None else self._plain(x, first)\n",
        "        for _ in range(3):\n"
        "            out = self._native(x, kernel, first) if kernel is not None else self._plain(x, first)\n"
        "        return out\n",
    ),
    "worse": (PRODUCT, "limit=self._hardware.limit or 0.0,", "limit=0.47 * (self._hardware.limit or 0.0),"),
    "broken": (PRODUCT, "class Product:\n", "raise ZeroDivisionError('a bug')\n\n\nclass Product:\n"),
    "older": ("membench/engines/vectorized.py", 'name = "vectorized"', 'name = "another"'),  # before there was that engine
}


@dataclass(frozen=True)
class Repository:
    """membench's own, with one case: the recommended hardware on two seeds. A branch for each of COMMITS, on top of `base`."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, check=False, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900
        )

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def asv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "asv", *arguments)

    def continuous(self, commit: str) -> tuple[int, dict[str, str], str]:
        """Exit code, the mark (+ worse, - better, ! failed) of each benchmark that is listed as changed, and the output."""
        done = self.asv("continuous", "--factor", "1.5", "--show-stderr", "base", commit)
        rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines() if line.startswith("| ")]
        changed = {row[5].split("(")[0]: row[1] for row in rows if row[1] in ("+", "-", "!")}
        return done.returncode, changed, done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("repository")
    unwanted = shutil.ignore_patterns("__pycache__")
    for room in ("membench", "benchmarks/asv"):
        shutil.copytree(ROOT / room, folder / room, ignore=unwanted)
    shutil.copy(ROOT / "asv.conf.json", folder)
    declare(folder, CASE)
    accept(folder, CASE)
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH", "GIT_"))},
        **{f"GIT_{who}_{what}": "somebody@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "HOME": str(tmp_path_factory.mktemp("home")),  # asv keeps what it knows of the machine there
        "MEMBENCH_ASV_CASES": "small",
        "OMP_NUM_THREADS": "1",
    }
    made = Repository(folder, environment)
    made.git("init", "--quiet", "--initial-branch=base")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message=base")
    for name, (file, before, after) in COMMITS.items():
        made.git("checkout", "--quiet", "-b", name, "base")
        text = (folder / file).read_text()
        assert text.count(before) == 1
        (folder / file).write_text(text.replace(before, after))
        made.git("commit", "--quiet", "--all", f"--message={name}")
    made.git("checkout", "--quiet", "base")
    assert made.asv("machine", "--yes").returncode == 0
    return made


def test_two_points_of_accuracy_are_found(repository: Repository) -> None:
    code, changed, output = repository.continuous("worse")
    assert code == 1, output
    assert changed == {"accuracy.track_loss": "+", "accuracy.track_error": "+"}, output


def test_a_tile_product_that_is_three_times_slower_is_found(repository: Repository) -> None:
    code, changed, output = repository.continuous("slower")
    assert code == 1, output
    assert changed.items() >= {"cost.track_time": "+", "cost.track_ratio": "+"}.items(), output
    assert not [name for name in changed if name.startswith("accuracy")]


@pytest.mark.parametrize("time", range(5))
def test_a_commit_that_changes_nothing_is_quiet(repository: Repository, time: int) -> None:
    code, changed, output = repository.continuous("nothing")
    assert (code, changed) == (0, {}), output
    assert "BENCHMARKS NOT SIGNIFICANTLY CHANGED" in output


@pytest.mark.parametrize(("commit", "code", "verdict"), [("worse", 1, "REGRESSED"), ("nothing", 0, "PASS")])
def test_the_gate_is_closed_by_the_two_points_alone(repository: Repository, commit: str, code: int, verdict: str) -> None:
    repository.git("checkout", "--quiet", commit)
    try:
        gate = ("benchmarks", "--membench-gate", "--membench-no-explain", "-p", "no:cacheprovider", "-p", "no:xdist")
        done = repository.run("env", "PYTHONPATH=.", sys.executable, "-m", "pytest", *gate)
    finally:
        repository.git("checkout", "--quiet", "base")
    assert done.returncode == code, done.stdout
    assert any(line.split()[:1] == ["small"] and line.split()[-1] == verdict for line in done.stdout.splitlines()), done.stdout


def test_a_commit_that_cannot_be_measured_is_red(repository: Repository) -> None:
    done = repository.asv("run", "--show-stderr", "broken^!")
    assert done.returncode == 2
    assert "ZeroDivisionError: a bug" in done.stdout + done.stderr


def test_a_fresh_clone_runs_older_commits_and_publishes(repository: Repository, tmp_path: Path) -> None:
    repository.git("clone", "--quiet", str(repository.folder), str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone", repository.environment)
    hashes = {name: clone.git("rev-parse", f"origin/{name}") for name in ("base", "older")}
    (clone.folder / "hashes").write_text("\n".join(hashes.values()))
    done = clone.asv("run", "--show-stderr", "HASHFILE:hashes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no engine 'vectorized'" in done.stdout + done.stderr  # why it is n/a there
    results = {name: json.loads(_only(clone.folder.glob(f".asv/results/*/{hashes[name][:8]}-*.json"))) for name in hashes}
    base, older = (
        dict(zip(results[name]["result_columns"], results[name]["results"]["cost.track_time"], strict=False))
        for name in results
    )
    assert older["result"] is None or [str(value) for value in older["result"]] == ["nan"]
    assert 1e-6 < base["result"][0] < 1e-2

    assert clone.asv("compare", hashes["older"], hashes["base"]).returncode == 0
    done = clone.asv("publish")
    assert done.returncode == 0, done.stdout + done.stderr
    index = json.loads((clone.folder / ".asv/html/index.json").read_text())
    shown = {name: (benchmark["pretty_name"], benchmark["unit"]) for name, benchmark in index["benchmarks"].items()}
    assert shown["accuracy.track_loss"] == ("Accuracy loss", "points")
    assert index["benchmarks"]["accuracy.track_loss"]["params"] == [[f"small · {CASE.fingerprint[:8]}"]]


def _only(files: Iterable[Path]) -> str:
    (file,) = files
    return file.read_text()
