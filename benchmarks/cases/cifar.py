"""CIFAR-10 and CIFAR-100, where they are on this machine; without tiles, since MemTorch takes 0.35 s an image with them.

The networks were trained on 10,000 images of each training set; a stronger pair is for a later study.
"""

from membench import ADC, STUDY_DEVICE, Case, Conversion, Thresholds

HARDWARE = Conversion(device=STUDY_DEVICE, adc=ADC(bits=8), max_input_voltage=9.0)

CASES = [
    Case(
        name=f"{dataset}-tile-none",
        description="no tiles, 8-bit ADC, MIV 9 V",
        dataset=dataset,
        network=f"vgg-{dataset}",
        conversion=HARDWARE,
        thresholds=Thresholds(max_loss_points=3.0),
        images=500,
        seeds=(0,),
    )
    for dataset in ("cifar10", "cifar100")
]
