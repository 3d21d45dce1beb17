"""Accuracies, as fractions of 1.

a_c is the accuracy on the rows of class c, its recall; a class is *present* when at least one row is of it.
`app.catalog.long_tail` says which groups of classes there are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Compute top-1 accuracy: correct rows / N, 0…1.

    N ≥ 1. Source: the empirical 0-1 accuracy, as `sklearn.metrics.accuracy_score`.
    """
    return float(np.mean(predictions == labels, dtype=np.float64))


def top_k_accuracy(rank: NDArray[np.int64], k: int) -> float:
    """Compute top-k accuracy, 0…1: the share of rows with rank < k.

    `rank` is [N] from `score_rows`. Of equal logits the lower class comes first, so k = 1 is the accuracy of the
    first argmax. From C ≤ k on it is always 1 and says nothing; callers that know C show None then. Source:
    Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 2015, section 4.1 (there as an
    error, k = 5).
    """
    return float(np.mean(rank < k, dtype=np.float64))


def class_recalls(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Compute each class's accuracy: a_c = correct_c / total_c.

    [C] float64 fractions, NaN for a class without rows. Source: recall for each class, as
    `sklearn.metrics.recall_score(average=None)`.
    """
    totals = np.bincount(labels, minlength=classes)  # [C]
    correct = np.bincount(labels[predictions == labels], minlength=classes)  # [C]
    result = np.full(classes, np.nan)
    np.divide(correct, totals, out=result, where=totals > 0)
    return result


def balanced_accuracy(recalls: NDArray[np.float64]) -> float:
    """Average a_c over the classes present, 0…1.

    A class that is never right counts with its 0. At least one of the [C] recalls is not NaN. Source: Brodersen et
    al., "The balanced accuracy and its posterior distribution", ICPR 2010, for C classes, as
    `sklearn.metrics.balanced_accuracy_score`.
    """
    return float(np.nanmean(recalls))


def legacy_balanced_accuracy(recalls: NDArray[np.float64]) -> float:
    """Average a_c over the classes with a_c > 0.

    It is 0 when there is no such class. The balanced accuracy of the scripts that relogit replaces, in no paper, kept
    to compare with their figures. It flatters weak experts: a class that is never right is left out rather than
    counted as 0, so to lose one's last hit in a class can raise the figure. It is never below `balanced_accuracy`;
    report that one.
    """
    hit = recalls[recalls > 0]  # a comparison with NaN is False
    return float(hit.mean()) if hit.size else 0.0


def reweighted_accuracy(recalls: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    """Compute Σ_c w_c·a_c / Σ_c w_c over the classes present.

    A class without rows has no a_c: it is left out and the weights of the others are scaled up to sum 1. The [C]
    weights are finite, not negative, of any positive sum; None when the classes present have no weight at all.
    Source: total probability, P(right) = Σ_c P(c)·P(right | c), for a population with the class shares w_c.
    """
    present = ~np.isnan(recalls)
    largest = weights[present].max()
    if largest == 0:
        return None
    # Scaled by the largest first, so that the sum of huge weights cannot overflow.
    return float(np.average(recalls[present], weights=weights[present] / largest))


def group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], group: NDArray[np.bool_]
) -> float | None:
    """Compute a group's accuracy: Σ_{c∈G} correct_c / Σ_{c∈G} total_c.

    `group` is [C] bool, its classes. None when no row is of the group.
    """
    rows = group[labels]  # [N]
    return float(np.mean(predictions[rows] == labels[rows])) if rows.any() else None


def worst_group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], groups: Iterable[NDArray[np.bool_]]
) -> float | None:
    """Return the smallest `group_accuracy` of non-empty groups.

    None when no group has rows. Source: Sagawa et al., "Distributionally robust neural networks for group shifts",
    ICLR 2020.
    """
    accuracies = [group_accuracy(predictions, labels, group) for group in groups]
    return min((value for value in accuracies if value is not None), default=None)
