"""What several simulators can express alike: docs/agreement.md is made of these. They are compared, not gated.

membench versus agree-mnist-converters --cases benchmarks/versus
"""

from membench import (
    ADC,
    DAC,
    STUDY_DEVICE,
    Case,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    InputScaling,
    LineResistance,
    ReadNoise,
    Thresholds,
    Tuning,
    Variability,
)

NETWORKS = {
    "mnist": ("mnist5k", "vgg-mnist", 6.0),
    "cifar10": ("cifar10", "vgg-cifar10", 9.0),
    "cifar100": ("cifar100", "vgg-cifar100", 9.0),
}
IDEAL = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64))


def converters(limit: float, **fields: object) -> Conversion:
    """Converters of fixed ranges; the scale of inputs beyond the limit, in volts, is undone."""
    return IDEAL.replace(
        adc=ADC(bits=8, range="calibrated"),
        dac=DAC(bits=8),
        max_input_voltage=limit,
        scaling=InputScaling(undone=True, per="image"),
        **fields,
    )


AGED = (
    Variability(r_on_sigma=1.4e3, r_off_sigma=5e6),
    DeviceFaults(lrs_proportion=0.0005, hrs_proportion=0.005),
    ConductanceDrift(time=3600.0, coefficient=0.03, coefficient_sigma=0.01),
)

CASES = [
    Case(name=f"agree-{name}-{profile}", dataset=dataset, network=network, conversion=conversion, nonidealities=effects,
         thresholds=Thresholds(max_loss_points=100.0), seeds=seeds, images=images, description=description)
    for name, (dataset, network, limit) in NETWORKS.items()
    for profile, conversion, effects, seeds, images, description in [
        ("ideal", IDEAL, (), (0,), 1000, "64x64 tiles, nothing else"),
        ("converters", converters(limit), (), (0,), 1000, "8-bit ADC of a calibrated range, 8-bit DAC"),
        ("aged", converters(limit, tuning=Tuning(after="effects")), AGED, (0, 1, 2, 3, 4), 500,
         "converters, devices that vary, fail and drift; tuned afterwards"),
        ("passive", IDEAL, (LineResistance(line_resistance=1.0),), (0,), 1000, "lines of 1 ohm a segment, no converters"),
        ("noisy", converters(limit), (ReadNoise(sigma=0.05),), (0,), 40, "converters, every read another conductance"),
    ]
    if profile != "noisy" or name == "mnist"  # CrossSim copies every tile for every vector: a second an image and more
]  # fmt: skip
