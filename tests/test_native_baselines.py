"""The accuracies that MemTorch itself measured, in hours, are those of the default engine, in seconds, on the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SHARED

from membench import run_case
from membench.datasets import DATASETS
from membench.record import Baseline, load

NATIVE = sorted((ROOT / "baselines" / "memtorch").glob("*.json"))


def test_there_are_native_baselines() -> None:
    assert len(NATIVE) > 15


@pytest.mark.slow
@pytest.mark.parametrize("file", NATIVE, ids=lambda file: file.stem)
def test_a_native_baseline_is_reproduced(file: Path) -> None:
    native = load(Baseline, file).record
    if DATASETS.get(native.case.dataset).find(SHARED) is None:
        pytest.skip(f"{native.case.dataset} is not below {SHARED}: set MEMBENCH_DATA")
    fast = run_case(native.case)
    assert fast.weights.sha256 == native.weights.sha256
    assert fast.measured.images == native.measured.images
    assert fast.measured.digital_predictions == native.measured.digital_predictions
    ours = np.array([result.predictions for result in fast.measured.seeds])
    theirs = np.array([result.predictions for result in native.measured.seeds])
    print(
        f"{native.case.name}: {(ours != theirs).sum()} of {ours.size} predictions differ; accuracy {native.measured.accuracy:.4f} "
        f"and {fast.measured.accuracy:.4f}; logit error {native.measured.logit_error:.6f} and {fast.measured.logit_error:.6f}"
    )
    # A code of an ADC that falls the other way may move a prediction that was a toss-up: one in a thousand at most.
    assert np.mean(ours != theirs) <= max(1 / ours.size, 1e-3)
    assert fast.measured.logit_error == pytest.approx(native.measured.logit_error, rel=0.01, abs=1e-6)
    for one, other in zip(fast.measured.seeds, native.measured.seeds, strict=True):
        assert [proof.moved for proof in one.proofs] == pytest.approx([proof.moved for proof in other.proofs], rel=1e-3)
