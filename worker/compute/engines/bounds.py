"""Bounds on a network's values for any image, by interval arithmetic over its folded graph.

Pixels lie in [0, 1] before normalisation, so each layer's outputs have bounds that hold for every image (interval
bound propagation, Gowal et al., arXiv:1810.12715). For a trained ResNet-32 they stay below 1e24: no image can make it
overflow float32.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from torch import Tensor, fx, nn

from app.catalog.datasets import Transform

Interval = tuple[Tensor, Tensor]
"""[channels] float64 each: the least and the largest value of a channel, at any place of any image."""

KEEPING_MODULES = (nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Identity)
KEEPING_FUNCTIONS = (F.adaptive_avg_pool2d, torch.flatten, operator.getitem)
"""Modules and functions whose output stays in the interval of their input."""


def largest_value(folded: fx.GraphModule, transform: Transform) -> float:
    """Bound every absolute value in a network, partial sums included.

    Args:
        folded: the result of `worker.compute.engines.folding.fold`.
        transform: how the pixels are normalised.

    Returns:
        The bound; infinity if the graph holds an operation without a rule.
    """
    bounds = _Bounds(folded, transform)
    try:
        bounds.run(None, enable_io_processing=False)
    except _UnknownOperation:
        return math.inf
    return math.inf if math.isnan(bounds.largest) else bounds.largest


class _UnknownOperation(Exception):
    pass


class _Bounds(fx.Interpreter):
    """Runs the graph on intervals in place of tensors."""

    def __init__(self, folded: fx.GraphModule, transform: Transform) -> None:
        super().__init__(folded)
        self._transform = transform
        self.largest = 0.0

    def placeholder(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:  # noqa: ARG002
        """Return the interval of normalised pixels."""
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (self._transform.mean, self._transform.std))
        return self._noted(-mean / std, (1 - mean) / std)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
        """Return the interval of a module's output."""
        module = self.fetch_attr(target)
        low, high = args[0]
        if isinstance(module, nn.Conv2d) and module.groups == 1 and not kwargs:
            # Padding adds zeros.
            return self._product(module, low.clamp(max=0), high.clamp(min=0), (2, 3))
        if isinstance(module, nn.Linear) and not kwargs:
            return self._product(module, low, high, ())
        if isinstance(module, nn.ReLU):
            return low.clamp(min=0), high.clamp(min=0)
        if isinstance(module, KEEPING_MODULES):
            # Pools may be padded with zeros.
            return low.clamp(max=0), high.clamp(min=0)
        raise _UnknownOperation

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
        """Return the interval of a function's output."""
        if target is operator.add and not kwargs and all(isinstance(arg, tuple) for arg in args):
            (a, b), (c, d) = args
            return self._noted(a + c, b + d)
        if target is operator.add or not isinstance(args[0], tuple):
            raise _UnknownOperation
        low, high = args[0]
        if target is F.relu:
            return low.clamp(min=0), high.clamp(min=0)
        if target is F.pad and len(args[1]) == 6:  # pairs from the last dimension on: W, H, then channels
            low, high = low.clamp(max=0), high.clamp(min=0)
            return F.pad(low, args[1][4:]), F.pad(high, args[1][4:])
        if target in KEEPING_FUNCTIONS:
            return low, high
        raise _UnknownOperation

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:  # noqa: ARG002
        """Refuse: no network here calls methods of tensors."""
        raise _UnknownOperation

    def _product(self, module: nn.Conv2d | nn.Linear, low: Tensor, high: Tensor, kernel: tuple[int, ...]) -> Interval:
        weight = module.weight.detach().double()
        above, below = weight.clamp(min=0), weight.clamp(max=0)
        if kernel:
            above, below = above.sum(kernel), below.sum(kernel)  # [out, in] each
        bias = torch.zeros(len(weight)) if module.bias is None else module.bias.detach()
        # In any order of summation, no partial sum exceeds the sum of absolute products.
        partial = (above - below) @ torch.maximum(low.abs(), high.abs()) + bias.double().abs()
        self._noted(-partial, partial)
        return above @ low + below @ high + bias, above @ high + below @ low + bias

    def _noted(self, low: Tensor, high: Tensor) -> Interval:
        self.largest = max(self.largest, float(torch.maximum(low.abs(), high.abs()).max()))
        return low, high
