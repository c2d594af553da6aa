"""membench run: measure cases and judge them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from membench.case import DEFAULT_ENGINE
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import (
    BASELINES,
    AsJson,
    Baselines,
    Cases,
    Device,
    EngineName,
    Threads,
    Weights,
    chosen_cases,
    suite_in,
)
from membench.errors import InputError
from membench.storage import check_writable


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(metavar="CASE...", help="Names of declared cases.")],
    engine: EngineName = DEFAULT_ENGINE,
    images: Annotated[int | None, typer.Option("--images", min=1, help="Measure so many images instead.")] = None,
    cases: Cases = None,
    baselines: Baselines = BASELINES,
    report: Annotated[Path | None, typer.Option("--report", help="Write records and a Markdown summary there.")] = None,
    threads: Threads = 1,
    device: Device = "cpu",
    weights: Weights = None,
    as_json: AsJson = False,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Find the step at which a failed case lost its accuracy.")
    ] = True,
) -> None:
    """Measure cases and judge them against their baselines.

    Exit codes: 0 all are green; 1 one is not, or its measurement cannot be trusted; 2 usage or input; 3 environment (no data, no GPU,
    no simulator). Where cases end differently, the smallest of their codes.

    Examples: membench run mnist5k-ideal; membench run mnist5k-ideal --images 40 --json
    """
    from membench.baselines import BaselineStore
    from membench.gate import run_and_judge
    from membench.outcome import exit_code, gate_failures
    from membench.pipeline import usable
    from membench.report import table, write_report
    from membench.report.table import reasons

    chosen = chosen_cases(suite_in(cases), names, images)
    usable(engine, device)
    if baselines != BASELINES and not baselines.is_dir():
        raise InputError(f"There is no folder of baselines at {baselines}. Name another one with --baselines, or leave it out.")
    if report is not None:
        check_writable(report, "--report")
    store, outcomes = BaselineStore(baselines), []
    for case in chosen:
        with progress_bar(case.name) as tell:
            judged = run_and_judge(
                case, engine, store, threads=threads, device=device, progress=tell, explain_failure=explain, weights=weights
            )
            outcomes.append(judged)
    if report is not None:
        write_report(report, outcomes, engine)
    if as_json:
        print(json.dumps([_plain(outcome) for outcome in outcomes], indent=2))
    else:
        print(table(outcomes))
        print("".join(f"\n{line}" for line in reasons(outcomes)))
    if code := exit_code(gate_failures(outcomes)):
        raise typer.Exit(code)


def _plain(outcome: Any) -> dict[str, Any]:
    record = json.loads(outcome.record.model_dump_json()) if outcome.record else None  # NaN as text
    return {
        "case": outcome.name,
        "engine": outcome.engine,
        "verdict": str(outcome.verdict.status),
        "reason": outcome.verdict.reason,
        "record": record,
    }
