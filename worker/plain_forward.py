"""The plainest way to compute logits: eager PyTorch in float32 on the CPU, as the reference for everything else."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.datasets import Transform
from worker.engines.pixels import normalise

MAX_BATCH = 16
"""Images; between two batches a caller can be stopped."""


def plain_logits(network: nn.Module, images: NDArray[np.uint8], transform: Transform) -> NDArray[np.float32]:
    """Compute raw logits with the network as it was loaded: nothing folded, fused or compiled.

    Args:
        network: in eval mode, float32, on the CPU; [n, 3, H, W] normalised images to [n, C].
        images: [n, H, W, 3] uint8, n ≥ 1.
        transform: of the pixels.

    Returns:
        [n, C] float32, before softmax and temperature, in the order of the images.
    """
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), MAX_BATCH):
            batch = torch.from_numpy(images[start : start + MAX_BATCH].copy())  # PyTorch wants to be able to write
            parts.append(network(normalise(batch, transform)).to(torch.float32).numpy())
    return np.concatenate(parts)
