"""Figures of several sides on the same rows and the same bootstrap resamples.

Each resample draws, for every class, as many samples as it has; rows that repeat a sample come and go together. All
sides are computed on the same resamples, so what makes rows hard for all of them cancels in a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from app.domain.comparisons import FIGURES, PairedFigure
from worker.combine.evaluation.accuracies import RowSums
from worker.combine.evaluation.intervals import difference, optional
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows
from worker.combine.evaluation.samples import Samples, resampled, whole
from worker.combine.rows import ClassGroups
from worker.compare.rows import Floats, Ints, SideRows
from worker.verify.metrics.selective import areas
from worker.verify.metrics.ties import ConfidenceOrder

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0

Values = dict[str, Floats]


@dataclass(frozen=True, eq=False)
class SideFigures:
    """The figures of one side, by name.

    Attributes:
        values: on the rows themselves; NaN where undefined.
        samples: [B] float64 on each resample, NaN where undefined.
    """

    values: Mapping[str, float]
    samples: Values


def side_figures(
    sides: Mapping[str, SideRows],
    labels: Ints,
    samples: Ints,
    groups: ClassGroups | None,
    check: Callable[[], None],
    resamples: int = RESAMPLES,
) -> dict[str, SideFigures]:
    """Compute the FIGURES of each side on the same rows and resamples.

    `labels` and `samples` are [N], those of all sides' rows; rows of equal sample are drawn together. Without
    `groups` head and tail are undefined. `check` may raise to stop. Source: Efron & Tibshirani, "An introduction to
    the bootstrap", 1993, chapter 13 (percentiles) and 8.3 (strata).
    """
    groups = groups or ClassGroups(("all",), np.zeros(int(labels.max()) + 1, dtype=np.int64))
    names, of_class = groups.names, groups.of_class
    rows = EvaluatedRows.of(labels, of_class[labels], names, np.ones(len(labels)), samples)
    prepared = {label: _Prepared.of(label, side, rows) for label, side in sides.items()}
    points = {label: side.values(whole(rows)) for label, side in prepared.items()}
    blocks: dict[str, list[Values]] = {label: [] for label in sides}
    for held in resampled(rows, resamples, SEED, check):
        for block in held.blocks():
            check()
            for label, side in prepared.items():
                blocks[label].append(side.values(block))
    return {
        label: SideFigures(
            {name: float(points[label][name][0]) for name in FIGURES},
            {name: np.concatenate([block[name] for block in blocks[label]]) for name in FIGURES},
        )
        for label in sides
    }


def paired_figures(a: SideFigures, b: SideFigures) -> tuple[PairedFigure, ...]:
    """Compare two sides' figures: B − A, with percentile intervals."""
    return tuple(_paired(name, a, b) for name in FIGURES)


def _paired(name: str, a: SideFigures, b: SideFigures) -> PairedFigure:
    first, second = optional(a.values[name]), optional(b.values[name])
    return PairedFigure(name, first, second, difference(second, first, b.samples[name], a.samples[name], LEVEL))


@dataclass(frozen=True, eq=False)
class _Prepared:
    """One side, ready for many samples."""

    sums: RowSums
    order: ConfidenceOrder

    @classmethod
    def of(cls, label: str, side: SideRows, rows: EvaluatedRows) -> _Prepared:
        method = ClassifierRows(label, side.predictions, side.confidence, nll=side.nll, confidence=side.confidence)
        order = ConfidenceOrder.of(side.confidence[rows.order], side.right[rows.order])
        return cls(RowSums.of(method, rows), order)

    def values(self, samples: Samples) -> Values:
        """Compute the FIGURES of each sample, [B]."""
        undefined = np.full(len(samples.counts), np.nan)
        values = self.sums.values(samples) | {"aurc": self._aurc(samples)}
        return {name: values.get(name, undefined) for name in FIGURES}

    def _aurc(self, samples: Samples) -> Floats:
        """Compute the areas; with repeats in the list, resamples differ in size and go one by one."""
        if (samples.rows == samples.rows[0]).all():
            return areas(self.order.group(samples.counts)).aurc
        return np.array([areas(self.order.group(counts[None])).aurc[0] for counts in samples.counts])
