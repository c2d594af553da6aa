"""The network of two convolutional blocks, trained on all of MNIST and measured on its test set, where MNIST is on this machine."""

from membench import ADC, STUDY_DEVICE, Case, Conversion, Thresholds, profile

UNTILED = Conversion(device=STUDY_DEVICE, adc=ADC(bits=8), max_input_voltage=6.0)

CASES = [
    Case(
        name=name,
        description=description,
        dataset="mnist",
        network="vgg-mnist",
        conversion=conversion,
        thresholds=Thresholds(max_loss_points=1.0),
        images=10_000,
    )
    for name, description, conversion in (
        ("mnist-ideal", "the full test set; 64x64 tiles, 8-bit ADC, MIV 6 V", profile("ideal").conversion),
        ("mnist-tile-none", "the full test set; no tiles, 8-bit ADC, MIV 6 V", UNTILED),
    )
]
