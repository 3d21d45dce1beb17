"""How a list is spread over the classes: groups of classes, and whether it is balanced."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Balance = Literal["balanced", "long-tailed"]

MANY_ABOVE, FEW_BELOW = 100, 20  # train samples; medium is what lies between, both bounds included
LONG_TAIL_FACTOR = 2.0
"""Least imbalance factor, max n_c / min n_c, of a long tail; MNIST has 1.24 and is not long-tailed."""
CHANCE_DEVIATIONS = 5.0
"""Standard deviations by which the dispersion of a random draw from equal classes may exceed its mean."""


def class_groups(train_counts: NDArray[np.int64], head_threshold: int) -> dict[str, NDArray[np.bool_]]:
    """Group the classes by their number of train samples.

    From n_c, [C] train samples: [C] bool for `head` (n_c > threshold), `tail` (the rest), `many` (n_c > 100),
    `medium` (20 ≤ n_c ≤ 100) and `few` (n_c < 20). A class of exactly 20 samples is medium, not few, and with the
    threshold 20 tail. Sources: of head and tail the scripts that relogit replaces, after Narasimhan et al., "Learning
    to reject meets long-tail learning", ICLR 2024; of the others Liu et al., "Large-scale long-tailed recognition in
    an open world", CVPR 2019.
    """
    head = train_counts > head_threshold
    many, few = train_counts > MANY_ABOVE, train_counts < FEW_BELOW
    return {"head": head, "tail": ~head, "many": many, "medium": ~(many | few), "few": few}


def balance_of(counts: NDArray[np.int64]) -> Balance | None:
    """Classify a list's balance by its class counts, [C].

    `balanced`: the counts n_c of all classes are equal, ±1. `long-tailed`: among the classes present the imbalance
    factor max n_c / min n_c is 2 or more, and the index of dispersion Σ (n_c − n̄)² / n̄ exceeds its mean under a
    random draw from equal classes by five standard deviations. Under such a draw the index follows about χ² with
    C − 1 degrees of freedom: mean C − 1, standard deviation √(2(C − 1)). None where the list is neither, as a few
    rows drawn at random from a balanced base are, however large their factor.
    """
    present = counts[counts > 0]
    most = int(present.max())
    if most - int(counts.min()) <= 1:
        return "balanced"
    if most / int(present.min()) >= LONG_TAIL_FACTOR and _beyond_chance(present):
        return "long-tailed"
    return None


def _beyond_chance(counts: NDArray[np.int64]) -> bool:
    freedom = counts.size - 1
    mean = counts.mean()
    dispersion = float(((counts - mean) ** 2).sum() / mean)
    return dispersion > freedom + CHANCE_DEVIATIONS * float(np.sqrt(2 * freedom))
