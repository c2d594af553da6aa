"""Draw docs/figures/input-voltage.svg: accuracy against the maximum input voltage, with the scale kept and undone.

    MEMBENCH_DATA=... .venv/bin/python tools/input_voltage.py [--images 1000] [--seeds 2]

It measures with `run_case` on the shipped networks and writes the numbers beside the figure, as CSV.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from membench import Case, InputScaling, Thresholds, profile, run_case

mpl.use("Agg")
import matplotlib.pyplot as plt

FIGURES = Path(__file__).resolve().parent.parent / "docs" / "figures"
VOLTAGES = (0.1, 0.3, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0, 12.0)
NETWORKS = (("mnist5k", "vgg-mnist"), ("mnist", "vgg-mnist"), ("cifar10", "vgg-cifar10"), ("cifar100", "vgg-cifar100"))
SCALINGS = {
    "kept, an image at a time": (InputScaling(per="image"), "o-"),
    "kept, a batch at a time": (InputScaling(per="batch"), "s--"),
    "kept, as MemTorch does": (InputScaling(), "^:"),
    "undone": (InputScaling(undone=True), "x-"),
}


def measure(images: int, seeds: int) -> pd.DataFrame:
    """Accuracy of every network at every voltage, a row each; in proportions, with the loss's interval in points."""
    rows = []
    for dataset, network in NETWORKS:
        for words, (scaling, _) in SCALINGS.items():
            for voltage in VOLTAGES:
                conversion = profile("ideal").conversion.replace(max_input_voltage=voltage, scaling=scaling)
                case = Case(
                    name="input-voltage",
                    dataset=dataset,
                    network=network,
                    conversion=conversion,
                    thresholds=Thresholds(max_loss_points=100.0),
                    images=images,
                    seeds=tuple(range(seeds)),
                )
                found = run_case(case).measured
                rows.append(
                    {
                        "dataset": dataset,
                        "scale": words,
                        "max_input_voltage": voltage,
                        "digital": found.digital_accuracy,
                        "accuracy": found.accuracy,
                        "loss": found.loss.estimate,
                        "low": found.loss.low,
                        "high": found.loss.high,
                    }
                )
                print(dataset, words, f"{voltage:g} V: {100 * found.accuracy:.1f} %", flush=True)
    return pd.DataFrame(rows)


def draw(found: pd.DataFrame, path: Path) -> None:
    """One panel a network, one line a way of scaling."""
    datasets = list(dict.fromkeys(found.dataset))
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.4 * len(datasets), 3.8), sharey=True, layout="constrained")
    for axis, dataset in zip(axes, datasets, strict=True):
        here = found[found.dataset == dataset]
        axis.axhline(100 * here.digital.iloc[0], color="0.6", linewidth=1, label="digital")
        for shade, (words, (_, style)) in zip(("0.0", "0.0", "0.0", "0.45"), SCALINGS.items(), strict=True):
            line = here[here.scale == words]
            axis.plot(line.max_input_voltage, 100 * line.accuracy, style, color=shade, markersize=4, linewidth=1, label=words)
        axis.set(xscale="log", title=dataset, xlabel="maximum input voltage, V", ylim=(0, 103))
        axis.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    axes[0].set_ylabel("accuracy, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9, title="the inputs' scale is")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    FIGURES.mkdir(exist_ok=True)
    found = measure(given.images, given.seeds)
    found.to_csv(FIGURES / "input-voltage.csv", index=False, float_format="%.5g")
    draw(found, FIGURES / "input-voltage.svg")


if __name__ == "__main__":
    main()
