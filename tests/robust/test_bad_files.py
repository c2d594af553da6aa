"""Bad files of every kind: each is refused with one clear error that names the file and the field, and none is accepted."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from formats import MAKERS, Format, made
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import mutants_of_bytes

from membench.arrays import kernel
from membench.errors import MembenchError
from membench.storage import sha256
from membench.words import LINE, LINES

ALL = 10_000  # bad files that the slow tests refuse together
FEW = 30  # mutants of each format in the fast tests
pytestmark = pytest.mark.filterwarnings("ignore::membench.case.UnusualOrderWarning")
EVERY = pytest.mark.parametrize("name", MAKERS)


def complaint(message: str, folder: Path, form: Format) -> str:
    """What is wrong with an error: it must be short, name the file, and say where in it or which field."""
    if str(folder / form.target) not in message and str((folder / form.target).parent) not in message:
        return "it does not name the file"
    python = r"\b(KeyError|TypeError|AttributeError|ValidationError|RecursionError)\b"
    if "Traceback" in message or (not form.target.endswith(".py") and re.search(python, message)):
        return "it speaks of Python"
    lines = message.split("\n")
    if len(lines) > LINES + 4 or max(len(line) for line in lines) > LINE + 3 * len(str(folder)) + 250:
        return f"it is too long: {len(lines)} lines of up to {max(map(len, lines))}"
    if any(not line.isprintable() for line in lines):
        return "it is not printable"
    rest = message.replace(str(folder), "")
    place = (
        r"line \d|column \d|byte \d|position \d|char \d|nested|entry \d|holds|lacks|empty|truncated|ends within|no ordinary file|is no |"
        r"must declare [A-Z]+"
    )
    named = re.search(rf"\w+(\.\w+)*: |schema_version|fingerprint|sha256|{place}", rest)
    return "" if named or not form.fields else "it names neither a field nor a place"


def verdict(form: Format, folder: Path, mutant: bytes) -> str:
    """`refused`, `valid` or `passed over`. What is accepted and is no other valid file fails the test, as does any other error."""
    (folder / form.target).write_bytes(mutant)
    try:
        read: Any = form.read(folder)
    except MembenchError as error:
        if wrong := complaint(str(error), folder, form):
            pytest.fail(f"{form.name}: {wrong}: {error}\n{mutant[:2000]!r}")
        return "refused"
    if read is None:
        return "passed over"
    if fault := form.fault(form.valid, mutant, read):
        pytest.fail(f"{form.name}: a bad file was accepted: {fault}\n{mutant[:6000]!r}")
    return "valid"


def tried(form: Format, folder: Path, tries: int) -> Counter[str]:
    """How many different mutants are refused, valid and passed over."""
    found: dict[str, str] = {}
    form.lay(folder)
    mutants = form.mutants(form.valid)

    @settings(
        max_examples=tries, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        mutant = data.draw(mutants)
        key = sha256(mutant)
        if mutant != form.valid and key not in found:
            found[key] = verdict(form, folder, mutant)

    attempt()
    return Counter(found.values())


@EVERY
def test_the_example_is_valid(name: str, tmp_path: Path) -> None:
    form = made(name)
    form.lay(tmp_path)
    read: Any = form.read(tmp_path)
    assert read is not None
    assert form.fault(form.valid, form.valid, read) == ""


@EVERY
def test_a_few_bad_files_are_refused(name: str, tmp_path: Path) -> None:
    tries = min(FEW, made(name).tries // 10)
    assert tried(made(name), tmp_path, tries)["refused"] >= tries / 4


@pytest.mark.slow
@EVERY
def test_many_bad_files_are_refused(name: str, tmp_path: Path) -> None:
    form, start = made(name), time.monotonic()
    found = tried(form, tmp_path, form.tries)
    print(f"{name}: {dict(found)} in {time.monotonic() - start:.1f} s")
    assert found["refused"] >= form.refused


def test_the_slow_tests_refuse_ten_thousand_together() -> None:
    assert sum(made(name).refused for name in MAKERS) >= ALL


def test_a_damaged_kernel_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could end the process. Without its hash, or with another one, it is compiled anew."""
    library, content = tmp_path / "kernel.so", bytes(range(256)) * 8
    loaded: list[str] = []
    monkeypatch.setattr(kernel.ctypes, "CDLL", loaded.append)

    def keep(data: bytes, noted: bytes | None) -> None:
        loaded.clear()
        library.write_bytes(data)
        hash_file = kernel._hash_file(library)
        hash_file.unlink(missing_ok=True)
        if noted is not None:
            hash_file.write_bytes(noted)
        kernel._kept(library)

    keep(content, sha256(content).encode())
    assert loaded == [str(library)]
    keep(content, None)
    assert loaded == []

    @settings(max_examples=150, database=None, deadline=None)
    @given(mutants_of_bytes(content), mutants_of_bytes(sha256(content).encode()))
    def attempt(data: bytes, noted: bytes) -> None:
        if data != content:
            keep(data, sha256(content).encode())
            assert loaded == []
        if noted != sha256(content).encode():
            keep(content, noted)
            assert loaded == []

    attempt()
