"""The accuracy on groups of classes; `app.catalog.long_tail` says which groups there are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], group: NDArray[np.bool_]
) -> float | None:
    """Compute the accuracy over a group's rows: Σ_{c∈G} correct_c / Σ_{c∈G} total_c.

    `group` is [C] bool, its classes. None when no row is of the group.
    """
    rows = group[labels]  # [N]
    return float(np.mean(predictions[rows] == labels[rows])) if rows.any() else None


def worst_group_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], groups: Iterable[NDArray[np.bool_]]
) -> float | None:
    """Return the smallest `group_accuracy` of the groups that have rows.

    None when no group has rows. Source: Sagawa et al., "Distributionally robust neural networks for group shifts",
    ICLR 2020.
    """
    accuracies = [group_accuracy(predictions, labels, group) for group in groups]
    return min((value for value in accuracies if value is not None), default=None)
