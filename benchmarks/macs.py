"""How much arithmetic a forward pass is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def count_macs(network: nn.Module, size: int) -> int:
    """Multiply-adds of one image through the convolutions and the head, computed directly.

    Zeros at the edges count as well; batch norm, ReLU and pooling do not, being folded away or next to nothing.

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
