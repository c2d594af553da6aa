"""Options that several commands have, and what they choose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.case import Case
from membench.suite import Suite, load_suite

Cases = Annotated[
    list[Path] | None, typer.Option("--cases", help="Folder of declared cases; may be given again. [benchmarks/cases]")
]
Baselines = Annotated[Path, typer.Option("--baselines", help="Folder of baselines.")]
EngineName = Annotated[str, typer.Option("--engine", help="Engine that executes the converted network.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="torch threads while measuring.")]
Device = Annotated[str, typer.Option("--device", help="Where the networks run, as torch names it: cpu, cuda, cuda:1.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
BASELINES = Path("baselines")


def suite_in(folders: list[Path] | None) -> Suite:
    return load_suite(folders or [Path("benchmarks/cases")])


def chosen_cases(suite: Suite, names: list[str], images: int | None) -> list[Case]:
    """Declared cases by name, none of which asks for more test images than its data set has."""
    from membench.datasets import check_images

    found = [suite.get(name) for name in names]
    chosen = [case.replace(images=images) for case in found] if images else found
    check_images(chosen, read=True)
    return chosen
