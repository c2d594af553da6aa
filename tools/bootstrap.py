#!/usr/bin/env python3
"""Make .venv ready: pinned packages, MemTorch compiled, membench in editable mode.

    python3 tools/bootstrap.py

Runs on the standard library alone. Each step leaves a stamp with the hash of what it installed, so a second call installs
nothing, a changed pin installs again, and an interrupted call carries on at the step that it had reached.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
HEARTBEAT_S = 20


class SetupError(Exception):
    """Something that the user has to mend; the message says how."""


@dataclass(frozen=True)
class Step:
    """One pip call. `inputs` are hashed into the stamp; `about` is said while it runs; `fits`: whether this machine can have it."""

    name: str
    about: str
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    fits: bool = True

    @property
    def stamp(self) -> Path:
        return VENV / f"membench-{self.name}.stamp"

    def digest(self) -> str:
        parts = [" ".join(self.arguments).encode(), *((ROOT / name).read_bytes() for name in self.inputs)]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def done(self) -> bool:
        return not self.fits or (self.stamp.exists() and self.stamp.read_text() == self.digest())


# What other simulators have wheels for; elsewhere membench does without them.
_HAS_WHEELS = sys.version_info < (3, 13) and sys.platform == "linux" and platform.machine() == "x86_64"

STEPS = (
    Step(
        "build",
        "installing torch and torchvision (about 5 GB, 1 to 5 minutes)",
        ("-r", "requirements/build.txt"),
        ("requirements/build.txt",),
    ),
    Step(
        "memtorch",
        "compiling MemTorch's C++ (about 5 minutes on 2 cores; pip keeps the wheel for the next time)",
        ("--no-deps", "--no-build-isolation", "-r", "requirements/memtorch.txt"),
        ("requirements/build.txt", "requirements/memtorch.txt"),
    ),
    Step(
        "packages",
        "installing the run-time and development packages",
        ("-r", "requirements/run.txt", "-r", "requirements/dev.txt"),
        ("requirements/run.txt", "requirements/dev.txt"),
    ),
    Step(
        "simulators",
        "installing other simulators to compare with",
        ("--no-deps", "--only-binary", ":all:", "-r", "requirements/simulators.txt"),
        ("requirements/simulators.txt",),
        _HAS_WHEELS,
    ),
    Step(
        "membench",
        "installing membench in editable mode",
        ("--no-deps", "--no-build-isolation", "--editable", "."),
        ("pyproject.toml",),
    ),
)


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def run(command: list[str], about: str) -> None:
    """Run `command` quietly, with a line every HEARTBEAT_S seconds; its output is shown only when it fails."""
    say(f"{about} ...")
    start = time.monotonic()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            say(f"  still {about.split(' (')[0]}: {time.monotonic() - start:.0f} s")

    threading.Thread(target=beat, daemon=True).start()
    try:
        result = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        over.set()
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-40:])
        raise SetupError(
            f"{tail}\n\nfailed after {time.monotonic() - start:.0f} s: {' '.join(command)}\n"
            "The lines above say why. Mend it and call make again: it carries on from this step."
        )
    say(f"  done in {time.monotonic() - start:.0f} s")


def check_machine() -> None:
    """Refuse a machine on which MemTorch cannot compile before anything is downloaded."""
    if sys.version_info < OLDEST:
        raise SetupError(
            f"Python {'.'.join(map(str, OLDEST))} or later is needed, this is {sys.version.split()[0]} ({sys.executable}). "
            "Name another one: make PYTHON=python3.12 ..."
        )
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise SetupError("No C++ compiler found (c++, g++, clang++); MemTorch needs one. On Debian: apt-get install g++")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise SetupError(f"Python's C headers are missing ({header}). On Debian: apt-get install python3-dev")


def venv_works() -> bool:
    """Whether .venv holds a Python with pip: an interrupted creation leaves one without."""
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0


def prepare() -> None:
    todo = [step for step in STEPS if not step.done()]
    if PYTHON.exists() and not todo:
        return
    check_machine()
    if not venv_works():
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], f"creating .venv with Python {sys.version.split()[0]}")
        todo = [step for step in STEPS if step.fits]
    for step in todo:
        step.stamp.unlink(missing_ok=True)
        run([str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *step.arguments], step.about)
        step.stamp.write_text(step.digest())
    say(f"ready: {PYTHON}")


def main() -> int:
    with open(ROOT / ".setup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second waits, then finds all done
        try:
            prepare()
        except SetupError as error:
            print(f"[setup] {error}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
