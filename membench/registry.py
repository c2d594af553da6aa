"""Named components: one file registers one data set, network, effect or engine."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

from membench.errors import InputError, UnknownNameError
from membench.words import QUOTE, quoted

T = TypeVar("T")
_YIELDING: set[str] = set()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(what: str, name: object, own: object) -> None:
    """Refuse a name that the files of an item cannot have, or that is not the item's own.

    Args:
        what: the kind of component, in the singular.
        name: under which it is registered.
        own: what the item itself is called.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"The name of a {what} is {quoted(name)}; it must be 1 to 80 letters, digits, '-', '_' or '.', a letter or digit first: files "
            "are named after it."
        )
    if own != name:
        raise InputError(f"The {what} {quoted(own)} is registered as {quoted(name)}. Give it the same name in both places.")


class Registry(Generic[T]):
    """A mapping from name to component that says what is known when a name is not.

    Args:
        what: the kind of component, in the singular, for messages ("data set").
        package: the package whose modules register the built-in components when they are imported; looked into on first use,
            so that naming a component does not import all of them before they are needed.
        check: (name, what is to be registered) -> the component; raises InputError where it is none. Without it all is accepted.
    """

    def __init__(self, what: str, package: str | None = None, check: Callable[[str, object], T] | None = None) -> None:
        self.what = what
        self._package = package
        self._check = check
        self._items: dict[str, T] = {}
        self._files: dict[str, str] = {}

    def add(self, name: str, item: T, file: str | None = None) -> T:
        """Register `item`. A file that is run again replaces what it registered; a name held by another file is refused.

        Args:
            name: how cases name it.
            item: the component.
            file: that defines it; the caller's unless given.

        Raises:
            InputError: when the item is not what the registry holds, or another file holds the name.
        """
        if self._check is not None:
            item = self._check(name, item)
        file = file or str(sys._getframe(1).f_globals.get("__file__", "the interpreter"))
        holder = self._files.get(name, file)
        if holder != file and holder not in _YIELDING:
            raise InputError(
                f"There are two components for the {self.what} {name!r}: in {holder} and in {file}. Rename one of them."
            )
        self._files[name], self._items[name] = file, item
        return item

    def get(self, name: str) -> T:
        """The component of that name."""
        self._discover()
        try:
            return self._items[name]
        except KeyError:
            close = difflib.get_close_matches(name[:QUOTE], self._items, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UnknownNameError(
                f"There is no {self.what} {quoted(name)}.{hint} Known: {', '.join(sorted(self._items)) or 'none'}."
            ) from None

    def names(self) -> tuple[str, ...]:
        self._discover()
        return tuple(sorted(self._items))

    def __iter__(self) -> Iterator[T]:
        return iter([self.get(name) for name in self.names()])

    def _discover(self) -> None:
        if self._package is None:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{package.__name__}.{module.name}")
        self._package = None  # only now: a module that fails must fail the next question too


def yield_names(files: Collection[str]) -> None:
    """Let other files take names that these registered: they are of studies that a worker measured before."""
    _YIELDING.update(files)


def hold_names(files: Collection[str]) -> None:
    """Take that back."""
    _YIELDING.difference_update(files)
