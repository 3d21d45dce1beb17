"""Accuracy under the shifted test priors of the literature, from class recalls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.result_figures import Direction, ShiftedAccuracy, ShiftedPriors
from worker.verify.metrics.accuracy import reweighted_accuracy

RATIOS = (50, 25, 10, 5, 2)
SHIFTS: tuple[tuple[str, Direction, int], ...] = (
    *((f"Forward-{ratio}", "forward", ratio) for ratio in RATIOS),
    ("Uniform", "uniform", 1),
    *((f"Backward-{ratio}", "backward", ratio) for ratio in reversed(RATIOS)),
)


def shifted_prior(train_counts: NDArray[np.int64], direction: Direction, ratio: float) -> NDArray[np.float64]:
    """Return the class shares of a shifted test set, [C] of sum 1.

    π_c ∝ ratio^(−r_c/(C−1)), where r_c = 0…C−1 is the class's rank by falling train count, for `backward` by rising
    count. Classes with equal train counts are ranked by their number, so `backward` is `forward` in reverse. Source:
    Hong et al., "Disentangling label distribution for long-tailed visual recognition" (LADE), CVPR 2021, section 4.3;
    also in Zhang et al., "Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition"
    (SADE), NeurIPS 2022.
    """
    classes = len(train_counts)
    rank = np.empty(classes)
    rank[np.argsort(-train_counts, kind="stable")] = np.arange(classes)
    if direction == "backward":
        rank = classes - 1 - rank
    shares = float(ratio) ** (-rank / max(classes - 1, 1))
    prior: NDArray[np.float64] = shares / shares.sum()
    return prior


def shifted_accuracies(recalls: NDArray[np.float64], train_counts: NDArray[np.int64]) -> ShiftedPriors:
    """Compute the accuracy under each of SHIFTS: Σ_c π_c·a_c / Σ_c π_c over the classes present.

    `recalls` are [C], NaN for a class without rows: such classes are left out, and the prior of the others is scaled
    up to sum 1. It is exact, by total probability, where the rows of each class are like those of the other test set.
    """
    present = ~np.isnan(recalls)
    accuracies = []
    for name, direction, ratio in SHIFTS:
        prior = shifted_prior(train_counts, direction, ratio)
        accuracy = reweighted_accuracy(recalls, prior)
        assert accuracy is not None  # some class is present, and each has a share above 0
        covered = 1.0 if present.all() else float(prior[present].sum())
        accuracies.append(ShiftedAccuracy(name, direction, ratio, accuracy, covered))
    return ShiftedPriors(accuracies, int(np.count_nonzero(~present)))
