"""What the fields of membench's files may hold, said a second time and in another way than the models say it.

A mutant that is accepted must be another valid file by these rules; else something bad was let in. A field that is not named here may
not change at all: something that follows from the others, or a part of the file's structure.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any], bool]
Rules = Mapping[str, Check]  # by path, with * for one name or index


def number(low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf) -> Check:
    return lambda v: type(v) in (int, float) and math.isfinite(v) and low <= v <= high and v > above


def whole(low: int = 0, high: int = 2**63 - 1) -> Check:
    return lambda v: (type(v) is int or (type(v) is float and v.is_integer())) and low <= v <= high


def hexadecimal(digits: int) -> Check:
    return lambda v: isinstance(v, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", v) is not None


def text(v: Any) -> bool:
    return isinstance(v, str)


def line(v: Any) -> bool:
    return isinstance(v, str) and 0 < len(v) <= 500 and v == v.strip() and v.isprintable()


def reason(v: Any) -> bool:
    return isinstance(v, str) and len(v.strip()) >= 10 and len(v.split()) >= 2 and len(v) <= 2000


def moment(v: Any) -> bool:
    try:
        return datetime.datetime.fromisoformat(v).tzinfo is not None
    except (TypeError, ValueError):
        return False


def either(*checks: Check) -> Check:
    return lambda v: any(check(v) for check in checks)


def among(*values: Any) -> Check:
    return lambda v: any(type(v) is type(value) and v == value for value in values)


def power(v: Any) -> bool:
    """Of logits, which may not have been finite."""
    return v in ("NaN", "Infinity") or number(0)(v)


def matching(pattern: str) -> Check:
    return lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None


nothing = among(None)
flag = among(True, False)
positive = number(above=0)
proportion = number(0, 1)

THRESHOLDS: Rules = {
    "max_loss_points": number(0, 100),
    "tolerance_points": either(nothing, number(0)),
    "tolerance_logit_error": number(0),
}
MODELS = ("VTEAM", "LinearIonDrift", "Stanford_PKU", "Data_Driven", "Data_Driven2021")
DEVICE: Rules = {"kind": among(*MODELS), "r_on": positive, "r_off": positive}
CASE: Rules = {
    "name": matching(r"(?=.{1,80}$)[a-z0-9]+([-.][a-z0-9]+)*"),
    "dataset": text,
    "network": text,
    "description": text,
    **{f"thresholds.{name}": check for name, check in THRESHOLDS.items()},
    **{f"conversion.device.{name}": check for name, check in DEVICE.items()},
    "conversion.scheme": among("double-column", "single-column"),
    "conversion.tile_shape": nothing,
    "conversion.tile_shape.*": whole(1),
    "conversion.adc": nothing,
    "conversion.adc.bits": whole(2, 16),
    "conversion.adc.method": among("linear", "log"),
    "conversion.adc.overflow_rate": proportion,
    "conversion.adc.range": either(among("vector", "calibrated"), positive),
    "conversion.adc.calibration_images": whole(1),
    "conversion.max_input_voltage": either(nothing, positive),
    "conversion.mapping": among("naive"),
    "conversion.retained": either(nothing, proportion),
    "conversion.tuning": nothing,
    "conversion.tuning.conv_images": whole(1),
    "conversion.tuning.conv_size": whole(8),
    "conversion.tuning.linear_rows": whole(16),
    "conversion.tuning.after": among("conversion", "effects"),
    "conversion.keep_digital.*": text,
    "conversion.scaling.undone": flag,
    "conversion.scaling.per": among("memtorch", "image", "batch"),
    "conversion.dac": nothing,
    "conversion.dac.bits": whole(2, 16),
    "nonidealities.*.kind": among("device_faults", "conductance_drift"),
    "nonidealities.*.lrs_proportion": proportion,
    "nonidealities.*.hrs_proportion": proportion,
    "nonidealities.*.electroform_proportion": proportion,
    "nonidealities.*.electroform_resistance": either(nothing, positive),
    "nonidealities.*.counts": among("exact", "binomial"),
    "nonidealities.*.memtorch_compatible": flag,
    "nonidealities.*.time": positive,
    "nonidealities.*.initial_time": positive,
    "nonidealities.*.coefficient": proportion,
    "nonidealities.*.coefficient_sigma": number(0),
    "seeds.*": whole(0),
    "images": whole(1),
    "subset_seed": whole(0),
    "batch_size": whole(1),
    "weights": either(nothing, matching(r"(?!/)(?!\.\.?(/|$))[^\\\n]+")),
}
RECORD: Rules = {
    "engine": line,
    # What is no part of the fingerprint.
    "case.name": CASE["name"],
    "case.description": text,
    **{f"case.thresholds.{name}": check for name, check in THRESHOLDS.items()},
    "weights.sha256": hexadecimal(64),
    "weights.accuracy": proportion,
    "weights.pretrained": either(nothing, line),
    "measured.images.*": hexadecimal(16),
    # A wrong class may be another wrong class, and powers may change by less than what follows from them can tell.
    "measured.labels.*": whole(0, 2**31 - 1),
    "measured.digital_predictions.*": whole(-1, 2**31 - 1),
    "measured.digital_batch_power.*": power,
    "measured.seeds.*.predictions.*": whole(-1, 2**31 - 1),
    "measured.seeds.*.batch_error_power.*": power,
    "measured.digital_accuracy": proportion,
    "measured.accuracy": proportion,
    "measured.agreement": proportion,
    "measured.logit_error": power,
    "measured.loss.*": number(-100, 100),
    "measured.seeds.*.proofs.*.devices": whole(1),
    "measured.seeds.*.proofs.*.moved": whole(0),
    "measured.seeds.*.proofs.*.mean_change": number(0),
    "measured.seeds.*.proofs.*.details.*": number(),
    "measured.layers.*.name": line,
    "measured.layers.*.kind": line,
    "measured.layers.*.rows": whole(1),
    "measured.layers.*.columns": whole(1),
    "measured.layers.*.crossbars": whole(1, 2),
    "measured.layers.*.tiles": either(nothing, whole(1)),
    "measured.layers.*.devices": whole(1),
    "measured.layers.*.reads": whole(1),
    "measured.digital_layers.*": line,
    "costs.threads": whole(1),
    "costs.peak_memory": whole(0),
    "costs.digital_batches.*": number(0),
    "costs.seeds.*.convert": number(0),
    "costs.seeds.*.tune": number(0),
    "costs.seeds.*.effects": number(0),
    "costs.seeds.*.batches.*": number(0),
    "provenance.created": moment,
    "provenance.versions.*": line,
    "provenance.machine.*": line,
}
# Lists and objects of any length.
VARIABLE = re.compile(
    r"(record\.|case\.)?(measured\.(layers|digital_layers|seeds\.\d+\.proofs\.\d+\.details)|provenance\.(versions|machine)|recommendations|"
    r"steps|layers|seeds|layer_seeds|test_digest|test_labelled|train_labelled|probe|start|nonidealities|conversion\.keep_digital)(\.|$)"
)
# Small changes of numbers from which others follow; larger ones show in what follows.
FOLLOWING = re.compile(r"measured\.(.*power\.\d+|digital_accuracy|accuracy|agreement|logit_error|loss\..*)")
RECIPE: Rules = {
    "epochs": whole(1),
    "batch_size": whole(2),
    "max_lr": positive,
    "momentum": proportion,
    "weight_decay": number(0),
    "label_smoothing": proportion,
    "shift": whole(0),
    "mirror": flag,
    "seed": whole(0),
}
CARD: Rules = {
    "train_images": whole(1),
    "train_digest": hexadecimal(64),
    "train_labelled": hexadecimal(64),
    "test_images": whole(1),
    "test_digest": hexadecimal(64),
    "test_labelled": hexadecimal(64),
    "probe.*": either(nothing, number()),
    "start.*": either(nothing, number()),
    "accuracy": proportion,
    "torch": line,
    "threads": whole(1),
    "seconds": number(0),
    "created": moment,
}
FOLD: Rules = {
    "fold.held_out_accuracy": proportion,
    "fold.test_accuracy": proportion,
    "fold.torch": line,
    "fold.seconds": number(0),
    "fold.created": moment,
}
POINTS = number()
INTERVAL: Rules = {"estimate": POINTS, "low": POINTS, "high": POINTS, "level": proportion, "seeds": whole(1)}
EXPLANATION: Rules = {
    "case": line,
    "fingerprint": hexadecimal(64),
    "engine": line,
    "images": whole(1),
    "seeds.*": whole(0),
    "layer_images": whole(0),
    "layer_seeds.*": whole(0),
    "digital_accuracy": proportion,
    "steps.*.name": line,
    "steps.*.what": text,
    "steps.*.accuracy": proportion,
    **{f"steps.*.{part}.{name}": check for part in ("loss", "change") for name, check in INTERVAL.items()},
    "steps.*.certain": flag,
    "steps.*.logit_error": power,
    "layers.*.name": line,
    "layers.*.kind": line,
    "layers.*.snr_db_alone": either(among("NaN", "Infinity", "-Infinity"), number()),
    "layers.*.snr_db_arriving": either(among("NaN", "Infinity", "-Infinity"), number()),
    "layers.*.clipped": proportion,
    "layers.*.scaled": proportion,
    **{f"layers.*.protected_gain.{name}": check for name, check in INTERVAL.items()},
    "layers.*.protected_logit_error": power,
    "culprit": nothing,
    "culprit.step": line,
    "culprit.by": among("loss", "logit error"),
    "culprit.before": either(among("NaN", "Infinity"), number()),
    "culprit.after": either(among("NaN", "Infinity"), number()),
    "most_valuable": either(nothing, line),
    "note": text,
}
STUDY: Rules = {
    "name": line,
    "title": line,
    "description": text,
    "quick": flag,
    "recommendations.*.what": line,
    "recommendations.*.sweep": line,
    "recommendations.*.cost": among("adc_energy", "max_input_voltage", "seconds_per_image"),
    "recommendations.*.at_most": number(0),
    "sweeps.*.name": line,
    "sweeps.*.title": line,
    "sweeps.*.kind": among("table", "curve", "map"),
    "sweeps.*.knobs.*.label": line,
    "sweeps.*.knobs.*.log": flag,
    "sweeps.*.points.*.base": line,
    "sweeps.*.points.*.settings.*": either(number(), text),
    "sweeps.*.points.*.fingerprint": hexadecimal(64),
}


def check(rules: Rules, path: str) -> Check | None:
    """The rule of a path."""
    for pattern, rule in rules.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", r"[^\n]*?"), path):
            return rule
    return None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list) and value:
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise _TwiceError
    return dict(pairs)


def tree(data: bytes) -> Any:
    """What a JSON file holds; None where it is no JSON, or holds a name twice."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError, _TwiceError):
        return None


def fault(valid: bytes, mutant: bytes, rules: Rules, *, following: bool = True) -> str:
    """Why an accepted mutant of a JSON file that membench writes is no other valid file; empty where it is one.

    Args:
        following: whether numbers follow from others; from NaN nothing does.
    """
    old, new = dict(leaves(tree(valid))), dict(leaves(tree(mutant)))
    if other := sorted(path for path in set(old) ^ set(new) if not VARIABLE.match(path)):
        return f"its structure is another one: {other[:3]}"
    for path, value in new.items():
        before = old.get(path, ...)
        if value in ([], {}) and VARIABLE.match(path):
            continue
        if type(value) is type(before) and value == before:
            continue
        if value == before and number()(value) and number()(before):  # 1 and 1.0
            continue
        rule = check(rules, path)
        if rule is None:
            return f"{path} must not change: {before!r} -> {value!r}"
        if not rule(value):
            return f"{path} may not be {str(value)[:60]!r}"
        if (
            following
            and FOLLOWING.fullmatch(path)
            and not math.isclose(float(value), float(before), rel_tol=1e-6, abs_tol=1e-8)
        ):
            return f"{path}: others follow from it: {before!r} -> {value!r}"
    return ""


def broken(value: Any, rules: Rules, *, lists: tuple[str, ...] = ()) -> str:
    """Why plain data keep not to the rules; empty where they do.

    Args:
        lists: paths of lists and objects that may be empty.
    """
    for path, leaf in leaves(value):
        if leaf in ([], {}):
            if path not in lists:
                return f"{path} is empty"
            continue
        rule = check(rules, path)
        if rule is None:
            return f"there is no {path}"
        if not rule(leaf):
            return f"{path} may not be {str(leaf)[:60]!r}"
    return ""


def unread(given: Any, read: Any, path: str = "") -> str:
    """A part of a file that was read as something else, or not at all; empty where there is none."""
    if isinstance(given, dict) and isinstance(read, dict):
        pairs: list[tuple[str, Any, Any]] = [(str(name), part, read.get(name, ...)) for name, part in given.items()]
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(given, read, strict=True))]
    else:
        same = given == read and (isinstance(given, bool) == isinstance(read, bool))
        return (
            "" if same or (number()(given) and number()(read) and given == read) else f"{path}: {given!r} was read as {read!r}"
        )
    return next((found for name, a, b in pairs if (found := unread(a, b, f"{path}.{name}"))), "")
