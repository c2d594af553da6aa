"""CIFAR-10: 50,000 + 10,000 colour images in 10 classes."""

from membench.datasets._base import DATASETS
from membench.datasets._cifar import CIFAR


class CIFAR10(CIFAR):
    name = "cifar10"
    classes = 10
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    folder = "cifar-10-batches-py"
    batches = {"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)}  # noqa: RUF012
    keys = (b"labels", "label")
    parquet = ("cifar10/plain_text", "cifar10")
    torchvision_name = "CIFAR10"


DATASETS.add(CIFAR10.name, CIFAR10())
