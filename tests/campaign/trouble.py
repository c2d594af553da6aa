"""An effect that does harm on a worker and none on the client: a file that declares it, as a user's own would."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tiny  # noqa: F401 - its network

from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import InputError


def tries(ledger: str, name: str) -> int:
    """How often a point of that name was begun on a worker."""
    return len(list(Path(ledger).glob(f"{name}-[0-9]*-[0-9]*")))


class Trouble(Effect):
    """Halves every conductance; before that, on a worker, the first `times` times, it does something else.

    Attributes:
        what: `kill`, `hang` (in C, with Python's lock held), `hog` (memory), `raise`, `say` what stands in the ledger, or `sleep`
            (for `times` seconds).
        times: how often.
        ledger: folder in which each try leaves a file.
        name: of the point.
    """

    kind: Literal["trouble"] = "trouble"
    stage: ClassVar[Stage] = Stage.AGEING
    what: Literal["kill", "hang", "hog", "raise", "say", "sleep"]
    times: float
    ledger: str
    name: str

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        if multiprocessing.parent_process() is not None and (crossbar.layer, crossbar.index) == ("0", 0):
            self._harm()
        return crossbar.conductance / 2

    def _harm(self) -> None:
        if self.what == "sleep":
            time.sleep(self.times)
        (Path(self.ledger) / f"{self.name}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if tries(self.ledger, self.name) > self.times or self.what == "sleep":
            return
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "hang":
            ctypes.PyDLL(None).sleep(10_000)
        if self.what == "say":
            raise InputError((Path(self.ledger) / self.name).read_text(encoding="utf-8", errors="surrogatepass"))
        if self.what == "raise":
            raise RuntimeError("a bug")
        hoard = []
        while True:
            hoard.append(b"x" * 20_000_000)
            time.sleep(0.01)

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        return {}
