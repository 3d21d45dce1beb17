"""Conversion of a folded network to an OpenVINO model, operation by operation."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from torch import Tensor, fx, nn

from app.domain.errors import JobError

Node = Any  # OpenVINO declares no types


def build_model(folded: fx.GraphModule, batch: int, image: tuple[int, int, int]) -> Any:
    """Convert a network to an `openvino.Model`.

    Args:
        folded: the result of `worker.compute.engines.overflow.expose_overflow`, float32, on the CPU.
        batch: images per batch.
        image: H, W, 3 of each image.

    Returns:
        A model of [batch, H, W, 3] float32 normalised pixels to [batch, C] float32 logits. Channels come last, as in
        the pixels' memory and in OpenVINO's convolutions, so the transposition takes no time.

    Raises:
        JobError: `operation-unknown`, naming the operation that has no translation.
    """
    import openvino

    builder = ModelBuilder(folded)
    images = builder.ops.parameter([batch, *image], openvino.Type.f32)
    pixels = builder.ops.transpose(images, np.array([0, 3, 1, 2]))  # [batch, 3, H, W]
    logits = builder.run(pixels, enable_io_processing=False)
    return openvino.Model([builder.ops.result(logits)], [images], "expert")


class ModelBuilder(fx.Interpreter):
    """Runs the graph with OpenVINO's nodes in place of tensors."""

    def __init__(self, folded: fx.GraphModule) -> None:
        super().__init__(folded)
        from openvino import opset13

        self.ops = opset13

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
        """Return the OpenVINO node of a module's call."""
        module = self.fetch_attr(target)
        match module:
            case nn.Conv2d(padding_mode="zeros", padding=(_, _)):
                return self._convolution(module, *args, **kwargs)
            case nn.Linear():
                return self._linear(module, *args, **kwargs)
            case nn.ReLU():
                return self.ops.relu(*args, **kwargs)
            case nn.MaxPool2d(ceil_mode=False, return_indices=False):
                return self._max_pool(module, *args, **kwargs)
            case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
                return self._mean(*args, **kwargs)
            case nn.Identity():
                return args[0]
        raise _unknown(f"{module} ({target})")

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
        """Return the OpenVINO node of a function's call."""
        if target is operator.add and not kwargs:
            return self.ops.add(*args)
        if target is F.relu:
            return self.ops.relu(args[0])
        if target is F.leaky_relu and args[1:] == (0.0,) and not kwargs:
            return self._leaky(args[0])
        if target is F.adaptive_avg_pool2d and args[1:] in ((1,), ((1, 1),)):
            return self._mean(args[0])
        if target is torch.flatten and args[1:] == (1,):
            return self.ops.reshape(args[0], np.array([0, -1]), special_zero=True)  # 0 keeps the dimension
        if target is F.pad and kwargs in ({}, {"mode": "constant", "value": None}):
            return self._pad(*args)
        if target is operator.getitem and _every_nth(args[1]):
            return self._subsample(*args)
        raise _unknown(f"{getattr(target, '__name__', target)}{(*args[1:], *kwargs.items())}")

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
        """Refuse: no supported network calls methods of tensors."""
        raise _unknown(f"Tensor.{target}{(*args[1:], *kwargs.items())}")

    def _convolution(self, module: nn.Conv2d, x: Node) -> Node:
        weight = _array(module.weight)  # [out, in / groups, kh, kw]
        strides, padding, dilations = list(module.stride), list(module.padding), list(module.dilation)
        convolution = self.ops.convolution
        if module.groups > 1:
            weight = weight.reshape(module.groups, -1, *weight.shape[1:])  # [groups, out / groups, in / groups, …]
            convolution = self.ops.group_convolution
        out = convolution(x, weight, strides, padding, padding, dilations)
        return out if module.bias is None else self.ops.add(out, _array(module.bias)[None, :, None, None])

    def _linear(self, module: nn.Linear, x: Node) -> Node:
        out = self.ops.matmul(x, _array(module.weight), transpose_a=False, transpose_b=True)
        return out if module.bias is None else self.ops.add(out, _array(module.bias))

    def _max_pool(self, module: nn.MaxPool2d, x: Node) -> Node:
        kernel, strides, padding, dilations = (
            [value, value] if isinstance(value, int) else list(value)
            for value in (module.kernel_size, module.stride, module.padding, module.dilation)
        )
        return self.ops.max_pool(x, strides, dilations, padding, padding, kernel).output(
            0
        )  # output 1 holds the indices

    def _leaky(self, x: Node) -> Node:
        """Add a leaky ReLU of slope 0, which propagates NaN.

        It turns -inf into NaN as well.
        """
        # OpenVINO simplifies a single slope of 0 to max(0, x), so each channel gets its own. A single channel gets
        # the smallest positive number, whose product with any float32 is below 1e-6.
        channels = x.shape[1]
        slopes = np.zeros(channels, np.float32) if channels > 1 else np.array([2.0**-149], np.float32)
        return self.ops.prelu(x, slopes)

    def _mean(self, x: Node) -> Node:
        return self.ops.reduce_mean(x, np.array([2, 3]), keep_dims=True)

    def _pad(self, x: Node, widths: tuple[int, ...]) -> Node:
        # PyTorch counts pairs from the last dimension, OpenVINO all begins and all ends from the first.
        pairs = [(0, 0)] * (4 - len(widths) // 2) + list(zip(widths[::2], widths[1::2], strict=True))[::-1]
        begins, ends = np.array(pairs).T
        return self.ops.pad(x, begins, ends, "constant", np.float32(0))

    def _subsample(self, x: Node, index: tuple[slice, ...]) -> Node:
        steps = np.array([part.step or 1 for part in index])
        return self.ops.slice(x, np.zeros_like(steps), np.array(x.output(0).shape), steps)


def _every_nth(index: object) -> bool:
    """Tell whether an index is [::a, ::b, ::c, ::d]."""
    return (
        isinstance(index, tuple)
        and len(index) == 4
        and all(isinstance(part, slice) and part.start is None and part.stop is None for part in index)
    )


def _array(parameter: Tensor) -> Any:
    return parameter.detach().numpy()


def _unknown(what: str) -> JobError:
    return JobError(
        "operation-unknown",
        f"The OpenVINO engine does not know {what}. RELOGIT_ENGINE=torch computes every network.",
        operation=what,
    )
