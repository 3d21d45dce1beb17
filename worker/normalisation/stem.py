"""The first convolution of a network and the running statistics of the batch norm after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from worker.normalisation.augmentations import Floats

MIN_CHANNELS = 8
"""Least number of live output channels, which have to determine six unknowns."""

DEAD_VARIANCE = 1e-8
"""Share of the median running variance below which a channel is dead and its statistics are rounding errors."""

UNTOUCHED = 1e-4
"""Largest distance from mean 0 and variance 1 of running statistics that were never collected or were folded away."""


@dataclass(frozen=True, eq=False)
class Stem:
    """A 3x3 convolution of stride 1 and padding 1, with running statistics.

    `weight` is [O, 3, 3, 3] float64, live channels only; `bias`, and `mean` and `variance` of its output in training,
    are [O] float64.
    """

    weight: Floats
    bias: Floats
    mean: Floats
    variance: Floats


def stem_of(network: nn.Module) -> Stem | str:
    """Return the stem of `conv1` and `bn1`, or why not."""
    modules = dict(network.named_children())
    convolution, norm = modules.get("conv1"), modules.get("bn1")
    if not isinstance(convolution, nn.Conv2d):
        return "The network has no convolution called conv1."
    if not isinstance(norm, nn.BatchNorm2d):
        return "The network has no batch norm called bn1 after its first convolution; it may have been folded."
    geometry = _geometry_problem(convolution)
    if geometry:
        return geometry
    if norm.running_mean is None or norm.running_var is None:
        return "The first batch norm keeps no running statistics."
    if norm.num_features != convolution.out_channels:
        return f"The first batch norm has {norm.num_features} channels, the convolution {convolution.out_channels}."
    weight = _floats(convolution.weight)
    bias = np.zeros(len(weight)) if convolution.bias is None else _floats(convolution.bias)
    return _checked(Stem(weight, bias, _floats(norm.running_mean), _floats(norm.running_var)))


def _geometry_problem(convolution: nn.Conv2d) -> str:
    measured = convolution.in_channels == 3 and convolution.groups == 1 and convolution.padding_mode == "zeros"
    shape = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
    if measured and shape == ((3, 3), (1, 1), (1, 1), (1, 1)):
        return ""
    height, width = convolution.kernel_size
    return (
        f"The first convolution is {height}x{width} with stride {convolution.stride[0]} over "
        f"{convolution.in_channels} channels; the rule was measured for 3x3, stride 1, zero padding 1 and 3 channels."
    )


def _checked(stem: Stem) -> Stem | str:
    """Return a stem's live channels, or why it is unusable."""
    arrays = (stem.weight, stem.bias, stem.mean, stem.variance)
    if not all(np.isfinite(array).all() for array in arrays) or (stem.variance < 0).any():
        return "The first layer holds numbers that are not finite, or negative variances."
    if np.abs(stem.mean).max() < UNTOUCHED and np.abs(stem.variance - 1).max() < UNTOUCHED:
        return "The first batch norm's running statistics are 0 and 1: never collected, or folded away."
    floor = DEAD_VARIANCE * np.median(stem.variance)
    live = (stem.variance > floor) & (np.abs(stem.weight).max(axis=(1, 2, 3)) > 0)
    if live.sum() < MIN_CHANNELS:
        return f"Only {live.sum()} channels of the first layer are alive; {MIN_CHANNELS} are needed."
    return Stem(*(array[live] for array in arrays))


def _floats(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().double().numpy()
