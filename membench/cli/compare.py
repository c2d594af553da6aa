"""membench compare: what changed between two commits, two folders of records, or a baseline and a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import BASELINES, AsJson, Baselines, Cases, Threads, finite
from membench.errors import InputError

if TYPE_CHECKING:
    from membench.compare import Side

WHAT = "A commit (its baselines), a folder of records or baselines, or one of their files."


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=WHAT)],
    b: Annotated[str, typer.Argument(metavar="B", help="The same: what A is compared with.")],
    names: Annotated[list[str] | None, typer.Option("--case", help="This case only; may be given again.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="Records of this engine only. [all that are there]")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure what a side lacks: of a commit, with its own code.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure commits anew, whatever baselines they have; implies --measure.")
    ] = False,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Accept cases that are on one side only.")] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            min=0,
            callback=finite,
            help="Points that count as no change. [each case's tolerance_points, else 0.5]",
        ),
    ] = None,
    cases: Cases = None,
    baselines: Baselines = BASELINES,
    threads: Threads = 1,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown on stdout, for a pull request.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the accuracy and the time of two sides, case by case, with a paired test corrected for the number of cases.

    Exit codes: 0 nothing is worse; 1 a case is worse, or invalid in B; 2 usage or input; 3 environment; 4 not all cases could be compared.

    Examples: membench compare baselines reports; membench compare HEAD~1 HEAD; membench compare main HEAD --fresh --case mnist5k-ideal
    """
    from membench.compare import compare_sides, read_side
    from membench.compare.sides import matched
    from membench.report.compared import compared, compared_markdown

    if markdown and as_json:
        raise InputError("--markdown and --json exclude each other: both go to stdout. Give one of the two.")
    left, right = matched(*(read_side(spec, baselines).only(names or (), engine) for spec in (a, b)))
    if measure or fresh:
        folders = cases or [Path("benchmarks/cases")]
        left, right = _measured(left, right, names or [], engine, folders, threads, fresh)
    _check_chosen(left, right, names or [], engine)
    found = compare_sides(left, right, tolerance=tolerance, test_images=_test_images)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print(compared_markdown(found) if markdown else compared(found))
    if code := found.exit_code(allow_missing=allow_missing):
        raise typer.Exit(code)


def _test_images(dataset: str) -> int | None:
    from membench.datasets import count_test_images  # imports torch, which few comparisons need

    return count_test_images(dataset)


def _measured(
    left: Side, right: Side, names: list[str], engine: str | None, folders: list[Path], threads: int, fresh: bool
) -> tuple[Side, Side]:
    from membench.compare.measure import measured
    from membench.compare.revision import Revision

    known = dict.fromkeys((*left.records, *right.records))
    named = {case for case, _ in known}
    keys = [*known, *((name, engine or DEFAULT_ENGINE) for name in names if name not in named)]
    if not keys:
        raise InputError("There is nothing to measure: neither side has a record. Name the cases with --case.")
    sides = []
    for side in (left, right):
        stale = fresh and isinstance(side.origin, Revision)
        with progress_bar("compare") as tell:
            sides.append(
                measured(
                    replace(side, records={}, unreadable=()) if stale else side,
                    keys,
                    cases=folders,
                    threads=threads,
                    progress=tell,
                )
            )
    return sides[0], sides[1]


def _check_chosen(left: Side, right: Side, names: list[str], engine: str | None) -> None:
    known = {case for side in (left, right) for case, _ in (*side.records, *side.failures)}
    on = f" on engine {engine}" if engine else ""
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"Neither side has a record of {', '.join(unknown)}{on}. Say --measure to measure it, or name another case."
        )
    if engine and not known:
        raise InputError(f"Neither side has a record{on}. Name another engine, or say --measure with --case.")
