"""The figures of one split: how good the predictions are, as fractions of 1 in float64.

Every function takes predictions and labels that the checks have already passed: int64 [N], N ≥ 1, labels in
0…C−1. `a_c` is the accuracy on the rows of class c (its recall); a class is *present* when the split has at
least one row of it. A figure that has no meaning on the rows at hand is None, never 0 and never NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEAD_THRESHOLD = 20  # train samples; a class with more is head, any other is tail


def accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Top-1 accuracy: rows whose prediction is the label / N.

    Args:
        predictions: [N] class of each row.
        labels: [N] true class of each row.

    Returns:
        A fraction, 0…1. Source: the empirical 0-1 accuracy, as `sklearn.metrics.accuracy_score`.
    """
    return float(np.mean(predictions == labels, dtype=np.float64))


def class_accuracies(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Accuracy on each class: a_c = correct_c / total_c.

    Args:
        predictions: [N] class of each row.
        labels: [N] true class of each row, 0…classes−1.
        classes: C.

    Returns:
        [C] float64 fractions, NaN for a class without rows. Source: recall for each class, as
        `sklearn.metrics.recall_score(average=None)`.
    """
    totals = np.bincount(labels, minlength=classes)  # [C]
    correct = np.bincount(labels[predictions == labels], minlength=classes)  # [C]
    result = np.full(classes, np.nan)
    np.divide(correct, totals, out=result, where=totals > 0)
    return result


def balanced_accuracy(accuracies: NDArray[np.float64]) -> float:
    """Mean of a_c over the classes present; a class that is never right counts with its 0.

    Args:
        accuracies: [C] from `class_accuracies`, at least one of them not NaN.

    Returns:
        A fraction, 0…1. Source: Brodersen et al., "The balanced accuracy and its posterior distribution",
        ICPR 2010, for C classes, as `sklearn.metrics.balanced_accuracy_score`.
    """
    return float(np.nanmean(accuracies))


def reweighted_accuracy(accuracies: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    """Σ_c w_c·a_c / Σ_c w_c, both sums over the classes present.

    A class without rows has no a_c: it is left out and the weights of the others are scaled up to sum 1. With
    every class present and weights of sum 1 this is the plain Σ_c w_c·a_c.

    Args:
        accuracies: [C] from `class_accuracies`, at least one of them not NaN.
        weights: [C] finite, not negative; any positive sum.

    Returns:
        A fraction, 0…1, or None when the classes present have no weight at all. Source: total probability,
        P(right) = Σ_c P(c)·P(right | c), for a population with the class shares w_c.
    """
    present = ~np.isnan(accuracies)
    largest = weights[present].max()
    if largest == 0:
        return None
    # Scaled by the largest first, so that the sum of huge weights cannot overflow.
    return float(np.average(accuracies[present], weights=weights[present] / largest))


def head_classes(train_counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which classes are head: n_c > HEAD_THRESHOLD. All others are tail.

    Args:
        train_counts: [C] samples of each class in the train split, n_c.

    Returns:
        [C] bool. Source: the few-shot cut of Liu et al., "Large-scale long-tailed recognition in an open
        world", CVPR 2019: few is below 20 there; here exactly 20 is tail as well.
    """
    return train_counts > HEAD_THRESHOLD


def group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], group: NDArray[np.bool_]
) -> float | None:
    """Plain accuracy over the rows whose label is in the group: Σ_{c∈G} correct_c / Σ_{c∈G} total_c.

    Args:
        predictions: [N] class of each row.
        labels: [N] true class of each row, 0…C−1.
        group: [C] bool, the classes of the group.

    Returns:
        A fraction, 0…1, or None when no row is of the group. Source: as `accuracy`, on those rows.
    """
    rows = group[labels]  # [N]
    return accuracy(predictions[rows], labels[rows]) if rows.any() else None
