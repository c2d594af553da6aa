"""Where the records of a report come from: command, versions, machines, weights, and how much was measured."""

from __future__ import annotations

from collections import Counter

from membench.record import Record
from membench.report.collected import Collected
from membench.report.cost_figures import threads_said
from membench.report.document import Grid, Section
from membench.report.tidy import spread
from membench.words import counted


def section(collected: Collected) -> Section:
    """The last section of every report."""
    records = collected.records
    seeds, images = [len(r.case.seeds) for r in records], [r.case.images for r in records]
    created = sorted(record.provenance.created for record in records)
    sentences = [
        f"Command: {command(collected)}.",
        f"Measured from {created[0]} to {created[-1]} (UTC), with {threads_said(records)} in each process; "
        f"{spread(images)} {'image' if max(images) == 1 else 'images'} and {spread(seeds)} {'seed' if max(seeds) == 1 else 'seeds'} "
        f"a case. {_time(records)}",
    ]
    if collected.study is not None:
        missing = len(collected.planned) - len(records)
        sentences.append(f"Cases missing: {missing} of {len(collected.planned)}.")
    if collected.strangers:
        sentences.append(f"Records in the folder that are no point of the study, and are not shown: {collected.strangers}.")
    machines = Counter(_joined(record.provenance.machine) for record in records)
    versions = Counter(_joined(record.provenance.versions) for record in records)
    sentences += [_told("machine", "machines", machines), _told("set of versions", "sets of versions", versions)]
    if several := [name for name, found in _weights(records).items() if len({sha for sha, _ in found}) > 1]:
        sentences.append(
            f"The records are of more than one set of weights for {', '.join(several)}: differences between them may be the weights'."
        )
    sentences += [
        f"The weights of {name} are those of {pretrained}: on which images they were trained is not known, so test images may be among "
        "them."
        for name, pretrained in dict.fromkeys(
            (f"{record.weights.network} on {record.weights.dataset}", record.weights.pretrained) for record in records
        )
        if pretrained
    ]
    return Section("Where it comes from", "origin", sentences=tuple(sentences), grids=(_weights_table(records),))


def command(collected: Collected) -> str:
    """What makes this report."""
    if collected.study is None:
        return "membench report FOLDER, on records of membench run CASE... --report FOLDER"
    quick = " --quick" if collected.study.quick else ""
    return f"membench study {collected.study.name} --out FOLDER{quick} --engine {collected.study.engine}, then membench report FOLDER"


def _joined(named: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _told(one: str, many: str, found: Counter[str]) -> str:
    if len(found) == 1:
        return f"One {one}: {next(iter(found))}."
    told = "; ".join(f"({counted(count, 'record')}) {what}" for what, count in sorted(found.items()))
    return f"The records come from {len(found)} {many}: {told}."


def _weights(records: tuple[Record, ...]) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for record in records:
        entry = (record.weights.sha256, record.weights.accuracy)
        entries = found.setdefault(f"{record.weights.network} on {record.weights.dataset}", [])
        if entry not in entries:
            entries.append(entry)
    return found


def _weights_table(records: tuple[Record, ...]) -> Grid:
    rows = tuple(
        (name, sha, f"{100 * accuracy:.2f}") for name, found in _weights(records).items() for sha, accuracy in sorted(found)
    )
    head = ("weights", "SHA-256 of the file", "digital accuracy on the whole test set, %")
    return Grid(head, rows, heads=2, caption="Weights measured")


def _time(records: tuple[Record, ...]) -> str:
    inference = sum(sum(cost.batches) for record in records for cost in record.costs.seeds)
    rest = sum(cost.convert + cost.tune + cost.effects for record in records for cost in record.costs.seeds)
    return f"Simulated inference took {_duration(inference)} in all; conversion, tuning and effects {_duration(rest)}."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
