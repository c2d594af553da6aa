"""membench versus: one case on several engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import AsJson, Cases, Threads, chosen_cases, suite_in


@app.command()
def versus(
    name: Annotated[str, typer.Argument(metavar="CASE", help="Name of a declared case.")],
    engines: Annotated[
        str, typer.Option("--engines", help="Engines, with commas between them. [all but digital and memtorch]")
    ] = "",
    images: Annotated[int | None, typer.Option("--images", min=1, help="Measure so many images instead.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Measure the first so many seeds only.")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Draw it there: .png, .svg or .pdf.")] = None,
    cases: Cases = None,
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Measure a case on several simulators, and find out whether, and at which layer, they part.

    Examples: membench versus mnist5k-exact; membench versus mnist5k-adc-fixed --engines vectorized,aihwkit --images 200 --seeds 1
    """
    from membench.engines import ENGINES
    from membench.report.ladder_figure import check_file
    from membench.report.versus import compared
    from membench.report.versus_figure import write_figure
    from membench.versus import versus

    if figure is not None:
        check_file(figure)
    (case,) = chosen_cases(suite_in(cases), [name], images, seeds)
    chosen = [part.strip() for part in engines.split(",")] if engines else []
    for engine in chosen:
        ENGINES.get(engine)  # one that is not on this machine stands in the result with the reason
    with progress_bar(case.name) as tell:
        found = versus(case, chosen, threads=threads, progress=tell)
    if figure is not None:
        write_figure(found, figure)
    print(found.model_dump_json(indent=2) if as_json else compared(found))
