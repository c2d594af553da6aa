"""The strict reader reads every file that is committed."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from membench.models import Card
from membench.models._weights import SHIPPED
from membench.record import Baseline, load

BASELINES = sorted((ROOT / "baselines").rglob("*.json"))
CARDS = sorted(SHIPPED.glob("*.json"))


def test_there_are_some() -> None:
    assert len(BASELINES) > 50
    assert CARDS


@pytest.mark.parametrize("file", BASELINES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_committed_baseline_is_read(file: Path) -> None:
    found = load(Baseline, file)
    assert (found.record.engine, found.record.case.name) == (file.parent.name, file.stem)


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.stem)
def test_a_shipped_card_is_read(file: Path) -> None:
    card = load(Card, file)
    assert file.stem == f"{card.dataset}-{card.network}"
