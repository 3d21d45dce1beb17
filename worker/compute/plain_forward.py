"""A second implementation of the forward pass, to compare the engines' logits with.

It shares no code with the engines: batch norm is not folded, channels come first in memory, a convolution is a
matrix product over unfolded patches, and numpy normalises the pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from app.catalog.datasets import Transform

MAX_BATCH = 16
"""Images per batch: unfolded patches take nine times the memory of the images."""


def plain_logits(network: nn.Module, images: NDArray[np.uint8], transform: Transform) -> NDArray[np.float32]:
    """Compute logits in float32 on the network's own device.

    Args:
        network: in eval mode, float32; not changed.
        images: [n, H, W, 3] uint8.
        transform: how the pixels are normalised.

    Returns:
        [n, C] float32 raw logits, before softmax and temperature; row i belongs to `images[i]`.
    """
    device = next(network.parameters()).device
    mean, std = (np.asarray(values, np.float32) for values in (transform.mean, transform.std))
    rows = []
    with torch.inference_mode(), _MatrixConvolutions():
        for start in range(0, len(images), MAX_BATCH):
            scaled = images[start : start + MAX_BATCH].astype(np.float32) / np.float32(255)
            pixels = np.ascontiguousarray(((scaled - mean) / std).transpose(0, 3, 1, 2))  # [n, 3, H, W]
            rows.append(network(torch.from_numpy(pixels).to(device)).cpu().numpy())
    logits: NDArray[np.float32] = np.concatenate(rows)
    return logits


class _MatrixConvolutions(TorchFunctionMode):
    """A mode that computes plain 2-d convolutions as products of matrices.

    It holds in this thread only.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d and not kwargs and not isinstance(args[4], str) and tuple(args[5]) == (1, 1):
            return _convolve(*args)
        return func(*args, **(kwargs or {}))


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],  # noqa: ARG001 - always 1; the position is that of F.conv2d
    groups: int,
) -> Tensor:
    """Compute a convolution without dilation.

    [n, in, H, W] becomes [n, out, H', W']. The definition is that of `torch.nn.functional.conv2d`.
    """
    out, width, *kernel = weight.shape
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    # [n, in, H', W', kh, kw], views of the input. F.unfold takes three times as long.
    patches = padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    count, _, height, across = patches.shape[:4]
    columns = patches.permute(1, 4, 5, 0, 2, 3).reshape(groups, width * kernel[0] * kernel[1], -1)
    product = weight.reshape(groups, out // groups, -1) @ columns  # [groups, out / groups, n * H' * W']
    shaped = product.reshape(out, count, height, across).transpose(0, 1).contiguous()
    return shaped if bias is None else shaped + bias[:, None, None]
