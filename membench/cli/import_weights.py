"""membench import: weights that others trained, checked and measured, ready to be declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from membench.cli._app import app
from membench.cli._options import AsJson, Cases, network_and_dataset


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint: .safetensors, .pt, .pth, .ckpt or .bin.")],
    network: Annotated[str, typer.Argument(help="Name of a registered network.")],
    dataset: Annotated[str, typer.Argument(help="Name of a data set.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the weights and their card.")] = Path("weights"),
    cases: Cases = None,
    as_json: AsJson = False,
) -> None:
    """Take weights that others trained into the project: check that they fit the network, and measure its digital accuracy.

    Nothing is trained. FILE is read without running any code that is in it.

    Examples: membench import own.pt mine cifar10; membench import last.ckpt mine ecg --out weights
    """
    from membench.models import import_weights

    chosen, data = network_and_dataset(network, dataset, cases)
    taken = import_weights(chosen, data, file, out)
    card = taken.card
    if as_json:
        print(card.model_dump_json(indent=2))
        return
    print(
        f"{network} on {dataset} with the weights of {file}: {100 * card.accuracy:.2f} % of {card.test_images} test images, "
        f"{card.parameters} parameters\n{taken.file}"
    )
    if card.accuracy <= 1.5 / data.classes:
        print(
            f"That is about chance, {100 / data.classes:.3g} %. Do the weights expect images normalised otherwise than by {dataset} (mean "
            f"{data.mean}, std {data.std}), or classes in another order?"
        )
    print(
        f'Declare it: Network("{network}", ..., weights="{taken.file.as_posix()}"), or Case(..., weights="{taken.file.as_posix()}").\n'
        "On which images they were trained is not known, so test images may be among them: tables and records say so."
    )
