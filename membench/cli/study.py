"""membench study: a whole study, resumable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import EngineName, Threads
from membench.cli.report import reported

if TYPE_CHECKING:
    from membench.campaign import State


@app.command()
def study(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a file in benchmarks/studies, or a path that ends in .py.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of records and report. [studies/STUDY, or studies/STUDY-quick]")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer images, seeds and values: coarse, and done in minutes.")
    ] = False,
    engine: EngineName = DEFAULT_ENGINE,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that measure at once. [as many as processors]")
    ] = None,
    threads: Threads = 1,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say how long it would take, and measure nothing.")] = False,
) -> None:
    """Run a study, and report it. Interrupted, the same command goes on where it stopped.

    Examples: membench study paper --quick; membench study paper --out paper --estimate; membench study my/study.py
    """
    from membench.campaign import prepare
    from membench.report.study_report import write
    from membench.study import find_study, load_study

    declared = load_study(name)
    folder = out or Path("studies") / f"{declared.name}{'-quick' if quick else ''}"
    with progress_bar(declared.name) as training:
        campaign = prepare(
            declared,
            folder,
            engine,
            quick=quick,
            workers=workers,
            threads=threads,
            declared_in=find_study(name),
            progress=training,
        )
    cases, missing = len(campaign.cases), len(campaign.missing)
    print(f"{declared.title}\n{cases} cases, {cases - missing} of them measured before, in {folder}", file=sys.stderr)
    if estimate:
        _announce(campaign.estimate() / campaign.workers, campaign.workers)
        return
    try:
        with campaign.store.alone(), _study_bar(campaign.workers) as tell:
            state = campaign.run(tell)
    except KeyboardInterrupt:
        print(f"Stopped. What was measured is kept in {folder}. The same command goes on.", file=sys.stderr)
        raise
    print(f"{state.done} of {state.total} cases are measured")
    if state.done:
        print(reported(write(folder)))
    if state.failures:
        print("".join(f"\n{what}: {why}" for what, why in state.failures.items()), file=sys.stderr)
        raise typer.Exit(1)


def _announce(seconds: float, workers: int) -> None:
    tqdm.write(f"It should take about {_duration(seconds)} on {workers} worker{'s' if workers > 1 else ''}", file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _study_bar(workers: int) -> Iterator[Callable[[State], None]]:
    """A bar in seconds of work, so that the time left allows for cases that cost more than others."""
    shape = "{desc} {percentage:3.0f} % {bar:30} {elapsed}, {remaining} left"
    with tqdm(file=sys.stderr, mininterval=0.5, bar_format=shape) as bar:

        def tell(state: State) -> None:
            if bar.total is None:
                bar.initial = bar.n = state.work
                _announce((state.whole - state.work) / workers, workers)
            bar.total, bar.n = state.whole, state.work
            failed = f", {len(state.failures)} failed" if state.failures else ""
            bar.set_description(f"{state.done}/{state.total} cases{failed}", refresh=False)
            bar.refresh()

        yield tell
