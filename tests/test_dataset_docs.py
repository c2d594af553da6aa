"""docs/datasets.md: every code block of it runs, in the order of the page, in a user's own repository."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import own_data
import pytest
import torchvision
from typer.testing import CliRunner

from membench.cli import app
from membench.datasets import DATASETS
from membench.errors import DataMissingError
from membench.models import NETWORKS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "datasets.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
NAMES = ("ecg", "waves", "leaves", "fashion", "tape")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Its data lie where the page says: the file of the tape below MEMBENCH_DATA, the rest below the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "root"))
    (tmp_path / "data").mkdir()
    parts = {"train": (600, 0), "test": (150, 1)}
    held = {f"x_{part}": own_data.signals(number, (1, 187), seed) for part, (number, seed) in parts.items()}
    np.savez("data/ecg.npz", **held, **{f"y_{part}": own_data.labels(number) for part, (number, _) in parts.items()})
    for seed, part in enumerate(("train", "val")):
        own_data.write_folder(tmp_path / "data" / "leaves" / part, own_data.pixels(30, seed=seed))
    (tmp_path / "root").mkdir()
    table = np.column_stack([np.arange(60) // 2 % 3, own_data.signals(60, (100,)) - 1])
    np.savetxt(tmp_path / "root" / "tape.txt", table)
    yield tmp_path
    for registry, names in ((DATASETS, NAMES), (NETWORKS, ("ecg-net",))):
        for name in names:
            registry._items.pop(name, None)  # type: ignore[attr-defined]
            registry._files.pop(name, None)


def test_every_block_runs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds == ["python", "console", "python", "python"]
    said = []
    for kind, block in BLOCKS:
        if kind == "python":
            named = re.match(r"# (benchmarks/\S+\.py)\n", block)
            file = repository / (named[1] if named else "block.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)
            if named:  # the commands run it
                continue
            exec(compile(block, str(file), "exec"), {"__file__": str(file), "__name__": "page"})
            continue
        for line in block.splitlines():
            prompt, command, *arguments = shlex.split(line)
            assert (prompt, command) == ("$", "membench")
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code in (0, 1), result.output
            assert isinstance(result.exception, SystemExit | None), result.exception
            said.append(result.stdout)
    assert "NO_BASELINE" in said[1]
    assert re.search(r"^ecg .* PASS$", said[3], re.MULTILINE), said[3]

    found = {name: DATASETS.get(name) for name in NAMES}
    assert (found["ecg"].classes, found["ecg"].shape, len(found["ecg"].load("test"))) == (3, (1, 187), 150)
    assert (found["waves"].shape, len(found["waves"].load("test"))) == ((1, 50), 120)
    assert (found["leaves"].shape, len(found["leaves"].load("test")), found["leaves"].augment) == (
        (3, 32, 32),
        30,
        ("shift", "mirror"),
    )
    assert (found["tape"].load("train").images.shape, len(found["tape"].load("test"))) == ((30, 2, 50), 30)
    with pytest.raises(DataMissingError, match=r"fashion was not found: .*Get it with: python get\.py"):
        found["fashion"].load("test")
    items = [(own_data.pixels(1, (28, 28), seed)[0], seed % 10) for seed in range(40)]
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", lambda root, train: items[:20] if train else items[20:])
    monkeypatch.setitem(found["fashion"].parts["train"].__globals__, "FashionMNIST", torchvision.datasets.FashionMNIST)  # type: ignore[attr-defined]
    assert (found["fashion"].load("train").images.shape, found["fashion"].classes) == ((20, 1, 28, 28), 10)
