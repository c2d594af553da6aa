"""Options that several commands have, and what they choose."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from membench.case import MOST_THREADS, Case
from membench.declared import import_file
from membench.errors import InputError, UnknownNameError
from membench.suite import Suite, load_suite
from membench.words import counted

Cases = Annotated[
    list[Path] | None, typer.Option("--cases", help="Folder of declared cases; may be given again. [benchmarks/cases]")
]
Baselines = Annotated[Path, typer.Option("--baselines", help="Folder of baselines.")]
EngineName = Annotated[str, typer.Option("--engine", help="Engine that executes the converted network.")]
Threads = Annotated[int, typer.Option("--threads", min=1, max=MOST_THREADS, help="torch threads while measuring.")]
Device = Annotated[str, typer.Option("--device", help="Where the networks run, as torch names it: cpu, cuda, cuda:1.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", help="A file of trained weights to measure, instead of those of the case.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
BASELINES = Path("baselines")
CASES = Path("benchmarks/cases")

if TYPE_CHECKING:
    from membench.datasets import Dataset
    from membench.models import Network


def suite_in(folders: list[Path] | None) -> Suite:
    return load_suite(folders or [CASES])


def chosen_cases(suite: Suite, names: list[str], images: int | None = None, seeds: int | None = None) -> list[Case]:
    """The declared cases of those names.

    Args:
        images: measure so many instead.
        seeds: measure the first so many only.

    Raises:
        InputError: no such case; a name stands there twice; a case has fewer seeds, or its data set fewer test images.
    """
    from membench.datasets import check_images

    found = [suite.get(name) for name in names]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise InputError(f"Each case can be named once; named twice: {', '.join(twice)}.")
    for case in found:
        if seeds is not None and seeds > len(case.seeds):
            raise InputError(
                f"--seeds {seeds}: the case {case.name!r} declares {counted(len(case.seeds), 'seed')}. Ask for fewer, or declare more."
            )
    chosen = [case.replace(images=images or case.images, seeds=case.seeds[:seeds]) for case in found]
    check_images(chosen, read=True)
    return chosen


def finite(value: float | None) -> float | None:
    """Refuse NaN, which passes every comparison with a least value, and infinity: a callback of options."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to measure by.")
    return value


def network_and_dataset(network: str, dataset: str, folders: list[Path] | None) -> tuple[Network, Dataset]:
    """The components of these names: of membench, else such as the files of declared cases register.

    Raises:
        UnknownNameError: when there is none of a name.
        SuiteError: when a declaring file cannot be imported.
    """
    from membench.datasets import DATASETS
    from membench.models import NETWORKS

    try:
        return NETWORKS.get(network), DATASETS.get(dataset)
    except UnknownNameError:
        for folder in folders or [CASES]:
            for file in sorted(folder.rglob("*.py")):
                if not file.name.startswith("_"):
                    import_file(file)
        return NETWORKS.get(network), DATASETS.get(dataset)
