"""Softmax and its sums in log space, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.combine.rows import ExpertRows, Floats

MAX_NLL = 1e300
"""In nats; only float64 logits further apart than this reach it, and sums of it stay finite."""


def logsumexp(values: Floats, axis: int = -1) -> Floats:
    """Compute log Σ exp(values) along an axis.

    Entries may be −inf; where all of them are, so is the sum.
    """
    largest = values.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore", over="ignore"):  # log 0 is −inf; float64 logits may differ by more than a float
        total = np.log(np.exp(values - shift).sum(axis=axis, keepdims=True))
    result: Floats = (total + shift).squeeze(axis)
    return result


def log_softmax(logits: NDArray[np.floating[Any]]) -> Floats:
    """Compute log softmax over the last axis, float64, from finite logits."""
    values = logits.astype(np.float64)
    with np.errstate(over="ignore"):
        values -= values.max(axis=-1, keepdims=True)
    values -= np.log(np.exp(values).sum(axis=-1, keepdims=True))
    return values


def label_log_probabilities(rows: ExpertRows, temperatures: tuple[float, ...]) -> Floats:
    """Compute log softmax(z_e / T_e) of each row's label, [N, E] float64, finite."""
    result = np.empty((len(rows.labels), rows.experts))
    scale = np.asarray(temperatures)[:, None]  # [E, 1]
    for part, logits in rows.blocks():
        logits /= scale
        own = rows.labels[part, None, None]  # [n, 1, 1]
        with np.errstate(over="ignore"):
            logits -= np.take_along_axis(logits, own, axis=2)  # z_c − z_y
        result[part] = -logsumexp(logits)
    return np.maximum(result, -MAX_NLL)
