"""The command line: one file a command, each of which hangs itself on the app.

Exit codes: 0 green, 1 the gate failed or a measurement cannot be trusted, 2 usage or input, 3 environment.
"""

# Help lists the commands in this order: the way of a newcomer, from the cases to what is behind them.
# fmt: off
from membench.cli import (  # noqa: I001
    list_cases, run, parity, versus, explain, study, sweep, status, report, compare, train, import_weights, doctor, baseline, data,  # noqa: F401
)
# fmt: on
from membench.cli._app import app, main

__all__ = ["app", "main"]
