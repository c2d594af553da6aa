"""membench train: digital networks, and their cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from membench.case import MOST_THREADS
from membench.cli._app import app
from membench.cli._bar import progress_bar
from membench.cli._options import AsJson, Cases, network_and_dataset
from membench.errors import InputError
from membench.storage import check_writable
from membench.words import counted

if TYPE_CHECKING:
    from membench.models import CrossValidation


@app.command()
def train(
    network: Annotated[str, typer.Argument(help="Name of a registered network.")],
    dataset: Annotated[str, typer.Argument(help="Name of a data set.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the weights and their card, instead of the cache.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the network's own recipe.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the network's own recipe.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32 or bfloat16, instead of the network's own recipe.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Cross-validate: train so many networks, each without a part of the images."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=MOST_THREADS, help="torch threads; the number moves the weights.")
    ] = None,
    ship: Annotated[bool, typer.Option("--ship", help="Write to membench's own folder of weights (for maintainers).")] = False,
    cases: Cases = None,
    as_json: AsJson = False,
) -> None:
    """Train a network, or find it trained. Interrupted, the same command goes on at the last whole epoch.

    Examples: membench train vgg-mnist mnist; membench train vgg-cifar10 cifar10 --epochs 20 --out weights;
    membench train vgg-mnist mnist --folds 5
    """
    import torch

    from membench.models import cross_validate, obtain, refuse_pretrained, ship_weights

    if ship and folds:
        raise InputError("--ship and --folds exclude each other: folds leave accuracies and no weights. Give one of the two.")
    if out is not None:
        check_writable(out, "--out")
    if threads:
        torch.set_num_threads(threads)
    chosen, data = network_and_dataset(network, dataset, cases)
    refuse_pretrained(chosen)
    own = chosen.recipe_for(dataset)
    given = {"epochs": epochs, "seed": seed, "precision": precision}
    recipe = own.replace(**{name: value for name, value in given.items() if value is not None})
    with progress_bar(f"{network} on {dataset}") as tell:
        if folds:
            validated = cross_validate(chosen, data, folds, recipe=recipe, folder=out, progress=tell)
        else:
            trained = obtain(chosen, data, recipe=recipe, folder=out, progress=tell)
    if folds:
        print(validated.model_dump_json(indent=2) if as_json else _fold_table(validated))
        return
    if ship:
        trained = ship_weights(trained)
    card = trained.card
    if as_json:
        print(card.model_dump_json(indent=2))
        return
    print(
        f"{network} on {dataset}: {100 * card.accuracy:.2f} % of {card.test_images} test images, {card.parameters} parameters, "
        f"trained on {card.train_images} images in {card.seconds or 0:.0f} s\n{trained.file}"
    )


def _fold_table(found: CrossValidation) -> str:
    rows = [
        (fold.number, f"{100 * fold.held_out_accuracy:.2f}", f"{100 * fold.test_accuracy:.2f}", f"{fold.seconds:.0f}")
        for fold in found.folds
    ]
    table = tabulate(
        rows, headers=("fold", "held-out accuracy %", "test accuracy %", "seconds"), disable_numparse=True, stralign="right"
    )
    spreads = [("held out", found.held_out), ("test", found.test)]
    summary = tabulate(
        [(what, f"{one.mean:.2f}", f"{one.deviation:.2f}", f"[{one.low:.2f}, {one.high:.2f}]") for what, one in spreads],
        headers=("", "mean %", "deviation, points", "95 % (t over the folds)"),
        disable_numparse=True,
    )
    first = found.folds[0]
    return (
        f"{found.network} on {found.dataset}: {len(found.folds)} folds of {first.train_images + first.held_out_images} training "
        f"images, {first.test_images} test images, {counted(found.threads, 'thread')}\n\n{table}\n\n{summary}"
    )
