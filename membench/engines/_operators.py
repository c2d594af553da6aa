"""What torch's operators do with activations, as far as a conversion has to know.

An operator is harmless where it cannot multiply activations by a matrix of weights: it works element by element, moves data, or
reduces, pools or normalises activations alone. Every other one is taken for a matrix product, also one that membench does not
know, so that a new or custom operator is named and does not pass in silence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

_MOVES = """
    block_diag cat channel_shuffle clone col2im complex constant_pad_nd copy diag_embed empty_like fill flip full_like gather im2col
    index index_add index_copy index_fill index_put _index_put_impl index_select lift masked_fill masked_scatter masked_select
    new_empty new_empty_strided new_full new_ones new_zeros nonzero ones_like pixel_shuffle pixel_unshuffle put reflection_pad1d
    reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d _reshape_copy
    resize resize_as roll rot90 scatter scatter_add scatter_reduce select_scatter set shallow_copy_data slice_scatter stack _stack
    take _to_copy tril triu unsafe_split unsafe_split_with_sizes _unsafe_index _unsafe_view zero zeros_like
"""
_REDUCES = """
    all amax amin aminmax _aminmax any argmax argmin bincount bucketize count_nonzero cummax cummin _cummax_helper _cummin_helper
    cumprod cumsum histc is_same_size isin kthvalue linalg_vector_norm linalg__powsum _local_scalar_dense logcumsumexp
    _logcumsumexp _log_softmax logsumexp _masked_softmax max mean median min mode nanmedian nansum norm prod _safe_softmax
    searchsorted _softmax sort std std_mean sum topk unique_consecutive _unique _unique2 unique_dim var var_mean
"""
_POOLS = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool2d avg_pool3d grid_sampler_2d
    grid_sampler_3d max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d mkldnn_adaptive_avg_pool2d
    mkldnn_max_pool2d mkldnn_max_pool3d upsample_bicubic2d _upsample_bicubic2d_aa upsample_bilinear2d _upsample_bilinear2d_aa
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_trilinear3d
"""
_NORMALISES = """
    _batch_norm_no_update cudnn_batch_norm miopen_batch_norm native_batch_norm _native_batch_norm_legit
    _native_batch_norm_legit_no_training native_group_norm native_layer_norm _fused_rms_norm renorm
"""
_ACTIVATES = """
    floor_divide glu hardswish log_sigmoid_forward _prelu_kernel rrelu_with_noise fake_quantize_per_channel_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask _fake_quantize_learnable_per_channel_affine
    _fake_quantize_learnable_per_tensor_affine _fake_quantize_per_tensor_affine_cachemask_tensor_qparams
"""
_HARMLESS = frozenset(f"{_MOVES}{_REDUCES}{_POOLS}{_NORMALISES}{_ACTIVATES}".split())
_LOOKUPS = frozenset(["gather", "index", "index_select", "take", "_unsafe_index"])
_ADDITIVE = frozenset(
    """
    add clamp clamp_max clamp_min copysign eq ge gt le lt masked_fill maximum minimum ne rsub sub where
    """.split()  # noqa: SIM905 - as the lists above
)
_SUMS = frozenset(["sum", "mean", "nansum"])

_SUFFIXES = ("_", "_copy", "_out")


def base_name(operator: OpOverload) -> str:
    """The operator's name without namespace, overload and the suffix of its in-place and copying variants."""
    name = str(operator.overloadpacket.__name__)
    for suffix in _SUFFIXES:
        if len(name) > len(suffix) and name.endswith(suffix) and name not in _HARMLESS:
            name = name.removesuffix(suffix)
    return name


def _has_tag(operator: OpOverload, tag: torch.Tag) -> bool:
    return tag in operator.tags or tag in _functional(operator).tags


def _functional(operator: OpOverload) -> OpOverload:
    """Its variant that neither works in place nor copies, which torch gives its tags to; the operator itself where it has none."""
    packet = getattr(torch.ops.aten, base_name(operator), None)
    found = getattr(packet, operator._overloadname, operator)
    assert isinstance(found, OpOverload)
    return found


def is_harmless(operator: OpOverload) -> bool:
    """Whether it cannot be a product of activations with a matrix, unless it works element by element on one."""
    if operator.namespace not in ("aten", "prims"):
        return False
    return base_name(operator) in _HARMLESS or is_elementwise(operator) or _functional(operator).is_view


def is_composite(operator: OpOverload) -> bool:
    """Whether it is made of other operators alone: such are dispatched whole in inference mode."""
    with suppress(RuntimeError):
        return bool(operator.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd))
    return False


def is_elementwise(operator: OpOverload) -> bool:
    """Whether each element of the result comes from one element of each operand."""
    return operator.namespace in ("aten", "prims") and _has_tag(operator, torch.Tag.pointwise)


def only_adds(operator: OpOverload) -> bool:
    """Whether an elementwise operator adds, selects or compares, and multiplies nothing."""
    return base_name(operator) in _ADDITIVE


def looks_up(operator: OpOverload) -> bool:
    """Whether it takes elements of its first operand, at places that other operands give."""
    return base_name(operator) in _LOOKUPS


def sums(operator: OpOverload) -> bool:
    """Whether it adds up the elements of its operand."""
    return base_name(operator) in _SUMS


def is_random(operator: OpOverload) -> bool:
    """Whether its result depends on a random generator."""
    return _has_tag(operator, torch.Tag.nondeterministic_seeded)


def asks_for_values(operator: OpOverload) -> bool:
    """Whether Python code, or the shape of the result, may depend on the values of its operands."""
    return torch.Tag.data_dependent_output in operator.tags or (
        torch.Tag.dynamic_output_shape in operator.tags and base_name(operator) not in _LOOKUPS
    )


def is_matrix(tensor: Tensor) -> bool:
    """Whether it has two or more dimensions longer than 1: a scale of each channel, (1, C, 1, 1), is a vector."""
    return sum(size > 1 for size in tensor.shape) >= 2


def distinct(tensor: Tensor) -> int:
    """How many elements it holds, each counted once: what `expand` repeats is one element."""
    sizes = (size for size, step in zip(tensor.shape, tensor.stride(), strict=True) if step != 0)
    return math.prod(sizes)


def long_dimensions(shape: Sequence[int], of: Sequence[int]) -> frozenset[int]:
    """The dimensions of a result of shape `of` along which an operand of `shape`, broadcast to it, is longer than 1."""
    offset = len(of) - len(shape)
    return frozenset(index + offset for index, size in enumerate(shape) if size > 1)


def summed_dimensions(arguments: Sequence[Any], dimensions: int) -> frozenset[int]:
    """The dimensions that `sum` or `mean` adds up, given its arguments and the number of its operand's dimensions."""
    given = arguments[1] if len(arguments) > 1 else None
    chosen = [given] if isinstance(given, int) else given
    if not chosen:
        return frozenset(range(dimensions))
    return frozenset(index % dimensions for index in chosen)
