"""Normalisation of pixels before the first layer."""

from __future__ import annotations

import torch
from torch import Tensor

from app.catalog.datasets import Transform


def normalise(images: Tensor, transform: Transform) -> Tensor:
    """Normalise pixels bitwise as ToTensor and Normalize do.

    The formula is (value / 255 - mean) / std, computed in this order.

    Args:
        images: [N, H, W, 3] uint8.
        transform: mean and standard deviation of each channel, of values in [0, 1].

    Returns:
        [N, 3, H, W] float32, channels_last in memory; bitwise equal to torchvision's transforms.
    """
    mean = torch.tensor(transform.mean, dtype=torch.float32, device=images.device)
    std = torch.tensor(transform.std, dtype=torch.float32, device=images.device)
    scaled = images.to(torch.float32).div_(255).sub_(mean).div_(std)  # [N, H, W, 3]
    return scaled.permute(0, 3, 1, 2)  # [N, 3, H, W]
