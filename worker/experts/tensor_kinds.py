"""Kinds of tensors that a checkpoint's weights and numbers may have."""

from __future__ import annotations

import torch
from torch import Tensor

FLOATS = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})
INTEGERS = frozenset({torch.int64, torch.int32})


def is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is dense, on the CPU, and not expanded."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def bits_equal(a: Tensor, b: Tensor) -> bool:
    """Tell whether two plain tensors have the same dtype, shape and bits."""
    if (a.dtype, a.shape) != (b.dtype, b.shape) or not (is_plain(a) and is_plain(b)):
        return False
    return torch.equal(a.detach().reshape(-1).view(torch.uint8), b.detach().reshape(-1).view(torch.uint8))


def short_name(kind: torch.dtype | torch.layout) -> str:
    """Format `torch.float16` as `float16`."""
    return str(kind).removeprefix("torch.")
