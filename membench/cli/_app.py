"""The command line itself: what every command hangs on, its exit codes, and its one way to fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from membench.errors import EnvironmentProblemError, InputError, MembenchError
from membench.version import __version__
from membench.words import printable_lines

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
        _refuse_empty(sys.argv[1:])
        try:
            app()
        finally:
            sys.stdout.flush()
    except MembenchError as error:
        print(f"membench: {printable_lines(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # of the output itself: a full disk
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - what it still holds cannot be written at exit either
        print(f"membench: cannot write {error.filename or 'the output'}: {error.strerror or error}.", file=sys.stderr)
        sys.exit(EnvironmentProblemError.exit_code)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """An empty argument is a shell variable that is not set. Taken as it is, an empty folder would be the current one."""
    for place, argument in enumerate(arguments):
        option, given, value = argument.partition("=")
        if not argument.strip() or (option.startswith("--") and given and not value.strip()):
            where = f"after {arguments[place - 1]!r}" if place and not given else repr(option) if given else "the first"
            raise InputError(f"An argument is empty ({where}). Give it a value, or leave it out; is a shell variable not set?")


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
