"""membench baseline: accepted records, and the only way to change one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from tabulate import tabulate

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import BASELINES, Baselines, Cases, EngineName, Threads, Weights, chosen_cases, suite_in
from membench.errors import InputError

baseline_app = typer.Typer(help="Accepted records: list, show, and the only way to change one.", no_args_is_help=True)
app.add_typer(baseline_app, name="baseline")


@baseline_app.command("list")
def baseline_list(engine: EngineName = DEFAULT_ENGINE, baselines: Baselines = BASELINES) -> None:
    """List the baselines of an engine with the reason for each.

    Example: membench baseline list
    """
    from membench.baselines import BaselineStore

    store = BaselineStore(baselines)
    rows = []
    for name in store.cases(engine):
        baseline = store.get(engine, name)
        assert baseline is not None
        measured = baseline.record.measured
        rows.append(
            (
                name,
                f"{measured.loss.estimate:.2f} [{measured.loss.low:.2f}, {measured.loss.high:.2f}]",
                baseline.accepted[:10],
                baseline.reason,
            )
        )
    print(tabulate(rows, headers=("case", "loss, points [95 %]", "accepted", "reason")))


@baseline_app.command("show")
def baseline_show(
    name: Annotated[str, typer.Argument(metavar="CASE")], engine: EngineName = DEFAULT_ENGINE, baselines: Baselines = BASELINES
) -> None:
    """Print a baseline as JSON.

    Example: membench baseline show mnist5k-ideal
    """
    from membench.baselines import BaselineStore

    baseline = BaselineStore(baselines).get(engine, name)
    if baseline is None:
        raise InputError(f"There is no baseline of {name!r} on engine {engine!r} below {baselines}.")
    print(baseline.model_dump_json(indent=2))


@baseline_app.command("update")
def baseline_update(
    reason: Annotated[str, typer.Option("--reason", help="Why it is accepted: a sentence for reviewers, kept in the file.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...", help="Names of declared cases.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All declared cases whose data are here.")] = False,
    records: Annotated[
        Path | None,
        typer.Option("--from", help="Accept records of an earlier run (the folder given to --report) instead of measuring."),
    ] = None,
    engine: EngineName = DEFAULT_ENGINE,
    cases: Cases = None,
    baselines: Baselines = BASELINES,
    threads: Threads = 1,
    weights: Weights = None,
) -> None:
    """Measure cases and accept what was found as their baselines. Nothing else changes a baseline.

    Examples: membench baseline update mnist5k-ideal --reason "8-bit ADC instead of 6";
    membench baseline update --all --from reports --reason "New machine"
    """
    from membench.baselines import BaselineStore
    from membench.errors import DataMissingError
    from membench.pipeline import run_case
    from membench.record import Record, load

    if bool(names) == every:
        raise InputError("Name the cases to update, or say --all.")
    if weights is not None and (every or records is not None):
        raise InputError("--weights is of cases that are named and measured: leave out --all and --from.")
    suite, store = suite_in(cases), BaselineStore(baselines)
    for case in list(suite) if every else chosen_cases(suite, names or [], None):
        try:
            if records is not None:
                record = load(Record, records / "records" / engine / f"{case.name}.json")
                if record.fingerprint != case.fingerprint:
                    raise InputError(
                        f"The record of {case.name!r} in {records} is of another case than is declared now. Measure it anew."
                    )
            else:
                with progress_bar(case.name) as tell:
                    record = run_case(case, engine, threads=threads, progress=tell, weights=weights)
        except DataMissingError as error:
            if not every:
                raise
            print(f"{case.name}: left as it is: {error}", file=sys.stderr)
            continue
        print(store.update(record, reason))
