"""The number of multiply-adds in a forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def count_macs(network: nn.Module, size: int) -> int:
    """Count the multiply-adds of one image in the convolutions and the head.

    Convolutions count as computed directly, with the zeros of the padding. Batch norm, ReLU and pooling do not count:
    they are folded away or negligible.

    Args:
        network: on the CPU, in eval mode.
        size: side of the image, in pixels.
    """
    total = 0

    def add(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.get_parameter("weight")
        places = output.shape[2:].numel() if isinstance(module, nn.Conv2d) else 1
        total += places * weight.numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(add) for layer in layers]
    network(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    return total
