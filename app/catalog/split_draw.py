"""Draw the lists of a set of splits, row for row as the scripts before relogit drew them.

Those scripts used NumPy's global legacy generator, seeded anew before each part. `RandomState` is the same generator
without the global: its streams are frozen (NEP 19), so a seed gives the same lists with every release of NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.requests import Profile

Indices = NDArray[np.int64]


def class_counts(available: Indices, profile: Profile, imbalance: float) -> Indices:
    """Compute the class counts of a long-tailed train list.

    `exponential`: n_c = max(1, trunc(n·IF^(−c/(C−1)))), n being what every class has (the least of `available`).
    `step`: the first half of the classes keeps n, the second n/IF; of an odd number the middle one is common.
    Source: Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS 2019, whose
    CIFAR-LT is that of Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019.

    Args:
        available: [C] samples of each class in the base, each at least 1.
        profile: the shape.
        imbalance: IF ≥ 1, the largest count over the smallest, but for rounding.

    Returns:
        [C] int64, from the most common class to the rarest, each at least 1 and at most what its class has.
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


def draw_train(labels: Indices, counts: Indices, seed: int) -> Indices:
    """Draw n_c of each class's ascending indices, without replacement.

    From labels [N] and counts n_c, [C], each at most what its class has, with a seed in 0…2³²−1: [Σ n_c] int64, class
    after class, within each in the order drawn.
    """
    generator = np.random.RandomState(seed)
    drawn = [
        generator.choice(np.flatnonzero(labels == c), size=int(count), replace=False)
        for c, count in enumerate(counts)
    ]
    return np.concatenate(drawn).astype(np.int64)


def part_balanced(labels: Indices, classes: int, shares: Sequence[int], seed: int) -> list[Indices]:
    """Split every class of a base by `shares`.

    Each class's ascending indices are shuffled, then cut: of n samples the first p parts get ⌊n·(s_1+…+s_p)/Σs⌋, for
    shares such as (8, 1, 1). Each part is [n] int64, class after class. The seed is in 0…2³²−1.
    """
    generator = np.random.RandomState(seed)
    edges = np.cumsum(shares)
    parts: list[list[Indices]] = [[] for _ in shares]
    for c in range(classes):
        members = np.flatnonzero(labels == c)
        generator.shuffle(members)
        cuts = [len(members) * int(edge) // int(edges[-1]) for edge in edges[:-1]]
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return [np.concatenate(part).astype(np.int64) for part in parts]


def divide(train: Indices, labels: Indices, classes: int, share: float, seed: int) -> tuple[Indices, Indices]:
    """Divide the train list in two, class by class.

    The first gets int(n·share) of each class's n samples, shuffled, and the second the rest.

    From indices [n] into a base of labels [N]: two lists of int64, class after class. The seed is in 0…2³²−1.
    """
    generator = np.random.RandomState(seed)
    first, second = [], []
    for c in range(classes):
        members = train[labels[train] == c]
        generator.shuffle(members)
        cut = int(len(members) * share)
        first.append(members[:cut])
        second.append(members[cut:])
    return np.concatenate(first), np.concatenate(second)
