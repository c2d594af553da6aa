"""The network of two convolutional blocks, trained on all of MNIST and measured on its test set, where MNIST is on this machine."""

from membench import ADC, STUDY_DEVICE, Case, Conversion, Thresholds

CASES = [
    Case(
        name="mnist-tile-none",
        description="2,000 images of the full test set; no tiles, 8-bit ADC, MIV 6 V",
        dataset="mnist",
        network="vgg-mnist",
        conversion=Conversion(device=STUDY_DEVICE, adc=ADC(bits=8), max_input_voltage=6.0),
        thresholds=Thresholds(max_loss_points=1.0),
        images=2_000,
        seeds=(0,),
    ),
]
