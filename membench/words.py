"""How messages quote what they were given: short, on one line, whatever it was."""

from __future__ import annotations

import reprlib
import traceback

QUOTE = 80  # characters of a value
LINE = 300  # characters of a line of a message
LINES = 12

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxother = 3, 4, QUOTE


def quoted(value: object, most: int = QUOTE) -> str:
    """`repr(value)` in at most `most` characters; never an error, though the value be nested without end or a number of any length."""
    try:
        text = repr(value[: most + 1]) if isinstance(value, str | bytes) else _SHORT.repr(value)
    except Exception:  # an integer of thousands of digits, a repr of the user's own
        text = f"<{type(value).__name__}>"
    return _cut(printable(text), most)


def printable(text: str) -> str:
    """`text` without what would break its line, or move a terminal's cursor."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def capped(message: str, keep: str = "") -> str:
    """A message whose parts came from a file: no line longer than LINE, no more lines than LINES, nothing unprintable.

    Args:
        keep: what a line holds besides, as the name of the file, which may be of any length.
    """
    lines = [_cut(printable(line), LINE + len(keep)) for line in message.split("\n", LINES)]
    if len(lines) > LINES:
        lines[-1] = "  and more"
    return "\n".join(lines)


def brief(error: BaseException) -> str:
    """What an error of others' code says, on one line."""
    return _cut(printable(" ".join(str(error).split())), 200)


def origin(function: object, name: str) -> str:
    """A name, with the file and the line where a function of it is defined."""
    code = getattr(function, "__code__", None)
    return f"{name} ({code.co_filename}, line {code.co_firstlineno})" if code else name


def raised_at(error: BaseException) -> str:
    """File and line at which an error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
