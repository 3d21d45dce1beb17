"""How many training samples each class of a long-tailed split keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.requests import Profile


def class_counts(available: NDArray[np.int64], profile: Profile, imbalance: float) -> NDArray[np.int64]:
    """Samples of each class, from the most common to the rarest in class order.

    `exponential`: n_c = max(1, trunc(n·IF^(−c/(C−1)))), n being what every class has (the least of `available`).
    `step`: the first half of the classes keeps n, the second n/IF; of an odd number the middle one is common.
    Source: Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS 2019, whose
    CIFAR-LT is that of Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019.

    Args:
        available: [C] samples of each class in the base, each at least 1.
        profile: the shape.
        imbalance: IF ≥ 1, the largest count over the smallest, but for rounding.

    Returns:
        [C] int64, each at least 1 and at most what its class has.
    """
    classes, most = len(available), int(available.min())
    if profile == "step":
        rare = np.arange(classes) >= (classes + 1) // 2
        counts = np.where(rare, max(1, int(most / imbalance)), most)
    else:
        # Python's floats: NumPy's vectorised power may differ in the last bit, and truncation shows it.
        last = max(classes - 1, 1)
        counts = np.asarray([max(1, int(most * imbalance ** (-c / last))) for c in range(classes)])
    return counts.astype(np.int64)
