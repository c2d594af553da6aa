"""What arXiv 2407.13410 set out to show, and what lies beside it.

    membench study paper --out study

The device is the one of public MemTorch studies; the recommendation of the paper (64x64 tiles, 8-bit ADC, MIV 6 to 9 V) is where every
sweep starts from, and one thing, or two that interact, are moved away from it.
"""

from __future__ import annotations

from membench import (
    ADC,
    STUDY_DEVICE,
    Case,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    InputScaling,
    Knob,
    Quick,
    Recommendation,
    Retention,
    Study,
    Sweep,
    Thresholds,
    Tuning,
    Variability,
)
from membench.effect import Effect

RECOMMENDED = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64), adc=ADC(bits=8), max_input_voltage=9.0)


def base(dataset: str) -> Case:
    return Case(
        name=f"paper-{dataset}",
        dataset=dataset,
        network=f"vgg-{dataset}",
        conversion=RECOMMENDED,
        images=2_000,
        batch_size=50,
        thresholds=Thresholds(max_loss_points=100.0),
    )


def converted(case: Case, **changes: object) -> Case:
    return case.replace(conversion=case.conversion.replace(**changes))


def suffering(case: Case, *effects: Effect) -> Case:
    return case.replace(nonidealities=(*case.nonidealities, *effects))


# A device that is mildly variable: r_on by 10 %, r_off by 10 % (1e6 to 1e7 ohm is the range of public MemTorch studies).
MILD = Variability(r_on_sigma=1.4e3, r_off_sigma=5e6, distribution="lognormal")
RANGES = {"MemTorch's": "vector", "fixed": "calibrated"}
SCALES = {"kept": InputScaling(), "undone": InputScaling(undone=True)}


def headline(case: Case, devices: str, read_out: str) -> Case:
    """The full test set, on the recommended hardware: as MemTorch reads it, and as a chip could."""
    adc, scale = {
        "MemTorch": ("MemTorch's", "kept"),
        "scale undone": ("MemTorch's", "undone"),
        "fixed ADC range": ("fixed", "kept"),
        "fixed range, scale undone": ("fixed", "undone"),
    }[read_out]
    found = converted(case, adc=ADC(bits=8, range=RANGES[adc]), scaling=SCALES[scale]).replace(images=10_000)
    return suffering(found, MILD) if devices == "mildly variable" else found


def tile(case: Case, tile: str) -> Case:
    if tile == "none":
        return converted(case, tile_shape=None)
    rows, _, columns = tile.partition("x")
    return converted(case, tile_shape=(int(rows), int(columns or rows)))


def adc(case: Case, bits: str, adc_range: str) -> Case:
    return converted(case, adc=None if bits == "none" else ADC(bits=int(bits), range=RANGES[adc_range]))


def input_voltage(case: Case, miv: float, scale: str) -> Case:
    return converted(case, max_input_voltage=miv, scaling=SCALES[scale])


def variability(case: Case, spread: float, devices: str) -> Case:
    """The spread is lognormal: a normal one of 30 % or more would draw resistances at and below zero."""
    on, off = spread / 100 * STUDY_DEVICE.r_on, spread / 100 * STUDY_DEVICE.r_off
    sigmas = {"r_on": (on, 0.0), "r_off": (0.0, off), "both": (on, off)}[devices]
    return suffering(case, Variability(r_on_sigma=sigmas[0], r_off_sigma=sigmas[1], distribution="lognormal"))


def faults(case: Case, stuck: float, at: str) -> Case:
    share = stuck / 100
    lrs, hrs = {"LRS": (share, 0.0), "HRS": (0.0, share), "both, half each": (share / 2, share / 2)}[at]
    return suffering(case, DeviceFaults(lrs_proportion=lrs, hrs_proportion=hrs)) if stuck else case


# Metal oxide, in the form of Lammie et al. 2021; the numbers are membench's own, since no published fit was at hand. Failure begins at
# 10^4 cycles, and at 10^3 s; from there LRS rises and HRS falls by 0.1 and by 0.03 of a decade a decade.
WORN = {"p_lrs": (1.0, 0.921, 0.0, 0.01086), "p_hrs": (1.0, 0.921, 0.0, -0.01086)}
KEPT = {"p_lrs": (1.0, 0.6908, 0.0, 0.004343), "p_hrs": (1.0, 0.6908, 0.0, -0.004343)}
CELL = {"mode": "gradual", "stable_resistance_lrs": 1.4e5, "stable_resistance_hrs": 5e6}


def endurance(case: Case, cycles: float) -> Case:
    return suffering(case, Endurance(cycles=cycles, **WORN, **CELL)) if cycles > 1e4 else case


def retention(case: Case, time: float) -> Case:
    return suffering(case, Retention(time=time, **KEPT, **CELL)) if time > 1e3 else case


def drift(case: Case, time: float, drift: str) -> Case:
    """The spread of the drift coefficient is what tuning again cannot undo."""
    if time <= 1:
        return case
    spread = 0.02 if "spread" in drift else 0.0
    retuned = converted(case, tuning=Tuning(after="effects")) if "tuned again" in drift else case
    return suffering(retuned, ConductanceDrift(time=time, coefficient=0.05, coefficient_sigma=spread))


def states(case: Case, states: int) -> Case:
    return suffering(case, FiniteConductanceStates(states=states))


def tile_and_adc(case: Case, tile_size: str, bits: int) -> Case:
    return adc(tile(case, tile_size), str(bits), "MemTorch's")


def tile_and_faults(case: Case, tile_size: str, stuck: float) -> Case:
    return faults(tile(case, tile_size), stuck, "both, half each")


def states_and_variability(case: Case, states: int, spread: float) -> Case:
    varied = variability(case, spread, "both") if spread else case
    return suffering(varied, FiniteConductanceStates(states=states))


STUDY = Study(
    name="paper",
    title="What CNNs lose on memristive crossbars: MNIST, CIFAR-10, CIFAR-100",
    description=(
        "The questions of arXiv 2407.13410: what do CNNs for three data sets lose when they are converted under ideal conditions, "
        "and how do tile size, ADC resolution, maximum input voltage (MIV) and the non-idealities of devices change that? "
        "Every sweep starts from 64x64 tiles, an 8-bit ADC and an MIV of 9 V, on VTEAM devices of 14 kohm to 50 Mohm, "
        "and moves one thing, or two that interact."
    ),
    bases={"MNIST": base("mnist"), "CIFAR-10": base("cifar10"), "CIFAR-100": base("cifar100")},
    sweeps=(
        Sweep(
            "headline",
            "The recommended hardware, full test sets",
            (
                Knob(name="devices", label="devices", values=("ideal", "mildly variable")),
                Knob(
                    name="read_out",
                    label="read-out",
                    values=("MemTorch", "scale undone", "fixed ADC range", "fixed range, scale undone"),
                ),
            ),
            headline,
            kind="table",
        ),
        Sweep(
            "tile",
            "Tile size",
            (
                Knob(
                    name="tile",
                    label="tile, rows x columns (one number: square)",
                    values=("8", "16", "32", "64", "128", "256", "256x64", "none"),
                ),
            ),
            tile,
        ),
        Sweep(
            "adc",
            "ADC resolution",
            (
                Knob(name="bits", label="ADC resolution, bit", values=(*map(str, range(2, 11)), "none")),
                Knob(name="adc_range", label="ADC range", values=tuple(RANGES)),
            ),
            adc,
        ),
        Sweep(
            "miv",
            "Maximum input voltage",
            (
                Knob(name="miv", label="maximum input voltage, V", values=(0.3, 0.6, 1.0, 2.0, 3.0, 6.0, 9.0, 12.0), log=True),
                Knob(name="scale", label="input scale", values=tuple(SCALES)),
            ),
            input_voltage,
        ),
        Sweep(
            "variability",
            "Device-to-device variability",
            (
                Knob(name="spread", label="standard deviation of the resistance, % of its mean", values=(10, 25, 50, 100)),
                Knob(name="devices", label="varies", values=("r_on", "r_off", "both")),
            ),
            variability,
        ),
        Sweep(
            "faults",
            "Device faults",
            (
                Knob(name="stuck", label="devices stuck, %", values=(0.2, 1.0, 2.5, 5.0, 10.0, 25.0), log=True),
                Knob(name="at", label="stuck at", values=("LRS", "HRS", "both, half each")),
            ),
            faults,
        ),
        Sweep(
            "endurance",
            "Endurance",
            (Knob(name="cycles", label="SET-RESET cycles", values=(1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9), log=True),),
            endurance,
        ),
        Sweep(
            "retention",
            "Retention",
            (
                Knob(
                    name="time",
                    label="time since programming, s",
                    values=(1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9),
                    log=True,
                ),
            ),
            retention,
        ),
        Sweep(
            "drift",
            "Conductance drift",
            (
                Knob(name="time", label="time since programming, t / t0", values=(1.0, 10.0, 1e2, 1e3, 1e4, 1e6), log=True),
                Knob(
                    name="drift",
                    label="drift coefficient nu",
                    values=("0.05", "0.05, tuned again", "0.05, spread 0.02, tuned again"),
                ),
            ),
            drift,
        ),
        Sweep(
            "states",
            "Finite conductance states",
            (Knob(name="states", label="conductance states", values=(2, 3, 4, 6, 8, 16, 32, 64), log=True),),
            states,
        ),
        Sweep(
            "tile-adc",
            "Tile size and ADC resolution",
            (
                Knob(name="tile_size", label="tile, rows x columns", values=("16", "64", "128", "256")),
                Knob(name="bits", label="ADC resolution, bit", values=(3, 4, 5, 6, 8)),
            ),
            tile_and_adc,
            kind="map",
        ),
        Sweep(
            "faults-tile",
            "Device faults and tile size",
            (
                Knob(name="tile_size", label="tile, rows x columns", values=("16", "64", "256", "none")),
                Knob(name="stuck", label="devices stuck, half at LRS, half at HRS, %", values=(0.2, 1.0, 5.0)),
            ),
            tile_and_faults,
            kind="map",
        ),
        Sweep(
            "states-variability",
            "Finite states and variability",
            (
                Knob(name="states", label="conductance states", values=(4, 8, 16, 64)),
                Knob(name="spread", label="standard deviation of r_on and r_off, %", values=(0, 25, 100)),
            ),
            states_and_variability,
            kind="map",
        ),
    ),
    recommendations=(
        Recommendation(what="tile size and ADC resolution", sweep="tile-adc", cost="adc_energy"),
        Recommendation(
            what="ADC resolution on 64x64 tiles, range fixed", sweep="adc", cost="adc_energy", where={"adc_range": "fixed"}
        ),
        Recommendation(what="MIV, scale kept as in MemTorch", sweep="miv", cost="max_input_voltage", where={"scale": "kept"}),
        Recommendation(what="MIV, scale undone", sweep="miv", cost="max_input_voltage", where={"scale": "undone"}),
    ),
    quick=Quick(images=50, seeds=2, values=3),
)
