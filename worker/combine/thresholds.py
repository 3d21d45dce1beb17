"""Thresholds of scores that accept a wanted share of the rows' weight."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from worker.combine.rows import Floats

LOWEST_SCORE = -sys.float_info.max
"""The threshold that accepts every finite score. Infinity would do, but JSON has none."""

TOLERANCE = 1e-10
"""Relative slack of sums of weights, acceptance and error: far above their rounding, far below a row's weight.

0.55·100 is 55.00000000000001 in float64, and yet 55 of 100 rows are a coverage of 0.55."""


def threshold_at(score: Floats, weights: Floats, coverage: float) -> float:
    """Find the largest threshold that accepts a share of the weight.

    Rows with score ≥ threshold are accepted, so tied rows go together.

    Args:
        score: [N] finite, N at least 1.
        weights: [N] not negative, sum above 0.
        coverage: κ, above 0, at most 1.

    Returns:
        A score of the rows whose accepted weight is at least κ·Σw, up to `TOLERANCE`; `LOWEST_SCORE`, about
        −1.8e308, for κ = 1, which accepts all rows, future ones included.
    """
    return float(thresholds_at(score[None], weights, (coverage,))[0, 0])


def thresholds_at(scores: Floats, weights: Floats, coverages: Sequence[float]) -> Floats:
    """Find the thresholds of several scores [R, N] at several coverages: [R, κ].

    As `threshold_at`, for each of them.

    Raises:
        ValueError: a coverage outside 0 < κ ≤ 1, or no row.
    """
    if not scores.shape[1] or not all(0 < coverage <= 1 for coverage in coverages):
        raise ValueError("A threshold needs rows, and coverages above 0, at most 1.")
    thresholds = np.full((len(scores), len(coverages)), LOWEST_SCORE)
    partial = [index for index, coverage in enumerate(coverages) if coverage < 1]
    if partial:
        shares = np.array([coverages[index] for index in partial]) * (1 - TOLERANCE)
        find = _equal_weights if weights.min() == weights.max() else _any_weights
        thresholds[:, partial] = find(scores, weights, shares)
    return thresholds


def _equal_weights(scores: Floats, weights: Floats, shares: Floats) -> Floats:
    """Count rows in place of summing weights: a partition is quicker than a full sort."""
    rows = len(weights)
    positions = rows - np.maximum(np.ceil(shares * rows).astype(np.int64), 1)
    if len(positions) > 3:
        return np.sort(scores, axis=1)[:, positions]
    return np.partition(scores, np.unique(positions), axis=1)[:, positions]


def _any_weights(scores: Floats, weights: Floats, shares: Floats) -> Floats:
    """Sum the weights from the highest score down."""
    thresholds = np.empty((len(scores), len(shares)))
    for index, score in enumerate(scores):
        order = np.argsort(score)[::-1]
        accepted = np.cumsum(weights[order])
        first = np.searchsorted(accepted, shares * accepted[-1])
        thresholds[index] = score[order[first]]
    return thresholds
