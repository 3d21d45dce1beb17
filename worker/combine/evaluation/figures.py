"""All figures of one method, on any samples of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.combine.evaluation.accuracies import RowSums
from worker.combine.evaluation.coverages import RuleRankings, Values, errors_at
from worker.combine.evaluation.curves import AREAS, areas
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows, MethodRows
from worker.combine.evaluation.ranking import RankedSums, Ranking
from worker.combine.evaluation.samples import Samples
from worker.combine.rows import Floats


def figure_names(group_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the headline figures."""
    accuracies = ("accuracy", "balanced_accuracy", *(f"{name}_accuracy" for name in group_names))
    return (*accuracies, "nll", "ece", "aurc_grid", "balanced_aurc_grid", "worst_aurc_grid", *AREAS)


@dataclass(frozen=True, eq=False)
class MethodFigures:
    """A method prepared for many samples.

    Attributes:
        row_sums: for the accuracies, NLL and ECE.
        ranking: for selective figures; a rule has one for each coverage.
        coverages: [Q] float64.
    """

    row_sums: RowSums
    ranking: Ranking | RuleRankings
    coverages: Floats

    @classmethod
    def of(
        cls, method: MethodRows, rows: EvaluatedRows, coverages: Floats, check: Callable[[], None]
    ) -> MethodFigures:
        """Sort a method's rows once; `check` may raise to stop."""
        if isinstance(method, ClassifierRows):
            ranking: Ranking | RuleRankings = Ranking.of(method.score[rows.order], rows.marks(method.predictions))
        else:
            ranking = RuleRankings.of(method, rows, coverages, check)
        return cls(RowSums.of(method, rows), ranking, coverages)

    def values(self, samples: Samples) -> Values:
        """Compute the headline figures [b] that the method has, and those of `errors_at`."""
        values = self.row_sums.values(samples)
        if isinstance(self.ranking, RuleRankings):
            accepted = self.ranking.accepted(samples)
        else:
            ranking, coverages, parts = self.ranking, self.coverages, []
            table = np.empty((len(samples.rows), len(AREAS)))
            for number, counts in enumerate(samples.counts):  # one at a time stays in the processor's cache
                ranked = RankedSums.of(ranking, counts)
                parts.append(ranked.accepted(coverages))
                table[number] = areas(ranked, int(samples.rows[number]))
            accepted = np.stack(parts)
            values |= dict(zip(AREAS, table.T, strict=True))
        at_coverage = errors_at(accepted, samples)
        grids = {"aurc_grid": "overall", "balanced_aurc_grid": "balanced", "worst_aurc_grid": "worst"}
        return values | at_coverage | {name: at_coverage[key].mean(axis=1) for name, key in grids.items()}


def concatenated(blocks: list[Values]) -> Values:
    """Join the values of blocks of samples."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
