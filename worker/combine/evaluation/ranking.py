"""Rows in order of falling score, and what is accepted at a coverage.

Rows of equal score (as float64) are accepted in random order, and what is accepted is the expectation over these
orders: a border inside a tie group accepts the same share of each of its rows. A row that counts several times, or with
a weight, is accepted in part as well, so every coverage is met exactly.
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
        marks: [J, N] float64 in that order, what is summed over accepted rows.
    """

    order: Ints
    starts: Ints
    marks: Floats

    @classmethod
    def of(cls, score: Floats, marks: Floats) -> Ranking:
        """Rank rows by `score` [N]; `marks` are [J, N]."""
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        inner = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
        return cls(order, np.concatenate(([0], inner, [len(order)])), np.take(marks, order, axis=1))

    @property
    def tie_groups(self) -> int:
        """G, at least 1."""
        return len(self.starts) - 1

    def sums(self, counts: Floats, first: int, last: int) -> Floats:
        """Sum the marks of tie groups first…last−1 in samples with `counts` [b, N], [J, b, last−first]."""
        rows = slice(self.starts[first], self.starts[last])
        taken = np.take(counts, self.order[rows], axis=1)
        sums = taken * self.marks[:, None, rows]
        if sums.shape[2] == last - first:
            return sums
        tied: Floats = np.add.reduceat(sums, self.starts[first:last] - self.starts[first], axis=2)
        return tied


@dataclass(frozen=True, eq=False)
class Border:
    """Where coverages end among tie groups, in b samples.

    Attributes:
        place: [b, Q] int64, the tie group that is accepted last, in part or whole.
        rest: [b, Q] float64, the weight of that tie group that is not accepted.
    """

    place: Ints
    rest: Floats

    @classmethod
    def find(cls, ends: Floats, targets: Floats, tolerance: Floats) -> Border:
        """Find where the accepted weight `ends` [b, G] reaches `targets` [b, Q], up to `tolerance` [b]."""
        place = np.empty(targets.shape, dtype=np.int64)
        for sample, (rising, wanted) in enumerate(zip(ends, targets - tolerance[:, None], strict=True)):
            place[sample] = rising.searchsorted(wanted)
        np.minimum(place, ends.shape[1] - 1, out=place)
        rest = np.take_along_axis(ends, place, axis=1) - targets
        rest[rest <= tolerance[:, None]] = 0.0
        return cls(place, rest)

    def accepted(self, sums: Floats, cumulated: Floats, mass: Floats) -> Floats:
        """Return the marks that are accepted, [b, Q, J].

        `sums` and `cumulated` are [J, b, G], of each tie group and up to its end; `mass` [b, G] is each one's weight.
        """
        samples = np.arange(len(self.place))[:, None]
        whole = mass[samples, self.place]
        share = np.divide(self.rest, whole, out=np.zeros_like(whole), where=whole > 0)
        result: Floats = cumulated[:, samples, self.place] - share * sums[:, samples, self.place]
        return np.moveaxis(result, 0, -1)
