"""What `study` and `sweep` share: options that say where points are measured, and the bar that shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from membench.cli._options import finite
from membench.errors import InputError
from membench.words import counted

if TYPE_CHECKING:
    from membench.campaign import Campaign, State, Workers

Count = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes of this machine that measure at once. [as many as processors, over --threads]"
    ),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Measure on the workers of this Dask scheduler (tcp://HOST:8786) instead.")
]
Cluster = Annotated[
    Path | None,
    typer.Option(
        "--cluster", help="Or on a cluster that this Python file starts, such as SLURM's (docs/slurm.md, docs/kubernetes.md)."
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory", min=0.5, callback=finite, help="GiB of this machine that the processes may use together. [all that it has]"
    ),
]
Limit = Annotated[
    float | None,
    typer.Option(
        "--limit",
        min=1,
        callback=finite,
        help="Seconds that a point may take. [60 s and 20 times what it is estimated to take]",
    ),
]


def chosen_workers(
    scheduler: str | None, cluster: Path | None, count: int | None, threads: int, memory: float | None
) -> Workers:
    """What the options say of where points are measured."""
    from membench.campaign import Workers

    found = Workers(scheduler, cluster, count, threads, int(memory * 2**30) if memory else None)
    if cluster is not None and not cluster.is_file():
        raise InputError(f"--cluster: there is no file {cluster}. Name the Python file that declares CLUSTER.")
    return found


def measured(campaign: Campaign, title: str, estimate: bool) -> State | None:
    """Say what there is to do, and do it; None where its time alone is asked for."""
    cases, missing = len(campaign.cases), len(campaign.missing)
    print(
        f"{title}\n{counted(cases, 'case')}, {cases - missing} of them measured before, in {campaign.store.folder}",
        file=sys.stderr,
    )
    if estimate:
        announce(*campaign.estimate())
        return None
    return _measure(campaign)


def _measure(campaign: Campaign) -> State:
    """Run a campaign with a bar. What was measured is kept however it ends, and the message says so."""
    try:
        with _bar() as tell:
            return campaign.run(tell, lambda address: tqdm.write(f"Dask's dashboard: {address}", file=sys.stderr))
    except KeyboardInterrupt:
        print(f"Stopped. What was measured is kept in {campaign.store.folder}. The same command goes on.", file=sys.stderr)
        raise


def told(state: State) -> None:
    """Say what was measured; end with exit code 1 where something was not."""
    if state.failures:
        print("".join(f"\n{what}: {why}" for what, why in state.failures.items()), file=sys.stderr)
        print(f"\n{len(state.failures)} failed. The same command tries them again.", file=sys.stderr)
        raise typer.Exit(1)


def announce(seconds: float, workers: int) -> None:
    if seconds:
        words = f"It should take about {duration(seconds / max(1, workers))} on {counted(workers, 'worker')}"
    else:
        words = "Nothing is left to measure"
    tqdm.write(words, file=sys.stderr)


def duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _bar() -> Iterator[Callable[[State], None]]:
    """A bar in seconds of work, so that the time left allows for points that cost more than others."""
    with tqdm(desc="preparing", file=sys.stderr, mininterval=0.5, bar_format="{desc} {elapsed}") as bar:
        first = 0

        def tell(state: State) -> None:
            nonlocal first
            done = min(state.work, state.whole)  # sums of the same seconds in another order may differ in the last bit
            if bar.total is None:
                bar.bar_format = "{desc} {percentage:3.0f} % {bar:20} {elapsed}{postfix}, {remaining} left"
                bar.initial = bar.n = done
                first = state.points_done
                announce(state.whole - done, state.workers)
            bar.total, bar.n = state.whole, done
            failed = f", {len(state.failures)} failed" if state.failures else ""
            bar.set_description(
                f"{state.done}/{counted(state.total, 'case')}, {state.points_done}/{counted(state.points, 'point')}{failed}",
                refresh=False,
            )
            elapsed = bar.format_dict["elapsed"]
            rate = (state.points_done - first) / elapsed if elapsed else 0.0
            bar.set_postfix_str(f"{rate:.2g} points/s on {state.workers}", refresh=False)
            bar.refresh()

        yield tell
