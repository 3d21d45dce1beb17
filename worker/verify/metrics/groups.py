"""Groups of classes by their train counts, and the accuracy on them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

MANY_ABOVE, FEW_BELOW = 100, 20  # train samples; medium is what lies between, both bounds included


def class_groups(train_counts: NDArray[np.int64], head_threshold: int) -> dict[str, NDArray[np.bool_]]:
    """Group classes by train counts: head and tail; many, medium and few.

    Args:
        train_counts: [C] samples of each class in the train split, n_c.
        head_threshold: a class with more train samples is head.

    Returns:
        [C] bool for `head` (n_c > threshold), `tail` (the rest), `many` (n_c > 100), `medium` (20 ≤ n_c ≤ 100)
        and `few` (n_c < 20). A class of exactly 20 samples is medium, not few, and with the threshold 20 tail.
        Sources: of head and tail the scripts that relogit replaces, after Narasimhan et al., "Learning to reject
        meets long-tail learning", ICLR 2024; of the others Liu et al., "Large-scale long-tailed recognition in an
        open world", CVPR 2019.
    """
    head = train_counts > head_threshold
    many, few = train_counts > MANY_ABOVE, train_counts < FEW_BELOW
    return {"head": head, "tail": ~head, "many": many, "medium": ~(many | few), "few": few}


def group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], group: NDArray[np.bool_]
) -> float | None:
    """Compute the accuracy over a group's rows: Σ_{c∈G} correct_c / Σ_{c∈G} total_c.

    Args:
        predictions: [N] class of each row.
        labels: [N] true class of each row, 0…C−1.
        group: [C] bool, the classes of the group.

    Returns:
        A fraction, 0…1, or None when no row is of the group. Source: as `accuracy`, on those rows.
    """
    rows = group[labels]  # [N]
    return float(np.mean(predictions[rows] == labels[rows])) if rows.any() else None


def worst_group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], groups: Iterable[NDArray[np.bool_]]
) -> float | None:
    """Return the smallest `group_accuracy` of the groups that have rows.

    Args:
        predictions: [N] class of each row.
        labels: [N] true class of each row, 0…C−1.
        groups: [C] bool each.

    Returns:
        A fraction, 0…1, or None when no group has rows. Source: Sagawa et al., "Distributionally robust neural
        networks for group shifts", ICLR 2020.
    """
    accuracies = [group_accuracy(predictions, labels, group) for group in groups]
    return min((value for value in accuracies if value is not None), default=None)
