"""membench list: the declared cases."""

from __future__ import annotations

import json

from tabulate import tabulate

from membench.cli._app import app
from membench.cli._options import AsJson, Cases, suite_in


@app.command("list")
def list_cases(cases: Cases = None, as_json: AsJson = False) -> None:
    """List the declared cases.

    Examples: membench list; membench list --json; membench list --cases my/cases
    """
    from membench.datasets import check_images

    suite = suite_in(cases)
    check_images(suite)
    if as_json:
        print(
            json.dumps(
                [
                    {**item.case.model_dump(mode="json"), "fingerprint": item.case.fingerprint, "file": str(item.file)}
                    for item in suite.declared
                ],
                indent=2,
            )
        )
        return
    rows = [
        (
            case.name,
            case.dataset,
            case.network,
            case.images,
            len(case.seeds),
            f"{case.thresholds.max_loss_points:g}",
            case.description,
        )
        for case in suite
    ]
    print(tabulate(rows, headers=("case", "data", "network", "images", "seeds", "max loss", "description")))
