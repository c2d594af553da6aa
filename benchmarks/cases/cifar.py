"""CIFAR-10 and CIFAR-100, where they are on this machine: key points of the study (docs/study.md)."""

from membench import (
    ADC,
    STUDY_DEVICE,
    Case,
    Conversion,
    Thresholds,
)
from membench.effect import Effect

IDEAL = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64), adc=ADC(bits=8), max_input_voltage=9.0)

# name, description, points that may be lost (on CIFAR-10, on CIFAR-100), what differs from IDEAL, effects
POINTS: tuple[tuple[str, str, tuple[float, float], dict[str, object], tuple[Effect, ...]], ...] = (
    ("tile-none", "no tiles, 8-bit ADC, MIV 9 V", (3.0, 3.0), {"tile_shape": None}, ()),
    ("ideal", "64x64 tiles, 8-bit ADC, MIV 9 V", (3.0, 3.0), {}, ()),
)

CASES = [
    Case(
        name=f"{dataset}-{name}",
        description=description,
        dataset=dataset,
        network=f"vgg-{dataset}",
        conversion=IDEAL.replace(**changes),
        nonidealities=effects,
        thresholds=Thresholds(max_loss_points=loss),
    )
    for dataset, loss_of in (("cifar10", 0), ("cifar100", 1))
    for name, description, losses, changes, effects in POINTS
    for loss in (losses[loss_of],)
]
