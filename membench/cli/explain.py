"""membench explain: where a case loses its accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import AsJson, Cases, Device, EngineName, Threads, Weights, chosen_cases, suite_in


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="CASE", help="Name of a declared case.")],
    engine: EngineName = DEFAULT_ENGINE,
    images: Annotated[int | None, typer.Option("--images", min=1, help="Measure so many images instead.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Measure the first so many seeds only.")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Draw it there: .png, .svg or .pdf.")] = None,
    cases: Cases = None,
    threads: Threads = 1,
    device: Device = "cpu",
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Find out where a case loses its accuracy: step by step from the digital network, and layer by layer.

    Examples: membench explain mnist5k-worn; membench explain mnist5k-worn --images 200 --seeds 2 --figure worn.png
    """
    from membench.explain import explain
    from membench.pipeline import usable
    from membench.report.explained import explained
    from membench.report.ladder_figure import check_file, write_figure

    if figure is not None:
        check_file(figure)
    (case,) = chosen_cases(suite_in(cases), [name], images, seeds)
    usable(engine, device)
    with progress_bar(case.name) as tell:
        found = explain(case, engine, threads=threads, device=device, progress=tell, weights=weights)
    if figure is not None:
        write_figure(found, figure)
    print(found.model_dump_json(indent=2) if as_json else explained(found))
