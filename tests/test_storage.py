"""Files are written whole or not at all, and JSON means what it meant."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membench import storage
from membench.errors import EnvironmentProblemError, FileFormatError
from membench.storage import cache_dir, canonical_json, data_root, read_whole, readable_json, remove, sha256, write_atomically


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("data", "expected"), [("é\n", "é\n".encode()), (b"\x00\r\n", b"\x00\r\n"), ("", b"")])
def test_a_file_holds_what_was_written(tmp_path: Path, data: bytes | str, expected: bytes) -> None:
    path = tmp_path / "new" / "folders" / "file.json"
    assert write_atomically(path, data) == path
    assert path.read_bytes() == expected
    assert entries(path.parent) == ["file.json"]


def test_a_file_is_replaced_and_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a long old content")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "interrupt"])
def test_a_failure_leaves_the_old_file_whole_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise failure

    expected = EnvironmentProblemError if isinstance(failure, OSError) else KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, step, fail)
        with pytest.raises(expected) as error:
            write_atomically(path, "new")
    if isinstance(failure, OSError):
        assert str(path) in str(error.value)
        assert "No space left on device" in str(error.value)
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of the machine must not leave the name on an empty file."""
    steps: list[str] = []
    for step in ("fsync", "replace"):
        real = getattr(os, step)
        monkeypatch.setattr(storage.os, step, lambda *args, step=step, real=real: (steps.append(step), real(*args))[1])
    write_atomically(tmp_path / "file", "new")
    assert steps == ["fsync", "replace"]


def test_the_old_file_is_whole_until_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    seen: list[str] = []
    real = os.replace
    monkeypatch.setattr(storage.os, "replace", lambda *args: (seen.append(path.read_text()), real(*args))[1])
    write_atomically(path, "new")
    assert seen == ["old"]


def test_a_target_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("")
    for path in (tmp_path / "file" / "below", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(EnvironmentProblemError, match="Cannot write") as error:
            write_atomically(path, "x")
        assert str(path) in str(error.value)
    assert entries(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1.0, math.nan], {"a": {"b": math.inf}}])
def test_neither_form_of_json_knows_nan(value: object) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        canonical_json(value)
    with pytest.raises(ValueError, match="Out of range float values"):
        readable_json(value)


def test_canonical_json_is_one_text_for_one_value() -> None:
    assert canonical_json({"b": [1, 0.1, None], "a": "é", "C": True}) == b'{"C":true,"a":"\\u00e9","b":[1,0.1,null]}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})


def test_readable_json_keeps_the_order_and_puts_flat_lists_on_one_line() -> None:
    value = {"b": [1, -2.5, 1e-7, 1e22], "a": ["x", None], "nested": [[1, 2], [3]], "empty": [], "c": {"é": [True]}}
    assert readable_json(value) == (
        '{\n  "b": [1, -2.5, 1e-07, 1e+22],\n  "a": ["x", null],\n  "nested": [\n    [1, 2],\n    [3]\n  ],\n'
        '  "empty": [],\n  "c": {\n    "é": [true]\n  }\n}\n'
    )


def test_readable_json_keeps_a_long_list_on_one_line() -> None:
    values = list(range(5000))
    text = readable_json({"values": values})
    assert len(text.splitlines()) == 3
    assert json.loads(text) == {"values": values}


@pytest.mark.parametrize(
    "text",
    ["[ 1, 2 ]", "tiles of [ 64,  64 ]", "[\n  1\n]", "a\\[ 1 ]", "[ 1, 2 ]\r\n[ 3 ]", " 1 ", "[ - ]", "two  spaces,  twice"],
)
def test_readable_json_leaves_text_alone(text: str) -> None:
    """A reason or description may hold brackets and numbers."""
    assert json.loads(readable_json({"text": text, text: [text]})) == {"text": text, text: [text]}


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet='[]{} \n\t,-.0123456789eE"\\é', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab[ 1]", max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, database=None)
@given(PLAIN)
def test_both_forms_of_json_mean_what_they_were_made_from(value: object) -> None:
    assert json.loads(readable_json(value)) == value
    assert json.loads(canonical_json(value)) == value


def test_sha256() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_where_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "data"))
    assert (cache_dir(), data_root()) == (tmp_path / "cache", tmp_path / "data")
    monkeypatch.delenv("MEMBENCH_DATA")
    assert data_root() == tmp_path / "cache" / "data"
    monkeypatch.setenv("MEMBENCH_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() not in (Path(), tmp_path / "cache")
    assert "membench" in str(cache_dir())


def test_a_file_is_read_whole_or_said_to_be_absent(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert read_whole(file) is None
    assert read_whole(file / "below") is None
    file.write_bytes(b"\x00\xff")
    assert read_whole(file) == b"\x00\xff"
    assert read_whole(file / "below") is None


def test_what_is_no_ordinary_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe would be waited for, and a device read for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / "loop", tmp_path / "a\0b", tmp_path / ("n" * 300)):
        with pytest.raises(FileFormatError, match="Cannot read"):
            read_whole(path)
    (tmp_path / "large").write_bytes(b"12345")
    monkeypatch.setattr(storage, "LARGEST", 4)
    with pytest.raises(FileFormatError, match="5 bytes are too many"):
        read_whole(tmp_path / "large")


def test_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    remove(tmp_path / "absent")
    (tmp_path / "file").touch()
    remove(tmp_path / "file")
    assert entries(tmp_path) == []
    with pytest.raises(EnvironmentProblemError, match="Cannot remove"):
        remove(tmp_path)
