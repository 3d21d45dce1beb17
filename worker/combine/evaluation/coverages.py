"""Errors and acceptance at given coverages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.combine.evaluation.method_rows import EvaluatedRows, RuleRows
from worker.combine.evaluation.ranking import TOLERANCE, Ranking, rejected_share
from worker.combine.evaluation.samples import Samples, whole
from worker.combine.rows import Floats

WINDOW_DEVIATIONS = 5.0
"""Half the width of a window of ranks, in standard deviations of the weight drawn above a rank."""

Values = dict[str, Floats]
"""Figures of B samples: arrays whose first axis is B."""


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide, NaN where `whole` is 0."""
    undefined = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    result: Floats = np.divide(part, whole, out=undefined, where=whole > 0)
    return result


def errors_at(accepted: Floats, samples: Samples) -> Values:
    """Compute the errors of what is accepted, [B, Q, 2K]: weight by group, wrong weight by group.

    Returns `coverage`, `overall`, `balanced`, `worst` and `gap` [B, Q], `errors` and `acceptance` [B, Q, K]. A
    group's error is P(wrong | accepted, group), and 1 if nothing of it is accepted: a rejector must not win by
    refusing a group. This differs from the product's risk-coverage curves, which leave such a group out. The overall
    error is 1 as well if nothing is accepted. `balanced` is the mean and `worst` the largest error of the groups that
    have weight in the sample; a group without any has no error and no acceptance, NaN. `gap` is the last group's
    error minus the first one's.
    """
    groups = accepted.shape[-1] // 2
    weight, wrong = accepted[..., :groups], accepted[..., groups:]
    present = samples.group_mass[:, None, :] > 0  # [B, 1, K]
    errors = np.divide(wrong, weight, out=np.ones_like(wrong), where=weight > 0)
    overall = np.divide(wrong.sum(-1), weight.sum(-1), out=np.ones(wrong.shape[:-1]), where=weight.sum(-1) > 0)
    total = samples.mass[:, None]
    overall[np.broadcast_to(total == 0, overall.shape)] = np.nan
    errors = np.where(present, errors, np.nan)
    worst = np.where(present, errors, -np.inf).max(axis=-1)
    return {
        "coverage": ratio(weight.sum(-1), total),
        "overall": overall,
        "balanced": ratio(np.where(present, errors, 0.0).sum(-1), present.sum(-1).astype(np.float64)),
        "worst": np.where(present.any(-1), worst, np.nan),
        "gap": errors[..., -1] - errors[..., 0],
        "errors": errors,
        "acceptance": ratio(weight, samples.group_mass[:, None, :]),
    }


def accepted_above(score: Floats, marks: Floats, threshold: float) -> Floats:
    """Sum marks [J, N] over the rows with score ≥ threshold, [J]."""
    total: Floats = marks[:, score >= threshold].sum(axis=1)
    return total


@dataclass(frozen=True, eq=False)
class RuleRankings:
    """A ranking for each coverage, with the ranks among which its border lies in nearly every resample.

    Only those ranks need cumulated sums; everything above them is one product of matrices. A border that lies
    elsewhere is found among all ranks, so the outcome never depends on the windows.

    Attributes:
        rankings: Q of them.
        coverages: [Q] float64, 0…1.
        windows: Q pairs of tie groups, first and last+1.
        above: [N, Q·2K] float64, the marks of the rows above each window, else 0.
    """

    rankings: tuple[Ranking, ...]
    coverages: Floats
    windows: tuple[tuple[int, int], ...]
    above: Floats

    @classmethod
    def of(
        cls, method: RuleRows, rows: EvaluatedRows, coverages: Floats, check: Callable[[], None] = lambda: None
    ) -> RuleRankings:
        """Rank the rows once for each coverage; `check` may raise to stop."""
        list_itself = whole(rows)
        unit_weights = np.bincount(rows.units, rows.weights)
        rankings, windows = [], []
        above = np.zeros((len(rows.order), len(coverages), 2 * len(rows.group_names)))
        for number, coverage in enumerate(coverages):
            check()
            marks = rows.marks(method.predictions[number])
            ranking = Ranking.of(method.score[number][rows.order], marks)
            deviation = np.sqrt(np.sum(unit_weights**2) * coverage * (1 - coverage))
            window = _window(ranking, list_itself, coverage, WINDOW_DEVIATIONS * deviation)
            top = ranking.starts[window[0]]
            above[ranking.order[:top], number] = ranking.marks[:, :top].T
            rankings.append(ranking)
            windows.append(window)
        return cls(tuple(rankings), coverages, tuple(windows), above.reshape(len(above), -1))

    def accepted(self, samples: Samples) -> Floats:
        """Return what each sample accepts at each coverage, [b, Q, 2K]."""
        counts = samples.counts
        above = (counts @ self.above).reshape(len(counts), len(self.coverages), -1)  # [b, Q, 2K]
        result = np.empty_like(above)
        for number, ranking in enumerate(self.rankings):
            target = self.coverages[number] * samples.mass
            part = _accepted(ranking, samples, target, self.windows[number], above[:, number])
            if part is None:
                part = _accepted(ranking, samples, target, (0, ranking.tie_groups), np.zeros_like(above[:, number]))
            assert part is not None  # the target lies among all ranks
            result[:, number] = part
        return result


def _window(ranking: Ranking, list_itself: Samples, coverage: float, width: float) -> tuple[int, int]:
    """Return the tie groups within `width`, a weight, of the border in the list itself."""
    sums = ranking.sums(list_itself.counts, 0, ranking.tie_groups)[: list_itself.group_mass.shape[1], 0]
    ends = sums.sum(axis=0).cumsum()
    target = coverage * list_itself.mass[0]
    first, last = np.searchsorted(ends, (target - width, target + width))
    return int(max(first - 1, 0)), int(min(last + 2, ranking.tie_groups))


def _accepted(
    ranking: Ranking, samples: Samples, target: Floats, window: tuple[int, int], above: Floats
) -> Floats | None:
    """Return what is accepted up to weight `target` [b], [b, 2K]; None if a border is outside the window."""
    groups = samples.group_mass.shape[1]
    sums = np.concatenate([above.T[:, :, None], ranking.sums(samples.counts, *window)], axis=2)
    cumulated = sums.cumsum(axis=2)  # [2K, b, 1+n]
    ends = cumulated[:groups].sum(axis=0)
    tolerance = TOLERANCE * samples.mass
    everything = window == (0, ranking.tie_groups)
    if not everything and ((ends[:, 0] > target + tolerance) | (ends[:, -1] < target - tolerance)).any():
        return None
    each = np.arange(len(ends))
    place = (ends < (target - tolerance)[:, None]).sum(axis=1)
    np.minimum(place, ends.shape[1] - 1, out=place)
    mass = sums[:groups, each, place].sum(axis=0)
    share = rejected_share(ends[each, place], mass, target, tolerance)
    result: Floats = cumulated[:, each, place] - share * sums[:, each, place]
    return result.T
