"""The closed set of verdicts, and the rule that decides."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from membench.errors import DataMissingError, GateError, MembenchError
from membench.record import Baseline, Measured, Record
from membench.statistics import difference_of_drops, mean_half_width
from membench.words import counted, printable_lines

SAME_POWER = 1e-4  # of the digital logits' power, relative: other processors and numbers of threads add up in another order


class Status(StrEnum):
    """What a case's run amounts to. PASS and IMPROVED are green, nothing else is."""

    PASS = "PASS"
    IMPROVED = "IMPROVED"
    REGRESSED = "REGRESSED"
    OVER_THRESHOLD = "OVER_THRESHOLD"
    NO_BASELINE = "NO_BASELINE"
    STALE_BASELINE = "STALE_BASELINE"
    INVALID = "INVALID"
    SKIPPED = "SKIPPED"
    ERROR = "ERROR"

    @property
    def green(self) -> bool:
        return self in (Status.PASS, Status.IMPROVED)


@dataclass(frozen=True)
class Verdict:
    """A status and why, in one line for people.

    Attributes:
        exit_code: what a command ends with because of it, where it is not green: 1 for what was measured or crashed, otherwise that
            of the error (2 input, 3 environment).
    """

    status: Status
    reason: str
    exit_code: int = GateError.exit_code

    @property
    def green(self) -> bool:
        return self.status.green


def decide(record: Record, baseline: Baseline | None) -> Verdict:
    """Judge a record: by itself, then against its baseline. The first rule that applies decides."""
    measured, case = record.measured, record.case
    if fault := _invalid(record):
        return Verdict(Status.INVALID, fault)
    limit = case.thresholds.max_loss_points
    if measured.loss.estimate > limit:
        return Verdict(
            Status.OVER_THRESHOLD,
            f"lost {measured.loss.estimate:.2f} points (95 %: {measured.loss.low:.2f} to {measured.loss.high:.2f}); {limit:g} are accepted",
        )
    update = f'accept it with: membench baseline update {case.name} --engine {record.engine} --reason "..."'
    if baseline is None:
        return Verdict(Status.NO_BASELINE, f"there is nothing to compare against; {update}")
    if difference := _stale(record, baseline.record):
        return Verdict(Status.STALE_BASELINE, f"{difference}; {update}")
    return _compare(record, baseline.record)


def failed(error: BaseException) -> Verdict:
    """The verdict on a run that ended with an exception: SKIPPED where data are missing, ERROR for all else.

    The one place that says so: the gate, the comparison with MemTorch and the command line all ask it.
    """
    said = printable_lines(str(error))
    if isinstance(error, DataMissingError):
        return Verdict(Status.SKIPPED, said, error.exit_code)
    if isinstance(error, MembenchError):
        return Verdict(Status.ERROR, f"{type(error).__name__}: {said}", error.exit_code)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return Verdict(Status.ERROR, f"{type(error).__name__}: {said}{where}")


def _invalid(record: Record) -> str | None:
    measured = record.measured
    lost = sum(prediction < 0 for result in measured.seeds for prediction in result.predictions)
    if lost:
        return f"{lost} of {len(measured.seeds) * len(measured.labels)} converted outputs hold NaN or infinity"
    if -1 in measured.digital_predictions:
        return "the digital network's own outputs hold NaN or infinity"
    numbers = (measured.digital_accuracy, measured.accuracy, measured.loss.estimate, measured.logit_error)
    if not all(math.isfinite(number) for number in numbers):
        return f"accuracy, loss or logit error is not finite: {numbers}"
    if at_chance(measured):
        classes = len(set(measured.labels))
        return f"the digital network itself is at chance ({100 * measured.digital_accuracy:.1f} % on {classes} classes)"
    return None


def at_chance(measured: Measured) -> bool:
    """Whether the digital network classifies no more images rightly than guessing would."""
    classes = len(set(measured.labels))
    return classes > 1 and measured.digital_accuracy <= 1 / classes


def _stale(record: Record, old: Record) -> str | None:
    """Why the two cannot be compared image by image, or None. A run on fewer images or seeds than the baseline's can."""
    case, images = record.case, record.case.images
    if record.engine != old.engine:
        return f"the baseline was measured on engine {old.engine}"
    if case.setup_fingerprint != old.case.setup_fingerprint:
        return f"the case changed since: {', '.join(_changed(record, old))}"
    if record.weights.sha256 != old.weights.sha256:
        return "the baseline was measured with other weights"
    if images > old.case.images or not set(case.seeds) <= set(old.case.seeds):
        return f"the baseline has {counted(old.case.images, 'image')} and seeds {old.case.seeds}, the run {images} and {case.seeds}"
    if images != old.case.images and images % case.batch_size:
        found = counted(images, "image is", "images are")
        return f"{found} no multiple of the batch of {case.batch_size}, so the last batch is not the baseline's"
    if record.measured.images != old.measured.images[:images] or record.measured.labels != old.measured.labels[:images]:
        return "the baseline was measured on other images"
    return _digital_change(record, old)


def _digital_change(record: Record, old: Record) -> str | None:
    """Why the digital network is not the baseline's, though its weights and images are; None where it answers as there.

    Another processor may turn an image over on which two classes tie, one of a thousand at the most.
    """
    now, before = record.measured, old.measured
    images, batches = len(now.digital_predictions), len(now.digital_batch_power)
    pairs = zip(now.digital_predictions, before.digital_predictions[:images], strict=True)
    turned = sum(one != other for one, other in pairs)
    powers = zip(now.digital_batch_power, before.digital_batch_power[:batches], strict=True)
    if turned <= max(1, images // 1000) and all(math.isclose(one, other, rel_tol=SAME_POWER) for one, other in powers):
        return None
    right = [float(np.mean(np.array(m.digital_predictions[:images]) == np.array(m.labels[:images]))) for m in (before, now)]
    return (
        f"the digital network answers otherwise than in the baseline, with the same weights ({100 * right[0]:.1f} % -> "
        f"{100 * right[1]:.1f} % right): its code, or the normalisation of its images, changed since"
    )


def _changed(record: Record, old: Record) -> list[str]:
    fields = ("dataset", "network", "weights", "conversion", "nonidealities", "subset_seed", "batch_size")
    return [name for name in fields if getattr(record.case, name) != getattr(old.case, name)] or ["its schema"]


def _compare(record: Record, old: Record) -> Verdict:
    case, limits = record.case, record.case.thresholds
    batches = len(record.measured.digital_batch_power)
    before, now = (measured.drops(case.seeds, case.images) for measured in (old.measured, record.measured))
    change = difference_of_drops(before, now)
    tolerance = limits.tolerance_points if limits.tolerance_points is not None else change.half_width

    old_errors = old.measured.first_batches(case.seeds, batches)
    new_errors = record.measured.first_batches(case.seeds, batches)
    error_change = float(np.mean(new_errors) - np.mean(old_errors))
    error_tolerance = limits.tolerance_logit_error * float(np.mean(old_errors)) + 1e-5
    if old_errors.size > 1:
        error_tolerance += mean_half_width(old_errors)

    loss_said = f"loss {change.estimate:+.2f} points against the baseline (tolerance {tolerance:.2f})"
    error_said = f"logit error {np.mean(old_errors):.4f} -> {np.mean(new_errors):.4f} (tolerance {error_tolerance:.4f})"
    if change.estimate > tolerance:
        return Verdict(Status.REGRESSED, f"{loss_said}; {error_said}")
    if error_change > error_tolerance:
        return Verdict(Status.REGRESSED, f"{error_said}; {loss_said}")
    if change.estimate < -tolerance or error_change < -error_tolerance:
        return Verdict(Status.IMPROVED, f"{loss_said}; {error_said}; update the baseline to hold it")
    return Verdict(Status.PASS, f"{loss_said}; {error_said}")
