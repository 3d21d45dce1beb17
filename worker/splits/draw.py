"""Draws the lists of a set of splits, row for row as the scripts before relogit drew them.

They used NumPy's global legacy generator, seeded anew before each part. `RandomState` is the same generator without
the global: its streams are frozen (NEP 19), so a seed gives the same lists with every release of NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def draw_train(labels: Indices, counts: Indices, seed: int) -> Indices:
    """A long-tailed train list: for each class in order, n_c of its ascending indices, without replacement.

    Args:
        labels: [N] of the base.
        counts: [C] n_c, each at most what its class has.
        seed: 0…2³²−1.

    Returns:
        [Σ n_c] int64, class after class, within each in the order drawn.
    """
    generator = np.random.RandomState(seed)
    drawn = [
        generator.choice(np.flatnonzero(labels == c), size=int(count), replace=False)
        for c, count in enumerate(counts)
    ]
    return np.concatenate(drawn).astype(np.int64)


def part_balanced(labels: Indices, classes: int, shares: Sequence[int], seed: int) -> list[Indices]:
    """Parts of a base with equal shares of every class: each class's ascending indices are shuffled, then cut.

    Args:
        labels: [N] of the base.
        classes: C.
        shares: weights of the parts, such as (8, 1, 1); of n samples the first p parts
            get ⌊n·(s_1+…+s_p)/Σs⌋.
        seed: 0…2³²−1.

    Returns:
        For each part [n] int64, class after class.
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
    """The train list in two: of each class's n samples int(n·share), shuffled, and the rest.

    Args:
        train: [n] indices into the base.
        labels: [N] of the base.
        classes: C.
        share: of the first part, 0…1.
        seed: 0…2³²−1.

    Returns:
        Two lists of int64, class after class.
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
