"""The gating net as tensors: its shape, its forward pass in NumPy, and its form in a file.

Linear(7E+3, 128), batch norm, ReLU, dropout, Linear(128, 64), batch norm, ReLU, dropout, Linear(64, E), named as
`torch.nn.Sequential` names them: `net.0` … `net.8`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from worker.combine.features import feature_count
from worker.combine.probabilities import log_softmax, logsumexp
from worker.combine.rows import Floats

WIDTHS = (128, 64)
"""Of the hidden layers."""

VARIANCE_EPSILON = 1e-5
"""Of batch norm, as PyTorch has it."""

BLOCK_ROWS = 4096

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class GateRows:
    """What the gating net needs of N rows.

    Attributes:
        inputs: [N, 7E+3] standardised features.
        log_probabilities: [N, E] log softmax(z_e / T_e) of each row's label.
        weights: [N], not negative, some positive.
    """

    inputs: Floats
    log_probabilities: Floats
    weights: Floats

    def nll(self, tensors: Tensors) -> float:
        """Compute the weighted NLL of a net in evaluation mode, in float64."""
        mixed = logsumexp(log_softmax(gate_scores(tensors, self.inputs)) + self.log_probabilities)
        return float(-(self.weights * mixed).sum() / self.weights.sum())


def expected_shapes(experts: int) -> dict[str, tuple[int, ...]]:
    """List the names and shapes of a net's tensors, counters of batches included."""
    first, second = WIDTHS
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, inputs, outputs in ((0, feature_count(experts), first), (4, first, second), (8, second, experts)):
        shapes |= {f"net.{layer}.weight": (outputs, inputs), f"net.{layer}.bias": (outputs,)}
    for layer, width in ((1, first), (5, second)):
        names = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"net.{layer}.{name}": (width,) for name in names}
        shapes[f"net.{layer}.num_batches_tracked"] = ()
    return shapes


def gate_scores(tensors: Tensors, inputs: Floats) -> Floats:
    """Apply the net in evaluation mode to standardised features.

    From [N, 7E+3] to scores [N, E] float64, whose softmax is g.
    """
    exact = {name: values.astype(np.float64) for name, values in tensors.items()}
    result = np.empty((len(inputs), len(exact["net.8.bias"])))
    for start in range(0, len(inputs), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        hidden = np.maximum(_normalise(exact, "net.1", _linear(exact, "net.0", inputs[part])), 0.0)
        hidden = np.maximum(_normalise(exact, "net.5", _linear(exact, "net.4", hidden)), 0.0)
        result[part] = _linear(exact, "net.8", hidden)
    return result


def _linear(tensors: Mapping[str, Floats], layer: str, values: Floats) -> Floats:
    """Apply a linear layer."""
    return values @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]


def _normalise(tensors: Mapping[str, Floats], layer: str, values: Floats) -> Floats:
    """Apply batch norm with its running statistics."""
    scale = tensors[f"{layer}.weight"] / np.sqrt(tensors[f"{layer}.running_var"] + VARIANCE_EPSILON)
    return (values - tensors[f"{layer}.running_mean"]) * scale + tensors[f"{layer}.bias"]


def encode_tensors(tensors: Tensors) -> str:
    """Write tensors as safetensors in base64; equal tensors give equal text."""
    data = safetensors.numpy.save({name: np.asarray(tensors[name], order="C") for name in sorted(tensors)})
    return base64.b64encode(data).decode("ascii")


def decode_tensors(text: str) -> dict[str, NDArray[Any]]:
    """Read what `encode_tensors` wrote."""
    return dict(safetensors.numpy.load(base64.b64decode(text, validate=True)))
