"""Whether data sets have as many test images as cases ask for: found out once, before anything is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from membench.case import Case
from membench.datasets._base import DATASETS
from membench.errors import InputError, MembenchError
from membench.words import quoted

_NAMED = 8  # cases that a message names


def check_images(
    cases: Iterable[Case],
    root: Path | None = None,
    *,
    read: bool = False,
    label: Callable[[Case], str] = lambda case: case.name,
) -> None:
    """Refuse cases that ask for more test images than their data set has, all of them at once.

    Args:
        cases: of any data sets; those of a data set that is not registered are not looked at.
        root: where data are looked for.
        read: whether a data set that does not declare how many test images it has is read to find out. One that is missing or
            damaged is left out: its cases say so themselves.
        label: how a message names a case.

    Raises:
        InputError: names every such case, its number of images, its data set and how many images that has.
    """
    asked: dict[str, list[Case]] = {}
    for case in cases:
        asked.setdefault(case.dataset, []).append(case)
    faults = []
    for name, its in sorted(asked.items()):
        there = count_test_images(name, root, read=read)
        if there is not None and (more := [f"{label(case)} ({case.images})" for case in its if case.images > there]):
            named = ", ".join(more[:_NAMED]) + (f" and {len(more) - _NAMED} more" if len(more) > _NAMED else "")
            faults.append(
                f"the data set {quoted(name)} has {there}, and {named} ask{'s' * (len(more) == 1)} for more: set images={there} there"
            )
    if faults:
        raise InputError(f"Cases ask for more test images than there are: {'; '.join(faults)}.")


def count_test_images(name: str, root: Path | None = None, *, read: bool = False) -> int | None:
    """How many test images a data set has; None where that is not known, or cannot be found out.

    Args:
        name: of the data set; one that is not registered is not known.
        root: where data are looked for.
        read: whether the data are read where it is not declared.
    """
    if name not in DATASETS.names():
        return None
    dataset = DATASETS.get(name)
    if dataset.test_images is not None or not read:
        return dataset.test_images
    try:
        return len(dataset.load("test", root))
    except MembenchError:
        return None
