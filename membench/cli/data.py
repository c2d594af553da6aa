"""membench data: which data sets are here, and getting one."""

from __future__ import annotations

from typing import Annotated

import typer
from tabulate import tabulate

from membench.cli._app import app

data_app = typer.Typer(help="Data sets: which are here, and getting one.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list() -> None:
    """Which data sets are on this machine, and where.

    Example: membench data list
    """
    from membench.datasets import DATASETS
    from membench.errors import DataMissingError

    rows = []
    for data in DATASETS:
        try:
            rows.append((data.name, str(data.locate()), data.remedy))
        except DataMissingError:
            rows.append((data.name, "not found", data.remedy))
    print(tabulate(rows, headers=("data set", "found at", "get it with")))


@data_app.command("get")
def data_get(name: Annotated[str, typer.Argument(help="Name of a data set.")]) -> None:
    """Download a data set with torchvision to MEMBENCH_DATA, else to the cache folder.

    Example: membench data get cifar10
    """
    from membench.datasets import DATASETS
    from membench.storage import data_root

    data = DATASETS.get(name)
    data.get(data_root())
    print(f"{name}: {data.locate()}")
