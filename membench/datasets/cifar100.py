"""CIFAR-100: 50,000 + 10,000 colour images in 100 classes."""

from membench.datasets._base import DATASETS
from membench.datasets._cifar import CIFAR


class CIFAR100(CIFAR):
    name = "cifar100"
    classes = 100
    shares_images = True
    mean = (0.5071, 0.4866, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    folder = "cifar-100-python"
    batches = {"train": ("train",), "test": ("test",)}  # noqa: RUF012
    keys = (b"fine_labels", "fine_label")
    parquet = ("cifar100/cifar100", "cifar100")
    torchvision_name = "CIFAR100"


DATASETS.add(CIFAR100.name, CIFAR100())
