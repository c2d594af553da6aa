"""membench study: a whole study, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._campaign import Cluster, Count, Limit, Memory, Scheduler, chosen_workers, measured, told
from membench.cli._options import EngineName, Threads
from membench.cli.report import reported
from membench.words import counted


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
    workers: Count = None,
    threads: Threads = 1,
    memory: Memory = None,
    scheduler: Scheduler = None,
    cluster: Cluster = None,
    limit: Limit = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say how long it would take, and measure nothing.")] = False,
) -> None:
    """Run a study, and report it. Interrupted, the same command goes on where it stopped; two of them share the work.

    Examples: membench study paper --quick; membench study paper --out paper --estimate; membench study my/study.py;
    membench study paper --scheduler tcp://10.0.0.1:8786
    """
    from membench.campaign import prepare
    from membench.report.study_report import write
    from membench.study import find_study, load_study

    where = chosen_workers(scheduler, cluster, workers, threads, memory)
    declared = load_study(name)
    folder = out or Path("studies") / f"{declared.name}{'-quick' if quick else ''}"
    with progress_bar(declared.name) as training:
        campaign = prepare(
            declared,
            folder,
            engine,
            quick=quick,
            workers=where,
            limit=limit,
            declared_in=find_study(name),
            progress=training,
        )
    if (state := measured(campaign, declared.title, estimate)) is None:
        return
    print(f"{state.done} of {counted(state.total, 'case')} measured")
    if state.done:
        print(reported(write(folder)))
    told(state)
