"""Whole risk-coverage curves of weighted samples, and their areas.

The definitions are those of `worker.verify.metrics.selective`, where rows have weight 1: an area is a curve's mean
over the coverages 1/N…1 of N rows, and a group of which nothing is accepted yet is left out at that coverage. Weights
are scaled to sum N, and a row is accepted in part where a coverage k/N ends inside it. So the areas equal those where
all weights are 1, and all curves share their coverages: with a single group they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.combine.evaluation.ranking import TOLERANCE, RankedSums, rejected_share
from worker.combine.rows import Floats

AREAS = ("aurc", "augrc", "balanced_aurc", "worst_aurc")


@dataclass(frozen=True, eq=False)
class Curves:
    """The errors of a sample of N rows at the coverages 1/N…1.

    Attributes:
        overall: [N] float64.
        balanced: [N] float64, the mean of the groups' errors.
        worst: [N] float64, the largest of them.
    """

    overall: Floats
    balanced: Floats
    worst: Floats

    @classmethod
    def of(cls, ranked: RankedSums, rows: int) -> Curves:
        """Compute all errors at every coverage k/N of N = `rows`; some row has weight."""
        step = ranked.ends[-1] / rows  # weight between two coverages
        last = np.floor(ranked.ends / step + TOLERANCE * rows).astype(np.int64)  # coverages up to each end
        place = np.repeat(np.arange(len(last)), np.diff(last, prepend=0))  # [N], where each coverage ends
        target = np.arange(1, rows + 1) * step
        share = rejected_share(np.take(ranked.ends, place), np.take(ranked.mass, place), target, ranked.tolerance())
        groups = len(ranked.sums) // 2
        wrongs, balanced, worst, taking_part = np.zeros((4, rows))
        for group in range(groups):  # arrays of N stay in the processor's cache
            weight, wrong = (
                np.take(ranked.cumulated[mark], place) - share * np.take(ranked.sums[mark], place)
                for mark in (group, groups + group)
            )
            some = weight > 0
            error = np.divide(wrong, weight, out=np.zeros(rows), where=some)
            wrongs += wrong
            balanced += error
            taking_part += some
            np.maximum(worst, error, out=worst)
        return cls(wrongs / target, balanced / taking_part, worst)


def areas(ranked: RankedSums, rows: int) -> tuple[float, ...]:
    """Compute the AREAS of a sample of N = `rows`; NaN for a sample without weight.

    AUGRC is the area under the accepted wrong weight over coverage, both as shares of all weight. It is exact: within
    a tie group that weight rises along a straight line.
    """
    if ranked.ends[-1] == 0:
        return (np.nan,) * len(AREAS)
    curves = Curves.of(ranked, rows)
    groups = len(ranked.sums) // 2
    wrong = ranked.cumulated[groups:] @ ranked.mass - ranked.sums[groups:] @ ranked.mass / 2  # at the middle of each
    generalised = wrong.sum() / ranked.ends[-1] ** 2
    means = (curve.mean() for curve in (curves.overall, curves.balanced, curves.worst))
    overall, balanced, worst = map(float, means)
    return overall, float(generalised), balanced, worst
