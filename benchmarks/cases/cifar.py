"""CIFAR-10 and CIFAR-100, where they are on this machine.

The networks were trained on 10,000 images of each training set; a stronger pair is for a later study.
"""

from membench import ADC, STUDY_DEVICE, Case, Conversion, Thresholds

UNTILED = Conversion(device=STUDY_DEVICE, adc=ADC(bits=8), max_input_voltage=9.0)

CASES = [
    Case(
        name=f"{dataset}-{name}",
        description=description,
        dataset=dataset,
        network=f"vgg-{dataset}",
        conversion=UNTILED.replace(tile_shape=tile_shape),
        thresholds=Thresholds(max_loss_points=3.0),
    )
    for dataset in ("cifar10", "cifar100")
    for name, description, tile_shape in (
        ("tile-none", "no tiles, 8-bit ADC, MIV 9 V", None),
        ("ideal", "64x64 tiles, 8-bit ADC, MIV 9 V", (64, 64)),
    )
]
