"""Files: where they are kept, and how they are written so that a kill at any moment leaves the old file or the new one whole."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from membench.errors import EnvironmentProblemError, FileFormatError, InputError

LARGEST = 2**30  # bytes of a file that is read whole
STALE = 3600.0  # seconds after which a temporary file has no writer any more

# A list without lists or objects in it. It begins with a line break, which no JSON string can hold.
_FLAT = re.compile(r"\[\n\s+([^\[\]{}]+?)\n\s*\]")


def cache_dir() -> Path:
    """membench's own cache: MEMBENCH_CACHE, else the platform's cache folder for the user."""
    return Path(os.environ.get("MEMBENCH_CACHE") or platformdirs.user_cache_dir("membench"))


def data_root() -> Path:
    """Where data sets are looked for and downloaded to: MEMBENCH_DATA, else `data` in the cache."""
    return Path(os.environ.get("MEMBENCH_DATA") or cache_dir() / "data")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> bytes:
    """One byte string for one value: sorted keys, no spaces, ASCII, shortest round-trip floats; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def readable_json(value: Any) -> str:
    """JSON for files that people review: two spaces, declared order, flat lists on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return _FLAT.sub(lambda match: "[" + re.sub(r"\n\s*", " ", match.group(1)) + "]", text) + "\n"


def read_whole(path: Path) -> bytes | None:
    """The content of a file; None where there is none.

    Raises:
        FileFormatError: names the file: it cannot be read, is a folder, a pipe or a device, or is too large to be one of membench's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its writer
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileFormatError(f"Cannot read {path}: it is no ordinary file.")
            if found.st_size > LARGEST:
                raise FileFormatError(f"Cannot read {path}: {found.st_size} bytes are too many for it.")
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # a name that holds a zero byte is a ValueError
        raise FileFormatError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error


def repository_places() -> tuple[Path, ...]:
    """Where a relative path of a user's file is looked for: the current folder, then the repository around it."""
    here = Path.cwd()
    marked = (
        folder for folder in (here, *here.parents) if any((folder / mark).exists() for mark in ("pyproject.toml", ".git"))
    )
    return tuple(dict.fromkeys((here, next(marked, here))))


def find_in_repository(path: str | Path) -> Path | None:
    """The file or folder at `path`, absolute or relative to one of `repository_places`; None where there is none."""
    return next((place / path for place in repository_places() if (place / path).exists()), None)


def write_atomically(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path` by way of a temporary file beside it. What a killed writer of `path` left there is removed.

    Raises:
        EnvironmentProblemError: when the folder cannot be written; an older file at `path` is then untouched.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:  # an interrupt must not leave a temporary file either
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise EnvironmentProblemError(
            f"Cannot write {path}: {error.strerror or error}. Free some space, make the folder writable, or name another one."
        ) from error
    return path


def check_writable(folder: Path, option: str) -> None:
    """Refuse a folder that cannot be written, before hours are spent on what would be written there. Nothing is left in it.

    Args:
        folder: need not exist yet.
        option: what named it, for the message.

    Raises:
        InputError: when it is a file, or lies below one.
        EnvironmentProblemError: when it, or the nearest folder above it that exists, cannot be written.
    """
    try:
        existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        if not existing.is_dir():
            raise InputError(f"{option}: {folder} cannot be a folder: {existing} is not one. Name another folder.")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise EnvironmentProblemError(
            f"{option}: cannot write to {folder}: {error.strerror or error}. Make it writable, or name another folder."
        ) from error


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        EnvironmentProblemError: when it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblemError(f"Cannot remove {path}: {error.strerror or error}. Make its folder writable.") from error


def _remove_stale(path: Path) -> None:
    """Temporary files of `path` that are older than any write takes: their writers were killed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):  # another process may be quicker
            if left.stat().st_mtime < time.time() - STALE:
                left.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`: one process and thread at a time.

    Raises:
        EnvironmentProblemError: when the lock file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        lock.acquire()
    except OSError as error:
        raise EnvironmentProblemError(
            f"Cannot lock {path}: {error.strerror or error}. Make its folder writable, or name another one (MEMBENCH_CACHE)."
        ) from error
    try:
        yield
    finally:
        lock.release()
