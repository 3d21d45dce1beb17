"""Rows in order of falling score, and what is accepted at a coverage.

Rows of equal score (as float64) are accepted in random order, and what is accepted is the expectation over these
orders: a border inside a tie group accepts the same share of each of its rows. A row that counts several times, or
with a weight, is accepted in part as well, so every coverage is met exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.combine.evaluation.method_rows import Ints
from worker.combine.rows import Floats

TOLERANCE = 1e-9
"""Share of all weight within which a coverage meets the end of a tie group, in spite of rounding."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """N rows by falling score, in G groups of equals.

    Attributes:
        order: [N] int64, rows.
        starts: [G+1] int64, places in that order where a tie group begins; the last is N.
        tie_group: [N] int64 in that order, rising from 0.
        marks: [2K, N] float64 in that order: the weight of each group's rows, then that of its wrong rows.
    """

    order: Ints
    starts: Ints
    tie_group: Ints
    marks: Floats

    @classmethod
    def of(cls, score: Floats, marks: Floats) -> Ranking:
        """Rank rows by `score` [N]; `marks` [2K, N] are in the rows' order."""
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        begins = np.concatenate(([True], ranked[1:] != ranked[:-1]))
        starts = np.concatenate((np.flatnonzero(begins), [len(order)]))
        return cls(order, starts, np.cumsum(begins) - 1, np.take(marks, order, axis=1))

    @property
    def tie_groups(self) -> int:
        """G, at least 1."""
        return len(self.starts) - 1

    def sums(self, counts: Floats, first: int, last: int) -> Floats:
        """Sum the marks of tie groups first…last−1 in samples with `counts` [b, N], [2K, b, last−first]."""
        rows = slice(self.starts[first], self.starts[last])
        taken = np.take(counts, self.order[rows], axis=1)
        sums = taken * self.marks[:, None, rows]
        if sums.shape[2] == last - first:
            return sums
        tied: Floats = np.add.reduceat(sums, self.starts[first:last] - self.starts[first], axis=2)
        return tied


def rejected_share(end: Floats, mass: Floats, target: Floats, tolerance: Floats | float) -> Floats:
    """Return the share of a tie group that is rejected, where acceptance stops at weight `target`.

    `end` is the accepted weight up to the tie group's end, `mass` its own weight. Up to `tolerance` is nothing, so a
    tie group without weight never divides.
    """
    rest = end - target
    rest *= rest > tolerance
    rest /= np.maximum(mass, np.finfo(np.float64).tiny)
    return rest


@dataclass(frozen=True, eq=False)
class RankedSums:
    """The marks of one sample by tie group, those that were drawn only: weight by group, then wrong weight by group.

    Attributes:
        sums: [2K, G] float64.
        cumulated: [2K, G] float64, up to each tie group's end.
        mass: [G] float64, each tie group's weight.
        ends: [G] float64, the weight up to each tie group's end; at least one.
    """

    sums: Floats
    cumulated: Floats
    mass: Floats
    ends: Floats

    @classmethod
    def of(cls, ranking: Ranking, counts: Floats) -> RankedSums:
        """Sum and cumulate the marks over all ranks, with `counts` [N]."""
        groups = len(ranking.marks) // 2
        taken = np.take(counts, ranking.order)
        drawn = np.flatnonzero(taken > 0)
        sums = np.take(ranking.marks, drawn, axis=1)
        sums *= taken[drawn]
        if ranking.tie_groups < len(taken):
            sums = np.add.reduceat(sums, np.flatnonzero(np.diff(ranking.tie_group[drawn], prepend=-1)), axis=1)
        cumulated = sums.cumsum(axis=1)
        return cls(sums, cumulated, sums[:groups].sum(axis=0), cumulated[:groups].sum(axis=0))

    def tolerance(self) -> float:
        """The weight that rounding may be worth."""
        return TOLERANCE * float(self.ends[-1])

    def accepted(self, coverages: Floats) -> Floats:
        """Return the marks that are accepted at coverages [Q], [Q, 2K]."""
        targets, tolerance = coverages * self.ends[-1], self.tolerance()
        place = np.minimum(self.ends.searchsorted(targets - tolerance), len(self.ends) - 1)
        share = rejected_share(self.ends[place], self.mass[place], targets, tolerance)
        result: Floats = self.cumulated[:, place] - share * self.sums[:, place]
        return result.T
