"""Peak resident memory of a stretch of work, sampled by a thread."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

_INTERVAL_S = 0.05


class PeakMemory:
    """Context manager; `bytes` is the largest resident memory seen above what the process held at its start.

    A peak shorter than the interval of 50 ms may be missed.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._start = self._peak = 0

    @property
    def bytes(self) -> int:
        return self._peak - self._start

    def __enter__(self) -> Self:
        self._start = self._peak = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    def _sample(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            self._sample()
