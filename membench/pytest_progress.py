"""Live progress of one test, past pytest's capture."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from membench.words import part_of

HEARTBEAT_S = 20.0


@contextmanager
def live_progress(config: pytest.Config, name: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on a terminal, a line every 20 s elsewhere, nothing on xdist's workers."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    if hasattr(config, "workerinput") or capture is None:
        yield None
        return
    last = time.monotonic()
    tty = sys.__stderr__ is not None and sys.__stderr__.isatty()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if tty else HEARTBEAT_S):
            return
        last = now
        line = f"  {name}: {what} {part_of(done, total)}".rstrip()
        with capture.global_and_fixture_disabled():
            print(f"\r\033[K{line}" if tty else f"\n{line}", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if tty:
            with capture.global_and_fixture_disabled():
                print("\r\033[K", end="", file=sys.stderr, flush=True)
