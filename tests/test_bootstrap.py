"""Set-up: a second call installs nothing, and an interrupted one carries on at the step that it had reached."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest
from scripts import loaded

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/bootstrap.py on an empty folder, with pip replaced by a list of what it was asked for."""
    module = loaded("bootstrap", monkeypatch)
    steps = tuple(dataclasses.replace(step, fits=True) for step in module.STEPS)
    monkeypatch.setattr(module, "STEPS", steps)
    for name in ("requirements", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    calls: list[str] = []

    def run(command: list[str], about: str) -> None:
        if module.fails_at is not None and module.fails_at in " ".join(command):
            raise module.SetupError("interrupted")
        calls.append(about.split(" (")[0])
        if "venv" in command:
            module.PYTHON.parent.mkdir(parents=True)
            module.PYTHON.write_text("")

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "venv_works", lambda: bool(module.PYTHON.exists()))
    module.calls, module.fails_at = calls, None  # type: ignore[attr-defined]
    return module


def test_the_first_call_installs_in_order_and_the_second_nothing(bootstrap: ModuleType) -> None:
    bootstrap.prepare()
    assert [call.split()[0] for call in bootstrap.calls] == ["creating", "installing", "compiling", *["installing"] * 3]
    bootstrap.calls.clear()
    bootstrap.prepare()
    assert bootstrap.calls == []


def test_an_interrupted_call_carries_on(bootstrap: ModuleType) -> None:
    bootstrap.fails_at = "memtorch.txt"
    with pytest.raises(bootstrap.SetupError):
        bootstrap.prepare()
    bootstrap.calls.clear()
    bootstrap.fails_at = None
    bootstrap.prepare()
    assert [call.split()[0] for call in bootstrap.calls] == ["compiling", "installing", "installing", "installing"]


def test_a_changed_pin_installs_again(bootstrap: ModuleType) -> None:
    bootstrap.prepare()
    bootstrap.calls.clear()
    pins = bootstrap.ROOT / "requirements"
    texts = {file.name: file.read_text() for file in pins.iterdir()}
    pins.unlink()
    pins.mkdir()
    for name, text in texts.items():
        (pins / name).write_text(text)
    with (pins / "dev.txt").open("a") as file:
        file.write("six==1.17.0\n")
    bootstrap.prepare()
    assert bootstrap.calls == ["installing the run-time and development packages"]


def test_a_half_made_environment_is_made_anew(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.PYTHON.parent.mkdir(parents=True)
    monkeypatch.setattr(bootstrap, "venv_works", lambda: False)
    bootstrap.PYTHON.parent.rmdir()
    bootstrap.prepare()
    assert len(bootstrap.calls) == 6


def test_what_this_machine_cannot_have_is_left_out(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = tuple(dataclasses.replace(step, fits=step.name != "simulators") for step in bootstrap.STEPS)
    monkeypatch.setattr(bootstrap, "STEPS", steps)
    bootstrap.prepare()
    assert "installing other simulators to compare with" not in bootstrap.calls
    bootstrap.calls.clear()
    bootstrap.prepare()
    assert bootstrap.calls == []


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [("OLDEST", (99, 0), "Python 99.0 or later is needed"), ("shutil", None, "No C\\+\\+ compiler found")],
)
def test_a_machine_that_cannot_compile_is_refused_before_anything_is_downloaded(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, setting: str, value: object, words: str
) -> None:
    if setting == "shutil":
        monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    else:
        monkeypatch.setattr(bootstrap, setting, value)
    with pytest.raises(bootstrap.SetupError, match=words):
        bootstrap.prepare()
    assert bootstrap.calls == []


def test_a_command_that_fails_shows_the_end_of_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded("bootstrap", monkeypatch)
    with pytest.raises(module.SetupError, match=r"the reason(.|\n)*carries on from this step"):
        module.run(["sh", "-c", "echo the reason; exit 1"], "trying")
