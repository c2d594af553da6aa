"""The command line itself: what every command hangs on, its exit codes, and its one way to fail."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from membench.errors import MembenchError
from membench.version import __version__

EXIT_CODES = "Exit codes: 0 green, 1 the gate failed, 2 usage or input, 3 environment."

app = typer.Typer(
    help=f"The benchmark suite for memristive deep learning.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; every membench error becomes a message and its exit code."""
    try:
        app()
    except MembenchError as error:
        print(f"membench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
