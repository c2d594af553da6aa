"""Crossbars as arrays: conductances, tiles, ADCs and products without one Python object a device.

`layer.py` holds the torch module, `tiles.py` how a matrix is cut, `product.py` the product in plain torch (any device),
`kernel.py` the same on the CPU in C++, `draws.py` MemTorch's random numbers, `fit.py` its tuning.
"""

from membench.arrays.kernel import kernel_in_use, kernel_problem
from membench.arrays.layer import MemristiveLayer

__all__ = ["MemristiveLayer", "kernel_in_use", "kernel_problem"]
