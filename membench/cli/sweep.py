"""membench sweep: a grid over fields of one declared case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._campaign import Cluster, Count, Limit, Memory, Scheduler, chosen_workers, measured, told
from membench.cli._options import Cases, EngineName, Threads, suite_in
from membench.errors import UnknownNameError

if TYPE_CHECKING:
    from membench.campaign import Campaign


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(metavar="CASE", help="Name of a declared case.")],
    over: Annotated[
        list[str],
        typer.Option(
            "--over", metavar="FIELD=V1,V2", help="A field and its values; given again, every combination is measured."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of records and table. [studies/CASE-sweep]")] = None,
    engine: EngineName = DEFAULT_ENGINE,
    workers: Count = None,
    threads: Threads = 1,
    memory: Memory = None,
    scheduler: Scheduler = None,
    cluster: Cluster = None,
    limit: Limit = None,
    cases: Cases = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say how long it would take, and measure nothing.")] = False,
) -> None:
    """Measure a case with every combination of values of some of its fields. Interrupted, the same command goes on.

    Examples: membench sweep mnist5k-ideal --over adc.bits=2,4,6,8; membench sweep mnist5k-faults --over
    device_faults.lrs_proportion=0.01,0.05 --over tile_shape=none,64x64 --out faults
    """
    from membench.campaign import grid, prepare
    from membench.report.study_report import write

    declared = suite_in(cases).declared_as(name)
    if declared is None:
        raise UnknownNameError(f"There is no case {name!r}. Declared: {', '.join(case.name for case in suite_in(cases))}.")
    study = grid(declared.case, over)
    folder = out or Path("studies") / study.name
    with progress_bar(study.name) as training:
        campaign = prepare(
            study,
            folder,
            engine,
            workers=chosen_workers(scheduler, cluster, workers, threads, memory),
            limit=limit,
            declared_in=declared.file.resolve(),
            progress=training,
        )
    if (state := measured(campaign, study.title, estimate)) is None:
        return
    if state.done:
        written = write(folder)
        print(f"{_table(campaign)}\n\n{tabulate(written.parts, tablefmt='plain')}")
    told(state)


def _table(campaign: Campaign) -> str:
    """A row for each setting: what was lost, and what it cost."""
    (info,) = campaign.info.sweeps
    hashes = set(campaign.kit.hashes.values())
    rows = []
    for point in info.points:
        settings = [point.settings[knob.name] for knob in info.knobs]
        found = [campaign.store.record(point.fingerprint, campaign.engine, weights) for weights in hashes]
        record = next((record for record in found if record is not None), None)
        if record is None:
            rows.append((*settings, "failed", "", "", ""))
            continue
        loss, costs = record.measured.loss, record.costs
        rows.append(
            (
                *settings,
                f"{loss.estimate:.2f} [{loss.low:.2f}, {loss.high:.2f}]",
                f"{100 * record.measured.accuracy:.2f}",
                f"{costs.seconds_per_image:.2g}",
                f"{costs.ratio:.3g}",
            )
        )
    headers = (*(knob.label for knob in info.knobs), "loss, points [95 %]", "accuracy %", "s/image", "x digital")
    return tabulate(rows, headers=headers, disable_numparse=True)
