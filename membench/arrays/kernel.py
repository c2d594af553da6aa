"""The C++ kernel: compiled once a machine, in seconds, at its first use; without a compiler plain torch does the work.

The source needs no torch headers and the library is loaded with ctypes, so no build system takes part. It is kept in the cache
folder under a hash of its source, the compiler and the processor.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from membench.errors import FileFormatError, InputError, MembenchError
from membench.storage import cache_dir, locked, read_whole, sha256, write_atomically

_SOURCE = Path(__file__).with_name("kernel.cpp")
# No contraction: gain * x + offset must round twice, as in MemTorch. The product asks for fused operations itself.
_FLAGS = ["-O3", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
_VARIANTS: tuple[list[str], ...] = (
    ["-march=native", "-fopenmp"],
    ["-fopenmp"],
    ["-march=native"],
    [],
)  # the first that compiles and loads
_CHOICES = ("auto", "cpp", "torch")


class LayerShape(ctypes.Structure):
    """`struct Layer` of kernel.cpp, field by field."""

    _fields_ = (
        ("images", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("size", ctypes.c_int64 * 3),
        ("before", ctypes.c_int64 * 3),
        ("padded", ctypes.c_int64 * 3),
        ("out", ctypes.c_int64 * 3),
        ("kernel", ctypes.c_int64 * 3),
        ("stride", ctypes.c_int64 * 3),
        ("dilation", ctypes.c_int64 * 3),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("tile_rows", ctypes.c_int64),
        ("tile_columns", ctypes.c_int64),
        ("bits", ctypes.c_int64),
        ("rank", ctypes.c_int64),
        ("zero_padding", ctypes.c_int64),
        ("limit", ctypes.c_float),
        ("range", ctypes.c_float),
        ("gain", ctypes.c_float),
        ("offset", ctypes.c_float),
        ("step", ctypes.c_float),
        ("deviation", ctypes.c_float),
        ("seed", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


@dataclass(frozen=True)
class Kernel:
    """The loaded library.

    Attributes:
        path: where it is kept.
        build_seconds: how long its compilation took, or 0 where it was found.
    """

    path: Path
    build_seconds: float
    _library: ctypes.CDLL

    def product(
        self,
        shape: LayerShape,
        x: Tensor,
        weights: Tensor,
        bias: Tensor | None,
        tolerance: Tensor,
        out: Tensor,
        variances: Tensor | None = None,
    ) -> None:
        """See `membench_product` in kernel.cpp. All tensors are contiguous and on the CPU."""
        self._library.membench_product(
            ctypes.byref(shape),
            _at(x),
            _at(weights),
            _at(variances),
            _at(bias),
            _at(tolerance),
            _at(out),
            ctypes.c_int64(torch.get_num_threads()),
        )

    def convert(
        self,
        y: Tensor,
        vectors: int,
        bits: int,
        bias: Tensor | None,
        tolerance: Tensor,
        gain: float,
        offset: float,
        step: float = 0.0,
    ) -> None:
        """See `membench_convert`: `y` (images, columns, positions), in place, one range for each of `vectors` equal parts."""
        images, columns, positions = y.shape
        self._library.membench_convert(
            _at(y),
            *(ctypes.c_int64(n) for n in (vectors, images // vectors, columns, positions, bits)),
            _at(tolerance),
            ctypes.c_float(gain),
            ctypes.c_float(offset),
            _at(bias),
            ctypes.c_float(step),
            ctypes.c_int64(torch.get_num_threads()),
        )

    def disturb(self, y: Tensor, variances: Tensor, deviation: float, seed: int, first: int) -> None:
        """See `membench_disturb`: both tensors (images, columns, positions), `y` in place."""
        self._library.membench_disturb(
            _at(y),
            _at(variances),
            *(ctypes.c_int64(n) for n in y.shape),
            ctypes.c_float(deviation),
            ctypes.c_int64(signed(seed)),
            ctypes.c_int64(first),
            ctypes.c_int64(torch.get_num_threads()),
        )

    def philox(self, counters: Tensor, seed: int) -> Tensor:
        """Four words for each counter, (n, 4), as int64; for tests."""
        given = counters.to(torch.uint32).contiguous()
        words = torch.empty_like(given)
        self._library.membench_philox(_at(given), ctypes.c_int64(len(given)), ctypes.c_int64(signed(seed)), _at(words))
        return words.to(torch.int64)

    def stream(self, seed: int) -> Stream:
        """The numbers that torch's CPU generator gives after `manual_seed(seed)`."""
        return Stream(self._library, seed)


class Stream:
    """Uniform numbers, one after the other."""

    def __init__(self, library: ctypes.CDLL, seed: int) -> None:
        self._library = library
        library.membench_stream_size.restype = ctypes.c_int64
        self._state = ctypes.create_string_buffer(int(library.membench_stream_size()) + 64)
        self._at = ctypes.c_void_p(-(-ctypes.addressof(self._state) // 64) * 64)
        library.membench_stream_seed(self._at, ctypes.c_uint64(seed % 2**32))

    def skip(self, count: int) -> None:
        """Throw numbers away."""
        self._library.membench_stream_uniform(
            self._at, ctypes.c_uint64(count), ctypes.c_int64(0), ctypes.c_float(0), ctypes.c_float(0), None
        )

    def fill(self, out: Tensor, low: float, high: float) -> Tensor:
        """`out.uniform_(low, high)`, float32 and contiguous on the CPU; to the last bit for (-1, 1)."""
        self._library.membench_stream_uniform(
            self._at, ctypes.c_uint64(0), ctypes.c_int64(out.numel()), ctypes.c_float(low), ctypes.c_float(high), _at(out)
        )
        return out


def kernel_in_use() -> Kernel | None:
    """The kernel, compiled now if need be; None where plain torch is used instead (`kernel_problem` tells why)."""
    choice = os.environ.get("MEMBENCH_KERNEL", "auto")
    if choice not in _CHOICES:
        raise InputError(f"MEMBENCH_KERNEL is {choice!r}; allowed: {', '.join(_CHOICES)}.")
    if choice == "torch":
        return None
    kernel, reason = _load(os.environ.get("MEMBENCH_CACHE"))
    if kernel is None and choice == "cpp":
        raise InputError(f"MEMBENCH_KERNEL asks for the C++ kernel, but {reason}.")
    return kernel


def kernel_problem() -> str | None:
    """Why the kernel is not in use, or None."""
    if os.environ.get("MEMBENCH_KERNEL") == "torch":
        return "MEMBENCH_KERNEL=torch asks for plain torch"
    return None if kernel_in_use() else _load(os.environ.get("MEMBENCH_CACHE"))[1]


@functools.cache
def _load(cache: str | None) -> tuple[Kernel | None, str]:
    """The kernel, or why there is none; once for each cache folder (None: the platform's)."""
    names = (os.environ.get("CXX"), "g++", "c++", "clang++")
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    if compiler is None:
        return None, "there is no C++ compiler (g++, c++, clang++, or the one named by CXX)"
    told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    parts = [_SOURCE.read_bytes(), told.encode(), _processor().encode(), repr((_FLAGS, _VARIANTS)).encode()]
    key = sha256(b"\0".join(parts))[:20]
    path = (Path(cache) if cache else cache_dir()) / "kernels" / f"{key}.so"
    reason = ""
    try:
        if (library := _kept(path)) is not None:  # before the lock: the folder may be one that cannot be written
            return Kernel(path, 0.0, library), ""
        with locked(path.with_suffix(".lock")):
            if (library := _kept(path)) is not None:  # another process compiled it while this one waited
                return Kernel(path, 0.0, library), ""
            started = time.perf_counter()
            for variant in _VARIANTS:
                if reason := _compile(compiler, variant, path):
                    continue
                try:
                    library = ctypes.CDLL(str(path))
                except OSError as error:
                    reason = str(error)
                    path.unlink()
                    continue
                write_atomically(_hash_file(path), sha256(path.read_bytes()))
                return Kernel(path, time.perf_counter() - started, library), ""
    except (OSError, MembenchError) as error:  # a cache folder that cannot be written
        reason = str(error)
    return None, f"{compiler} could not build it: {reason}"


def _hash_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _kept(path: Path) -> ctypes.CDLL | None:
    """The library in `path` if it is there and whole: a damaged one can end the process when it is loaded or called."""
    try:
        library, expected = read_whole(path), read_whole(_hash_file(path))
        if library is None or expected is None or sha256(library).encode() != expected:
            return None
        return ctypes.CDLL(str(path))
    except (OSError, FileFormatError):
        return None


def _compile(compiler: str, variant: list[str], path: Path) -> str:
    """Compile into a file of its own beside `path`, then rename it; the reason where that fails. The caller holds the lock."""
    for left in path.parent.glob(f".{path.stem}.*"):  # of a compilation that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
        made = Path(folder) / path.name
        command = [compiler, *_FLAGS, *variant, str(_SOURCE), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit code {done.returncode}"
        made.replace(path)
    return ""


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def signed(seed: int) -> int:
    """The lower 64 bits of a seed as C++ takes them."""
    return (seed + 2**63) % 2**64 - 2**63


def _at(tensor: Tensor | None) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())
