"""membench parity: two engines on the same case."""

from __future__ import annotations

from typing import Annotated

import typer

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import Cases, EngineName, chosen_cases, suite_in


@app.command()
def parity(
    names: Annotated[list[str], typer.Argument(metavar="CASE...", help="Names of declared cases.")],
    engine: EngineName = DEFAULT_ENGINE,
    reference: Annotated[str, typer.Option("--reference", help="Engine that it should equal.")] = "memtorch",
    images: Annotated[int, typer.Option("--images", min=1, help="How many images go through both.")] = 2,
    cases: Cases = None,
) -> None:
    """Run a few images of cases on two engines, and compare them device by device and layer by layer.

    Example: membench parity mnist5k-ideal mnist5k-worn
    """
    from membench.parity import compare
    from membench.pipeline import usable

    chosen = chosen_cases(suite_in(cases), names)
    for name in (engine, reference):
        usable(name)
    equal = True
    for case in chosen:
        with progress_bar(case.name) as tell:
            found = compare(case, engine=engine, reference=reference, images=images, progress=tell)
        print(found)
        equal = equal and not found.faults
    if not equal:
        raise typer.Exit(1)
