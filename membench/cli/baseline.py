"""membench baseline: accepted records, and the only way to change one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import BASELINES, Baselines, Cases, EngineName, Threads, Weights, chosen_cases, suite_in
from membench.errors import InputError
from membench.storage import check_writable

if TYPE_CHECKING:
    from membench.baselines import BaselineStore
    from membench.case import Case
    from membench.record import Record

baseline_app = typer.Typer(help="Accepted records: list, show, and the only way to change one.", no_args_is_help=True)
app.add_typer(baseline_app, name="baseline")


@baseline_app.command("list")
def baseline_list(engine: EngineName = DEFAULT_ENGINE, baselines: Baselines = BASELINES) -> None:
    """List the baselines of an engine with the reason for each.

    Example: membench baseline list
    """
    from membench.baselines import BaselineStore

    store = BaselineStore(baselines)
    _check_there(store, engine)
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


def _check_there(store: BaselineStore, engine: str) -> None:
    """Refuse to list what is not there: a folder or an engine by the wrong name has no baselines either."""
    if not store.folder.is_dir():
        raise InputError(
            f"There is no folder of baselines at {store.folder}. Name another one with --baselines, or accept a record."
        )
    if not (store.folder / engine).is_dir():
        from membench.engines import ENGINES

        ENGINES.get(engine)
        print(f"No case has a baseline on engine {engine} below {store.folder}.", file=sys.stderr)


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
    from membench.baselines import BaselineStore, checked_reason
    from membench.engines import ENGINES
    from membench.errors import DataMissingError
    from membench.pipeline import run_case, usable

    if bool(names) == every:
        raise InputError("Name the cases to update, or say --all.")
    checked_reason(reason)
    if weights is not None and (every or records is not None):
        raise InputError("--weights is of cases that are named and measured: leave out --all and --from.")
    suite, store = suite_in(cases), BaselineStore(baselines)
    chosen = chosen_cases(suite, [case.name for case in suite] if every else names or [])
    check_writable(baselines, "--baselines")
    if records is not None:
        ENGINES.get(engine)
        for record in _recorded(chosen, records, engine, every):
            print(store.update(record, reason))
        return
    usable(engine)
    absent = 0
    for case in chosen:
        try:
            with progress_bar(case.name) as tell:
                record = run_case(case, engine, threads=threads, progress=tell, weights=weights)
        except DataMissingError as error:
            if not every:
                raise
            print(f"{case.name}: left as it is: {error}", file=sys.stderr)
            absent += 1
            continue
        print(store.update(record, reason))
    if absent == len(chosen):
        raise DataMissingError(
            "No baseline was updated: the data of every case are missing; the lines above say how to get them."
        )


def _recorded(cases: list[Case], folder: Path, engine: str, every: bool) -> list[Record]:
    """The records of an earlier run, each of which can be accepted: all are looked at before the first baseline changes.

    Args:
        every: whether a case without a record stays as it is.
    """
    from membench.baselines import check_acceptable
    from membench.record import Record, find

    found = []
    for case in cases:
        file = folder / "records" / engine / f"{case.name}.json"
        record = find(Record, file)
        if record is None:
            if not every:
                raise InputError(
                    f"--from: there is no record {file}. Name a folder that was given to --report, or measure anew."
                )
            print(f"{case.name}: left as it is: there is no record {file}", file=sys.stderr)
            continue
        if record.fingerprint != case.fingerprint:
            raise InputError(
                f"The record of {case.name!r} in {folder} is of another case than is declared now. Measure it anew."
            )
        check_acceptable(record)
        found.append(record)
    if not found:
        raise InputError(
            f"--from: there is no record below {folder / 'records' / engine}. Name a folder that was given to --report."
        )
    return found
