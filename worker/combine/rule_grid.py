"""The plug-in rules that a search compares, and what each does on the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from worker.combine.decisions import Ints, shifted_scores, weighted_max
from worker.combine.group_rule import present_groups, shares_of_weight
from worker.combine.rows import BLOCK_VALUES, Floats, RowSummary
from worker.combine.thresholds import TOLERANCE, thresholds_at

RATIO_FACTORS = np.geomspace(0.25, 4, 17)
OFFSETS: Floats = np.arange(-15, 16) / 10
"""λ: −1.5, −1.4 … 1.5, with an exact 0."""


@dataclass(frozen=True, slots=True)
class Point:
    """A rule before scaling: u ∝ ρ and v = u + λ."""

    ratios: tuple[float, ...]
    """ρ, by group: u_k over u of the first group; positive."""
    offsets: tuple[float, ...]
    """λ, by group."""

    @classmethod
    def start(cls, groups: int) -> Self:
        """Give the rule with the order of msp: ρ = 1, λ = 0."""
        return cls((1.0,) * groups, (0.0,) * groups)

    def moved(self, group: int, ratio: float, offset: float) -> Self:
        """Replace ρ and λ of one group."""
        ratios, offsets = list(self.ratios), list(self.offsets)
        ratios[group], offsets[group] = ratio, offset
        return replace(self, ratios=tuple(ratios), offsets=tuple(offsets))

    def u_and_v(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Scale to max u = 1: u = ρ/max ρ, v = u + λ."""
        largest = max(self.ratios)
        u = tuple(ratio / largest for ratio in self.ratios)
        return u, tuple(scale + offset for scale, offset in zip(u, self.offsets, strict=True))


@dataclass(frozen=True, eq=False)
class SearchRows:
    """Rows in the layout of the search.

    Attributes:
        labels: [N] int64.
        weights: [N] float64.
        group_max: [K, N] float64, M_k.
        group_class: [K, N] int64.
        group_mass: [K, N] float64, P_k.
        group_weights: [N, K] float64, the row's weight in its label's column, else 0.
        present: the groups whose rows have weight.
    """

    labels: Ints
    weights: Floats
    group_max: Floats
    group_class: Ints
    group_mass: Floats
    group_weights: Floats
    present: tuple[int, ...]

    @classmethod
    def of(cls, summary: RowSummary) -> Self:
        """Arrange the rows of a summary."""
        count = summary.group_max.shape[1]
        return cls(
            summary.labels,
            summary.weights,
            np.ascontiguousarray(summary.group_max.T),
            np.ascontiguousarray(summary.group_class.T),
            np.ascontiguousarray(summary.group_mass.T),
            np.where(summary.groups[:, None] == np.arange(count), summary.weights[:, None], 0.0),
            present_groups(summary.groups, summary.weights, count),
        )

    def ratios(self, group: int) -> Floats:
        """List ρ to compare for a group, [18].

        Around π̂_0/π̂_k, the groups' shares of weight, which is u_k/u_0 where all rows are accepted; and 1.
        """
        total = self.group_weights.sum(axis=0)
        return np.append(total[self.present[0]] / total[group] * RATIO_FACTORS, 1.0)


@dataclass(frozen=True, eq=False)
class RuleTable:
    """Figures of R rules that differ in one group's ρ and λ, at one coverage.

    Attributes:
        ratios: [R] float64, ρ.
        offsets: [R] float64, λ.
        errors: [R, K] float64, P(wrong | accepted, G_k); 1 with nothing accepted.
        acceptance: [R, K] float64, P(accepted | G_k).
    """

    ratios: Floats
    offsets: Floats
    errors: Floats
    acceptance: Floats

    def select(self, objective: Floats, shortfall: Floats) -> int:
        """Choose the best rule, by its row.

        It has the least shortfall, then the least objective, then the least |ln ρ| + |λ|; of equal rules the first is
        taken. Values within `TOLERANCE` of the least are equal: rounding of sums differs between rules that accept
        the same rows.

        Args:
            objective: [R].
            shortfall: [R], by how much acceptance of a group stays below what is asked for.
        """
        distance = np.round(np.abs(np.log(self.ratios)) + np.abs(self.offsets), 12)
        for key in (shortfall, objective):
            distance = np.where(_least(np.where(np.isfinite(distance), key, np.inf)), distance, np.inf)
        return int(np.argmin(distance))


def _least(values: Floats) -> NDArray[np.bool_]:
    """Mark the values that are the least, up to rounding."""
    least: NDArray[np.bool_] = values <= values.min() + TOLERANCE
    return least


def rule_tables(
    rows: SearchRows, point: Point, group: int, coverages: Sequence[float], check: Callable[[], None]
) -> list[RuleTable]:
    """Measure all rules that differ from a point in one group.

    Returns a table for each coverage. Time is that of 18·31 sorts of N; memory is a few blocks of `BLOCK_VALUES`, or
    of N where that is more.
    """
    errors, acceptance = [], []
    ratios = rows.ratios(group)
    step = max(1, BLOCK_VALUES // len(rows.labels))
    for ratio in ratios:
        u, unmoved = point.moved(group, float(ratio), 0.0).u_and_v()
        for first in range(0, len(OFFSETS), step):
            check()
            offsets = OFFSETS[first : first + step]
            v = np.tile(unmoved, (len(offsets), 1))
            v[:, group] = u[group] + offsets
            figures = _figures(rows, u, v, coverages)
            errors.append(figures[0])
            acceptance.append(figures[1])
    all_ratios, all_offsets = np.repeat(ratios, len(OFFSETS)), np.tile(OFFSETS, len(ratios))
    all_errors, all_acceptance = np.concatenate(errors, axis=1), np.concatenate(acceptance, axis=1)
    return [
        RuleTable(all_ratios, all_offsets, all_errors[index], all_acceptance[index])
        for index in range(len(coverages))
    ]


def _figures(rows: SearchRows, u: tuple[float, ...], v: Floats, coverages: Sequence[float]) -> tuple[Floats, Floats]:
    """Measure R rules with the same u: errors and acceptance, [κ, R, K] each."""
    groups = len(u)
    best, predictions = weighted_max(rows.group_max, rows.group_class, u)
    wrong_weights = np.where((predictions != rows.labels)[:, None], rows.group_weights, 0.0)
    columns = np.concatenate([rows.group_weights, wrong_weights], axis=1)  # [N, 2K]
    scores = shifted_scores(best, rows.group_mass, v)  # [R, N]
    thresholds = thresholds_at(scores, rows.weights, coverages)  # [R, κ]
    sums = np.stack(
        [(scores >= limits[:, None]).astype(np.float64) @ columns for limits in thresholds.T]
    )  # [κ, R, 2K]
    return shares_of_weight(sums[..., groups:], sums[..., :groups], rows.group_weights.sum(axis=0))
