"""More images than there are: found once for all cases, before anything is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import own_data
import pytest
from conftest import make_case

from membench import Case
from membench.datasets import DATASETS, check_images, count_test_images, npz
from membench.errors import InputError


def cases(*images: int, dataset: str = "mnist5k") -> list[Case]:
    return [make_case(name=f"{dataset}-{number}", dataset=dataset, images=number) for number in images]


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Path]:
    """A registered data set that says how many test images it has when it is read alone: 30."""
    file = tmp_path / "unread.npz"
    DATASETS.add("unread", npz(file, test_fraction=0.5))
    yield file
    DATASETS._items.pop("unread")
    DATASETS._files.pop("unread")


def test_all_cases_that_ask_for_more_are_named_at_once() -> None:
    check_images(cases(1, 1000))
    with pytest.raises(InputError) as caught:
        check_images([*cases(1000, 1001, 2000), *cases(20_000, 10_000, dataset="mnist"), *cases(5, dataset="unheard-of")])
    assert str(caught.value) == (
        "Cases ask for more test images than there are: the data set 'mnist' has 10000, and mnist-20000 (20000) asks for more: set "
        "images=10000 there; the data set 'mnist5k' has 1000, and mnist5k-1001 (1001), mnist5k-2000 (2000) ask for more: set "
        "images=1000 there."
    )


def test_a_long_list_is_cut() -> None:
    with pytest.raises(InputError, match=r"mnist5k-2007 \(2007\) and 12 more ask for more"):
        check_images(cases(*range(2000, 2020)))


def test_a_data_set_is_read_only_when_that_is_asked_for(unread: Path) -> None:
    asked = cases(31, dataset="unread")
    check_images(asked)
    check_images(asked, read=True)  # it is missing: its case says so
    np.savez(unread, x=own_data.pixels(60), y=own_data.labels(60))
    check_images(asked)
    assert (count_test_images("unread"), count_test_images("unread", read=True)) == (None, 30)
    with pytest.raises(InputError, match=re.escape("'unread' has 30, and unread-31 (31) asks for more: set images=30 there")):
        check_images(asked, read=True)
    unread.write_bytes(b"damaged")
    check_images(asked, read=True)


def test_a_name_that_is_not_registered_is_not_known() -> None:
    assert count_test_images("unheard-of", read=True) is None
    assert count_test_images("cifar100") == 10_000
