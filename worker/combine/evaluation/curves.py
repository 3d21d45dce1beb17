"""Whole risk-coverage curves of weighted samples, and their areas.

The definitions are those of `worker.verify.metrics.selective`, which has rows of weight 1: an area is a curve's mean
over the coverages 1/N…1 of N rows, and a group of which nothing is accepted yet is left out there. Weights are scaled
to sum N, and a row of another weight than 1 is accepted in part where a coverage k/N ends inside it. So the area keeps
its meaning and its value where all weights are 1, and the three curves share their coverages: with a single group they
are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.combine.evaluation.coverages import Values, ratio
from worker.combine.evaluation.method_rows import Ints
from worker.combine.evaluation.ranking import TOLERANCE, Border, Ranking
from worker.combine.evaluation.samples import Samples
from worker.combine.rows import Floats


@dataclass(frozen=True, eq=False)
class RankedSums:
    """The marks of b samples by tie group of falling score: by group the weight, then the wrong weight.

    Attributes:
        sums: [2K, b, G] float64.
        cumulated: [2K, b, G] float64, up to each tie group's end.
        mass: [b, G] float64, each tie group's weight.
        ends: [b, G] float64, the weight up to each tie group's end.
    """

    sums: Floats
    cumulated: Floats
    mass: Floats
    ends: Floats

    @classmethod
    def of(cls, ranking: Ranking, samples: Samples) -> RankedSums:
        """Sum and cumulate the marks of all ranks."""
        groups = samples.group_mass.shape[1]
        sums = ranking.sums(samples.counts, 0, ranking.tie_groups)
        cumulated = sums.cumsum(axis=2)
        return cls(sums, cumulated, sums[:groups].sum(axis=0), cumulated[:groups].sum(axis=0))

    def accepted(self, coverages: Floats, samples: Samples) -> Floats:
        """Return what each sample accepts at coverages [Q], [b, Q, 2K]."""
        mass = samples.mass
        border = Border.find(self.ends, mass[:, None] * coverages, TOLERANCE * mass)
        return border.accepted(self.sums, self.cumulated, self.mass)


@dataclass(frozen=True, eq=False)
class Curves:
    """The errors of b samples at their coverages 1/N…1, one sample after the other.

    Attributes:
        starts: [b] int64, where a sample begins.
        overall: [ΣN] float64.
        balanced: [ΣN] float64, the mean of the groups' errors.
        worst: [ΣN] float64, the largest of them.
    """

    starts: Ints
    overall: Floats
    balanced: Floats
    worst: Floats

    @classmethod
    def of(cls, ranked: RankedSums, samples: Samples) -> Curves:
        """Compute all errors at every coverage k/N."""
        sizes = samples.rows.astype(np.int64)
        starts = sizes.cumsum() - sizes
        place, rest = _grid(ranked, samples, sizes, starts)
        mass = ranked.mass.ravel()[place]
        share = np.divide(rest, mass, out=np.zeros_like(rest), where=mass > 0)
        groups = samples.group_mass.shape[1]
        wrongs, weights, balanced, worst, taking_part = np.zeros((5, len(place)))
        for group in range(groups):
            weight, wrong = (
                ranked.cumulated[mark].ravel()[place] - share * ranked.sums[mark].ravel()[place]
                for mark in (group, groups + group)
            )
            error = np.divide(wrong, weight, out=np.zeros_like(wrong), where=weight > 0)
            wrongs += wrong
            weights += weight
            balanced += error
            taking_part += weight > 0
            np.maximum(worst, error, out=worst)
        return cls(starts, ratio(wrongs, weights), ratio(balanced, taking_part), worst)


def area_values(ranked: RankedSums, samples: Samples) -> Values:
    """Compute `aurc`, `augrc`, `balanced_aurc` and `worst_aurc`, [b] each; NaN for a sample without weight.

    AUGRC is the area under the accepted wrong weight over coverage, both as shares of all weight. It is exact: within
    a tie group that weight rises along a straight line.
    """
    curves = Curves.of(ranked, samples)
    groups = samples.group_mass.shape[1]
    wrong = ranked.cumulated[groups:].sum(axis=0) - ranked.sums[groups:].sum(axis=0) / 2  # at the middle, [b, G]
    values = {"augrc": ratio(np.einsum("bg,bg->b", ranked.mass, wrong), samples.mass**2)}
    for name, curve in (("aurc", curves.overall), ("balanced_aurc", curves.balanced), ("worst_aurc", curves.worst)):
        means = np.add.reduceat(curve, curves.starts) / samples.rows
        values[name] = np.where(samples.mass > 0, means, np.nan)
    return values


def _grid(ranked: RankedSums, samples: Samples, sizes: Ints, starts: Ints) -> tuple[Ints, Floats]:
    """Return the tie group in which each coverage k/N ends, and its weight beyond that end, [ΣN] each.

    Places count through all samples' tie groups.
    """
    step = samples.mass / samples.rows  # weight between two coverages
    scale = np.divide(1.0, step, out=np.zeros_like(step), where=step > 0)
    last = np.floor(ranked.ends * scale[:, None] + TOLERANCE * samples.rows[:, None])
    last[:, -1] = samples.rows  # in spite of rounding
    repeats = np.diff(last, axis=1, prepend=0.0).astype(np.int64)
    place = np.repeat(np.arange(repeats.size), repeats.ravel())
    number = np.arange(1, len(place) + 1) - np.repeat(starts, sizes)  # k
    rest = ranked.ends.ravel()[place] - number * np.repeat(step, sizes)
    rest[rest <= np.repeat(TOLERANCE * samples.mass, sizes)] = 0.0
    return place, rest
