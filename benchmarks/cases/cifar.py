"""CIFAR-10 and CIFAR-100, where they are on this machine: key points of the study (benchmarks/studies/paper.py, docs/study.md).

None has a calibrated ADC: its range would depend on how much of the training set is there.
"""

from membench import (
    ADC,
    STUDY_DEVICE,
    Case,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    FiniteConductanceStates,
    InputScaling,
    Thresholds,
    Tuning,
    Variability,
)
from membench.effect import Effect

IDEAL = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64), adc=ADC(bits=8), max_input_voltage=9.0)
MILD = Variability(r_on_sigma=1.4e3, r_off_sigma=5e6, distribution="lognormal")
DRIFT = ConductanceDrift(time=1e4, coefficient=0.05, coefficient_sigma=0.02)

# Name, description, points that may be lost (on CIFAR-10, on CIFAR-100), what differs from IDEAL, effects.
Point = tuple[str, str, tuple[float, float], dict[str, object], tuple[Effect, ...]]
POINTS: tuple[Point, ...] = (
    ("tile-none", "no tiles, 8-bit ADC, MIV 9 V", (3.0, 3.0), {"tile_shape": None}, ()),
    ("ideal", "64x64 tiles, 8-bit ADC, MIV 9 V", (3.0, 3.0), {}, ()),
    ("variable", "r_on and r_off vary by 10 %, lognormal", (3.0, 3.0), {}, (MILD,)),
    ("adc-4bit", "4-bit ADC", (2.0, 4.0), {"adc": ADC(bits=4)}, ()),
    ("miv-3v", "MIV 3 V, the input scale kept as in MemTorch", (2.0, 5.0), {"max_input_voltage": 3.0}, ()),
    (
        "undone-1v",
        "MIV 1 V, the input scale undone",
        (3.0, 3.0),
        {"max_input_voltage": 1.0, "scaling": InputScaling(undone=True)},
        (),
    ),
    ("states-16", "16 conductance states", (3.0, 5.0), {}, (FiniteConductanceStates(states=16),)),
    (
        "faults",
        "0.1 % of the devices stuck at LRS, 0.1 % at HRS",
        (10.0, 20.0),
        {},
        (DeviceFaults(lrs_proportion=0.001, hrs_proportion=0.001),),
    ),
    (
        "drift-tuned",
        "drift over 10^4 t0, nu 0.05 with a spread of 0.02, gain and offset tuned again",
        (8.0, 20.0),
        {"tuning": Tuning(after="effects")},
        (DRIFT,),
    ),
)

CASES = [
    Case(
        name=f"{dataset}-{name}",
        description=description,
        dataset=dataset,
        network=f"vgg-{dataset}",
        conversion=IDEAL.replace(**changes),
        nonidealities=effects,
        thresholds=Thresholds(max_loss_points=losses[which]),
    )
    for which, dataset in enumerate(("cifar10", "cifar100"))
    for name, description, losses, changes, effects in POINTS
]
