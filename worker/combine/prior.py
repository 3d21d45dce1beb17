"""Weights of rows for the prior that is wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.combining import Prior
from app.domain.errors import JobError
from worker.combine.rows import Floats


def log_prior(train_counts: NDArray[np.int64]) -> Floats:
    """Compute log π from the train counts n_c of the classes.

    [C] float64, finite: a class without samples counts as half a one. π = n/Σn, so exp of it sums to a little over 1
    then; a constant added to log π changes no combination.

    Raises:
        JobError: `train-counts-unknown` if all counts are 0.
    """
    total = train_counts.sum()
    if total <= 0:
        raise JobError("train-counts-unknown", "The train counts of the classes are all 0.")
    result: Floats = np.log(np.maximum(train_counts.astype(np.float64), 0.5)) - np.log(total)
    return result


def row_weights(labels: NDArray[np.int64], prior: Prior, train_counts: NDArray[np.int64] | None) -> Floats:
    """Weight rows so that their classes have the shares of a prior.

    `listed`: ones. `train`: w ∝ π_y / (the list's own share of y), as in importance weighting; rows of classes
    without train samples get 0.

    Args:
        labels: [N] with N ≥ 1, 0…C−1.
        prior: the prior that is wanted.
        train_counts: [C], not negative; None if they are unknown.

    Returns:
        [N] float64, not negative, mean 1.

    Raises:
        JobError: `train-counts-unknown`, `no-row-has-weight`.
    """
    if prior == "listed":
        return np.ones(len(labels))
    if train_counts is None:
        raise JobError(
            "train-counts-unknown", "The prior 'train' needs the train counts of the classes. Use 'listed'."
        )
    listed = np.bincount(labels, minlength=len(train_counts))
    weights = train_counts[labels] / listed[labels]
    total = weights.sum()
    if total == 0:
        raise JobError("no-row-has-weight", "No row of the list is of a class that has train samples.")
    result: Floats = weights * (len(labels) / total)
    return result


def effective_size(weights: Floats) -> float:
    """Compute n_eff = (Σw)² / Σw², 1…N, in rows.

    The unweighted rows that would estimate a mean as well. Source: Kish, "Survey sampling", 1965.
    """
    return float(weights.sum() ** 2 / (weights**2).sum())
