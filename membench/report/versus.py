"""A comparison of engines for a terminal or a Markdown page: who measured what, where two part, and what each layer does."""

from __future__ import annotations

from tabulate import tabulate

from membench.comparison import Comparison, Contender, Pair
from membench.explanation import measured_on
from membench.report.explained import interval
from membench.words import counted

HEADERS = ("engine", "accuracy %", "loss, points [95 %]", "logit error", "ms/image", "x digital", "convert, s", "effects, s")
PAIR_HEADERS = ("engines", "difference, points [95 %]", "same class, %", "part at layer")


def compared(comparison: Comparison, style: str = "simple") -> str:
    """All tables, and a sentence for every engine that measured nothing and every two that disagree.

    Args:
        comparison: what to show.
        style: of the tables, one of tabulate's.
    """
    seeds = measured_on(comparison.images, comparison.seeds)
    parts = [
        f"{comparison.case}: digital {100 * comparison.digital_accuracy:.2f} %, {seeds}, {counted(comparison.threads, 'thread')}",
        contenders(comparison, style),
    ]
    if refused := [one for one in comparison.contenders if one.measured is None]:
        parts.append("\n".join(line for one in refused for line in _reasons(one)))
    parts.append(pairs(comparison, style))
    parts.append(
        f"Error of each layer's output, relative, on {counted(comparison.layer_images, 'image')}: given the digital input (given "
        "what arrives)"
    )
    parts += [layers(comparison, style), verdict(comparison)]
    return "\n\n".join(parts)


def contenders(comparison: Comparison, style: str = "simple") -> str:
    """One row an engine; "-" where nothing was measured."""
    rows = [_row(one) for one in comparison.contenders]
    aligned = ("left", *["right"] * (len(HEADERS) - 1))
    return tabulate(rows, headers=HEADERS, tablefmt=style, colalign=aligned, disable_numparse=True)


def _row(contender: Contender) -> tuple[str, ...]:
    measured = contender.measured
    if measured is None:
        return (contender.engine, *["-"] * (len(HEADERS) - 1))
    return (
        contender.engine,
        f"{100 * measured.accuracy:.2f}",
        interval(measured.loss),
        f"{measured.logit_error:.3g}",
        f"{1e3 * measured.seconds_per_image:.3g}",
        f"{measured.ratio:.3g}",
        f"{measured.convert_seconds:.2f}",
        f"{measured.effects_seconds:.2f}",
    )


def _reasons(contender: Contender) -> list[str]:
    lines = contender.refused.splitlines()
    return [line if contender.engine in line else f"{contender.engine}: {line}" for line in lines]


def pairs(comparison: Comparison, style: str = "simple") -> str:
    """One row for every two engines."""
    rows = [
        (
            f"{pair.one}, {pair.other}",
            interval(pair.difference) + (" *" if pair.disagree else ""),
            f"{100 * pair.same_predictions:.2f}",
            str(pair.parting) if pair.parting else "none",
        )
        for pair in comparison.pairs
    ]
    widths = [None, None, None, 60] if style == "simple" else None
    return tabulate(
        rows,
        headers=PAIR_HEADERS,
        tablefmt=style,
        colalign=("left", "right", "right", "left"),
        maxcolwidths=widths,
        disable_numparse=True,
    )


def layers(comparison: Comparison, style: str = "simple") -> str:
    """One row a layer, one column an engine."""
    able = [(one.engine, one.measured) for one in comparison.contenders if one.measured is not None]
    rows = [
        (layer.name, layer.kind, *(f"{m.layers[row].alone:.2g} ({m.layers[row].arriving:.2g})" for _, m in able))
        for row, layer in enumerate(able[0][1].layers)
    ]
    headers = ("layer", "kind", *(name for name, _ in able))
    aligned = ("left", "left", *["right"] * len(able))
    return tabulate(rows, headers=headers, tablefmt=style, colalign=aligned, disable_numparse=True)


def verdict(comparison: Comparison) -> str:
    """Who disagrees with whom, and where; in sentences."""
    apart = [pair for pair in comparison.pairs if pair.disagree]
    if not apart:
        return "No two engines disagree on the accuracy beyond the interval."
    return "\n".join(_sentence(pair) for pair in apart)


def _sentence(pair: Pair) -> str:
    where = f"they part first at layer {pair.parting}" if pair.parting else "yet every layer agrees, given the same input"
    return f"{pair.one} and {pair.other} disagree by {interval(pair.difference)} points: {where}."
