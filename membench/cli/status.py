"""membench status: how far a study is, seen from another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from membench.cli._app import app
from membench.cli._campaign import duration
from membench.cli._options import AsJson
from membench.words import counted

if TYPE_CHECKING:
    from membench.campaign import StoreStatus


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a study or sweep, as given to --out.")],
    as_json: AsJson = False,
) -> None:
    """Say how far a study or sweep is: done, failed and why, in flight and where, rate, time left.

    Examples: membench status studies/paper; membench status studies/paper --json
    """
    from membench.campaign import status_of

    found = status_of(folder)
    print(found.model_dump_json(indent=2) if as_json else _told(found))


def _told(found: StoreStatus) -> str:
    left = "" if found.seconds_left is None else f", about {duration(found.seconds_left)} left"
    lines = [
        f"{found.study}: measured {found.cases_done} of {counted(found.cases, 'case')}, {found.points_done} of "
        f"{counted(found.points, 'point')}; {len(found.failed)} failed",
        f"{found.rate:.2g} points/s{left}" if found.clients else "no one is measuring",
    ]
    for client in found.clients:
        lines.append(
            f"\n{client.client} (process {client.process} on {client.host}): {client.measured} measured, "
            f"{counted(client.workers, 'worker')}, dashboard {client.dashboard}"
        )
        rows = [(one.point, one.worker or "waits", one.host, f"{one.seconds:.0f} s") for one in client.in_flight]
        if rows:
            lines.append(tabulate(rows, headers=("in flight", "worker", "host", "since")))
    if found.failed:
        lines.append("\nfailed")
        lines += [f"  {what}: {why}" for what, why in found.failed.items()]
    return "\n".join(lines)
