"""Samples of the same rows: the list itself, and its bootstrap resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.combine.evaluation.method_rows import EvaluatedRows
from worker.combine.rows import Floats

HELD_COUNTS = 2**26
"""Counts held at a time, a byte each: 1,000 resamples of 67,000 rows."""
BLOCK_VALUES = 2**18
"""Counts worked on at a time: 2 MiB in float64."""


@dataclass(frozen=True, eq=False)
class Samples:
    """B samples of N rows.

    Attributes:
        counts: [B, N], how often each row was drawn; float64 in a block, whole numbers.
        rows: [B] float64, the rows drawn, at least 1.
        group_mass: [B, K] float64, the weight drawn of each group.
        class_mass: [B, P] float64, the weight drawn of each class that has rows.
    """

    counts: NDArray[Any]
    rows: Floats
    group_mass: Floats
    class_mass: Floats

    @classmethod
    def of(cls, counts: NDArray[Any], rows: EvaluatedRows, check: Callable[[], None] = lambda: None) -> Samples:
        """Add the masses of counts [B, N]; `check` may raise to stop."""
        by_group = rows.by_group(rows.weights)
        size, groups, classes = len(counts), len(rows.group_names), len(rows.class_starts)
        result = cls(counts, np.zeros(size), np.zeros((size, groups)), np.zeros((size, classes)))
        for part in _blocks(size, counts.shape[1]):
            check()
            block = counts[part].astype(np.float64)
            result.rows[part] = block.sum(axis=1)
            result.group_mass[part] = block @ by_group
            block *= rows.weights
            np.add.reduceat(block, rows.class_starts, axis=1, out=result.class_mass[part])
        return result

    @property
    def mass(self) -> Floats:
        """The weight drawn, [B]."""
        total: Floats = self.group_mass.sum(axis=1)
        return total

    def blocks(self) -> Iterator[Samples]:
        """Yield a few samples at a time, with counts in float64."""
        for part in _blocks(*self.counts.shape):
            yield Samples(
                self.counts[part].astype(np.float64), self.rows[part], self.group_mass[part], self.class_mass[part]
            )


def whole(rows: EvaluatedRows) -> Samples:
    """Return the list itself as a single sample."""
    return Samples.of(np.ones((1, len(rows.labels))), rows)


def resampled(
    rows: EvaluatedRows, resamples: int, seed: int, check: Callable[[], None] = lambda: None
) -> Iterator[Samples]:
    """Yield the bootstrap's resamples, many at a time; `check` may raise to stop.

    Each draws, with replacement, as many images of every class as the class has; rows that repeat an image come and
    go together. Source: Efron & Tibshirani, "An introduction to the bootstrap", 1993, 8.3 (strata).
    """
    first = np.flatnonzero(np.diff(rows.units, prepend=-1))  # [U], a row of each unit
    units = len(first)
    sizes = np.unique(rows.labels[first], return_counts=True)[1]  # by class
    starts = np.repeat(sizes.cumsum() - sizes, sizes)  # [U], the first unit of each one's class
    sizes = np.repeat(sizes, sizes)
    random = np.random.default_rng(seed)
    for held in _blocks(resamples, len(rows.units), HELD_COUNTS):
        # A byte is enough: a row of n is drawn 256 times in n draws with a probability below 10^-500.
        counts = np.empty((held.stop - held.start, len(rows.units)), dtype=np.uint8)
        for part in _blocks(len(counts), units):
            check()
            # A number below 1 times n, rounded down, is below n; it favours no unit by more than n/2^53.
            drawn = (random.random((part.stop - part.start, units)) * sizes).astype(np.int64) + starts
            drawn += np.arange(len(drawn))[:, None] * units
            drawn_counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            counts[part] = drawn_counts if units == len(rows.units) else drawn_counts[:, rows.units]
        yield Samples.of(counts, rows, check)


def _blocks(size: int, width: int, values: int = BLOCK_VALUES) -> Iterator[slice]:
    step = max(1, values // width)
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))
