"""What is tracked of a case from commit to commit: accuracy loss, wrong answers, time, conversion and memory.

A case is tracked as its baseline declares it: plain data, which needs no code of the checkout that it comes from. asv runs one
checkout's suite on the membench of many commits, most of which know nothing of this file: a suite loads it by its path, it imports
membench only while it measures, and then only what has been there from the first commit with a pipeline: Case, run_case and a
record's fields.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from membench.record import Record

# A number, or what asv takes for times that it measured: samples. Those of two commits must differ by more than they scatter.
Value = float | dict[str, Any]
# Of one case: its "values"; or the reason why this membench cannot express it, "unfit"; or how it "failed".
Outcome = dict[str, Any]

RUNS = 3  # of each case: times are those of the fastest
QUANTILES = 7  # the fewest samples of which asv's rank test can say that two commits differ


class Label(str):
    """A case's name and the beginning of its fingerprint: a changed case has another label, and starts a line of its own."""

    __slots__ = ()

    def __repr__(self) -> str:
        """asv shows a parameter by its repr."""
        return str(self)


def tracked(baselines: Path, names: Iterable[str]) -> dict[Label, Path]:
    """The baseline of each case, by the case's label.

    Args:
        baselines: folder of one engine's baselines.
        names: of cases.

    Raises:
        InputError: when a case has no baseline there.
    """
    found: dict[Label, Path] = {}
    for name in names:
        file = baselines / f"{name}.json"
        if not file.is_file():
            from membench.errors import InputError

            known = ", ".join(sorted(path.stem for path in baselines.glob("*.json"))) or "none"
            raise InputError(
                f"There is no baseline of the case {name!r} in {baselines}: asv tracks what was accepted. Known: {known}. Accept one: "
                f'membench baseline update {name} --reason "..."'
            )
        found[Label(f"{name} · {_accepted(file)['fingerprint'][:8]}")] = file
    return found


def outcomes(cases: Mapping[Label, Path], modules: Sequence[str] = ()) -> dict[str, Outcome]:
    """Measure each case in a process of its own: peak memory is a process's, and a crash is one case's.

    Args:
        cases: the baseline of each.
        modules: imported before, by name; they register networks and data sets that membench does not have.
    """
    return {str(label): _in_a_process(file, modules) for label, file in cases.items()}


def _in_a_process(baseline: Path, modules: Sequence[str]) -> Outcome:
    # -P: the folder of this script is membench itself, whose module names would hide the standard library's.
    command = [sys.executable, "-P", __file__, str(baseline.resolve()), *modules]
    place = baseline.resolve().parent  # asv runs elsewhere, and a file of weights is named by its path in the repository
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=place, env=_absolute(os.environ))
    try:
        outcome: Outcome = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {"failed": f"exit code {done.returncode}\n{done.stderr.strip()}"}
    return outcome


def _absolute(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for another current folder."""
    found = dict(environment)
    for name in ("MEMBENCH_DATA", "MEMBENCH_CACHE"):
        if found.get(name):
            found[name] = str(Path(found[name]).resolve())
    if found.get("PYTHONPATH"):
        found["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in found["PYTHONPATH"].split(os.pathsep))
    return found


def measure(baseline: Path, modules: Sequence[str] = ()) -> Outcome:
    """Measure a case, as its baseline declares it, with the membench that can be imported here."""
    accepted = _accepted(baseline)
    if importlib.util.find_spec("membench.pipeline") is None:
        return {"unfit": "this membench has no run_case yet"}
    from membench import Case
    from membench.errors import InputError

    try:
        for name in modules:
            importlib.import_module(name)
        case = Case.from_json(json.dumps(accepted["case"]), str(baseline))
        if case.fingerprint != accepted["fingerprint"]:
            return {
                "unfit": f"this membench gives the case another fingerprint, {case.fingerprint[:8]}: it measures something else"
            }
        from membench.pipeline import run_case  # imports torch, which takes seconds

        records = [run_case(case, accepted["engine"]) for _ in range(RUNS)]
    except InputError as error:
        return {"unfit": str(error)}
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        return {"unfit": f"there is no module {error.name} yet"}
    except Exception as error:
        if type(error).__module__ != "membench.errors":
            raise
        return {"failed": f"{type(error).__name__}: {error}"}  # as where data are missing: the message says what to do
    return {"values": values(records)}


def values(records: Sequence[Record]) -> dict[str, Value]:
    """What is tracked of runs of one case; less is better in each.

    Returns:
        loss: digital minus converted accuracy, points: quantiles of its interval, of which the estimate is the median. It may be 0 or
            negative, where ratios say nothing; beyond its interval a change is told all the same.
        error: wrong answers of the converted network, % of the images: a change of a few images shows in its ratio.
        time: of the simulation, s an image: the fastest batch, which nothing else on the machine has slowed down.
        ratio: the same against the fastest batch of the digital network.
        conversion: from the digital network to a tuned one with its effects, s: the fastest.
        memory: peak of this process, everything in it, MB.
    """
    loss, costs = records[0].measured.loss, [record.costs for record in records]
    simulated = min(_fastest(seed.batches, cost.batch_sizes) for cost in costs for seed in cost.seeds)
    digital = min(_fastest(cost.digital_batches, cost.batch_sizes) for cost in costs)
    return {
        "loss": {"samples": [_short(points) for points in _quantiles(loss.low, loss.estimate, loss.high)], "number": 1},
        "error": _short(100 * (1 - records[0].measured.accuracy)),
        "time": simulated,
        "ratio": _short(simulated / digital),
        "conversion": min(seed.convert + seed.tune + seed.effects for cost in costs for seed in cost.seeds),
        "memory": round(peak_bytes() / 1e6, 1),
    }


def _fastest(batches: tuple[float, ...], sizes: tuple[int, ...]) -> float:
    """Seconds an image."""
    return min(seconds / images for seconds, images in zip(batches, sizes, strict=True))


def _quantiles(low: float, estimate: float, high: float) -> list[float]:
    half = QUANTILES // 2
    below = [low + (estimate - low) * step / half for step in range(half)]
    above = [high + (estimate - high) * step / half for step in range(half)]
    return [*below, estimate, *reversed(above)]


def _short(number: float) -> float:
    """asv shows every digit of a number whose unit it does not know."""
    return round(number, 3)


def peak_bytes() -> int:
    """Most memory that this process has held at once.

    Linux keeps it where a process that is started by a larger one does not begin with the larger one's, as with `getrusage`.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _accepted(baseline: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(baseline.read_text(encoding="utf-8"))["record"]
    return record


if __name__ == "__main__":
    # This process has another clock, for membench of any commit: on a machine with other work to do, the wall's says who else ran.
    time.perf_counter = time.process_time
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2:])))
