"""membench doctor: what can be measured on this machine."""

from __future__ import annotations

import json

import typer
from tabulate import tabulate

from membench.cli._app import app
from membench.cli._options import AsJson


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look this machine over: versions, engines, data, weights, compiler, threads; and the command that mends each problem.

    Exits with 3 when nothing could be measured here.

    Example: membench doctor
    """
    from membench.doctor import examine_machine, healthy

    findings = examine_machine()
    if as_json:
        print(json.dumps([finding.__dict__ for finding in findings], indent=2))
    else:
        rows = [("ok" if finding.ok else "--", finding.what, finding.found) for finding in findings]
        print(tabulate(rows, tablefmt="plain", maxcolwidths=[None, None, 100]))
        for finding in findings:
            if finding.remedy:
                print(f"\n{finding.what}: {finding.found}\n  mend it with: {finding.remedy}")
    if not healthy(findings):
        raise typer.Exit(3)
