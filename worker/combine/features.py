"""What the gating net sees of the experts' probabilities."""

from __future__ import annotations

import numpy as np

from worker.combine.rows import Floats

TOP = 5
EPSILON = 1e-8
"""Added to probabilities before their logarithm."""


def feature_count(experts: int) -> int:
    """Count the features of E experts: 7E + 3."""
    return 7 * experts + 3


def gate_features(probabilities: Floats) -> Floats:
    """Compute the features of p [n, E, C], [n, 7E+3] float64.

    In blocks of E: entropy, mass of the top 5, 1 − that, max p, top 1 − top 2, cosine(p_e, p̄), KL(p_e ‖ p̄), with p̄
    the mean over experts. Then H(p̄), mean_c var_e p and std_e max p, both unbiased, which are 0 for one expert. With
    fewer than five classes the top 5 are all; with one class top 2 is 0. Logs in nats.
    """
    mean = probabilities.mean(axis=1, keepdims=True)  # [n, 1, C]
    logs, mean_logs = np.log(probabilities + EPSILON), np.log(mean + EPSILON)
    top = _largest(probabilities)  # [n, E, ≤5], falling
    mass = top.sum(axis=2)
    second = top[:, :, 1] if top.shape[2] > 1 else np.zeros_like(mass)
    lengths = np.sqrt((probabilities**2).sum(axis=2) * (mean**2).sum(axis=2))
    blocks = (
        -(probabilities * logs).sum(axis=2),
        mass,
        1 - mass,
        top[:, :, 0],
        top[:, :, 0] - second,
        (probabilities * mean).sum(axis=2) / lengths,
        (probabilities * (logs - mean_logs)).sum(axis=2),
        -(mean * mean_logs).sum(axis=2),
        _spread(probabilities)[:, None],
    )
    return np.concatenate([*blocks, np.sqrt(_spread(top[:, :, :1]))[:, None]], axis=1)


def _largest(probabilities: Floats) -> Floats:
    """Return the up to TOP largest of each p_e, falling."""
    count = min(TOP, probabilities.shape[2])
    largest = np.partition(probabilities, probabilities.shape[2] - count, axis=2)[:, :, -count:]
    return np.sort(largest, axis=2)[:, :, ::-1]


def _spread(values: Floats) -> Floats:
    """Average the unbiased variance over experts of [n, E, C]: [n]; 0 for one expert."""
    if values.shape[1] == 1:
        return np.zeros(len(values))
    result: Floats = values.var(axis=1, ddof=1).mean(axis=1)
    return result
