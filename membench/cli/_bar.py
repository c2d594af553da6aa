"""A progress bar on stderr, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from membench.pipeline import Progress


_UNKNOWN = "{desc} {elapsed}"  # until it is known how much there is to do
_KNOWN = "{desc} {bar:20} {n}/{total} {elapsed}{postfix}"


class TimeLeft:
    """Estimates how long a task will take, from the steps it has made since it began or was taken up again.

    A task that has another length, or begins again, is another one. What was done before the first call (by an interrupted
    training) took no time of this one.
    """

    def __init__(self) -> None:
        self.total, self.first, self.last, self.since = -1, 0, 0, 0.0

    def after(self, done: int, total: int) -> float | None:
        """Seconds left; None while there is nothing to tell it from, and at the end."""
        now = time.monotonic()
        if total != self.total or done < self.last:
            self.total, self.first, self.since = total, done, now
        self.last = done
        if not self.first < done < total:
            return None
        return (now - self.since) / (done - self.first) * (total - done)


@contextmanager
def progress_bar(name: str) -> Iterator[Progress]:
    """A progress bar on stderr, so that stdout holds the result alone."""
    left = TimeLeft()
    with tqdm(
        desc=name,
        leave=False,
        file=sys.stderr,
        mininterval=0.5,
        miniters=0,  # time alone tells when to draw: tqdm's own guess waits for thousands of steps after a resumed training
        bar_format=_UNKNOWN,
    ) as bar:

        def tell(what: str, done: int, total: int) -> None:
            bar.total, bar.n = max(total, 0), min(max(done, 0), max(total, 0))
            bar.bar_format = _KNOWN if total > 0 else _UNKNOWN
            bar.set_description(f"{name}: {what}", refresh=False)
            seconds = left.after(done, total)
            bar.set_postfix_str("" if seconds is None else f"{bar.format_interval(seconds)} left", refresh=False)
            bar.update(0)

        yield tell
