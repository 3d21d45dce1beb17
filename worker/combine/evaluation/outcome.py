"""One method's figures on the list itself, put together with its resamples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.domain.evaluations import CoveragePoint, ErrorCurve, MethodEvaluation
from worker.combine.evaluation.accuracies import mean_expert_weights, reliability
from worker.combine.evaluation.coverages import Values, accepted_above, errors_at
from worker.combine.evaluation.curves import Curves
from worker.combine.evaluation.figures import MethodFigures, figure_names
from worker.combine.evaluation.intervals import difference, interval, optional
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows, MethodRows
from worker.combine.evaluation.ranking import RankedSums, Ranking
from worker.combine.evaluation.samples import whole
from worker.combine.rows import Floats

CURVE_POINTS = 200
BANDS = ("overall", "balanced", "worst", "gap")


@dataclass(frozen=True, eq=False)
class Outcome:
    """A method on the list itself.

    Attributes:
        values: as of `MethodFigures.values`, of one sample.
        curve: its errors over coverage; None for a rule, whose curve is its target coverages.
    """

    method: MethodRows
    rows: EvaluatedRows
    coverages: Floats
    values: Values
    curve: ErrorCurve | None

    @property
    def figures(self) -> dict[str, float | None]:
        """The headline figures."""
        names = figure_names(self.rows.group_names)
        return {name: optional(self.values[name][0]) if name in self.values else None for name in names}

    def evaluation(
        self, samples: Values, reference: Outcome, reference_samples: Values, level: float
    ) -> MethodEvaluation:
        """Add intervals and the differences from the reference."""
        figures, compared = self.figures, reference.figures
        method = self.method
        points = _points(self.values, self.coverages, None, self._bands(samples, level))
        return MethodEvaluation(
            name=method.name,
            figures=figures,
            intervals={n: None if v is None else interval(samples[n], level) for n, v in figures.items()},
            differences={
                n: difference(v, compared[n], samples.get(n), reference_samples.get(n), level)
                for n, v in figures.items()
            },
            at_coverage=points,
            at_threshold=self._at_threshold(),
            curve=self.curve or _grid_curve(points),
            reliability=reliability(method, self.rows) if isinstance(method, ClassifierRows) else None,
            expert_weights=mean_expert_weights(method.expert_weights, self.rows),
        )

    def _bands(self, samples: Values, level: float) -> list[dict[str, tuple[float, float] | None]]:
        """Return the intervals at each coverage."""
        bands = []
        for number in range(len(self.coverages)):
            by_name = {name: interval(samples[name][:, number], level) for name in BANDS}
            for group, name in enumerate(self.rows.group_names):
                by_name[f"{name}_acceptance"] = interval(samples["acceptance"][:, number, group], level)
            bands.append(by_name)
        return bands

    def _at_threshold(self) -> tuple[CoveragePoint, ...] | None:
        """Accept the rows with score ≥ threshold."""
        thresholds, rows = self.method.thresholds, self.rows
        if thresholds is None:
            return None
        shape = (len(self.coverages), len(rows.order))
        predictions = np.broadcast_to(self.method.predictions, shape)
        scores = np.broadcast_to(self.method.score, shape)
        accepted = [
            accepted_above(score[rows.order], rows.marks(predicted), threshold)
            for predicted, score, threshold in zip(predictions, scores, thresholds, strict=True)
        ]
        values = errors_at(np.stack(accepted)[None], whole(rows))
        return _points(values, self.coverages, thresholds, None)


def outcome_of(method: MethodRows, rows: EvaluatedRows, coverages: Floats, check: Callable[[], None]) -> Outcome:
    """Compute a method's figures on the list itself; `check` may raise to stop."""
    figures = MethodFigures.of(method, rows, coverages, check)
    sample = whole(rows)
    curve = _whole_curve(figures.ranking, rows) if isinstance(figures.ranking, Ranking) else None
    return Outcome(method, rows, coverages, figures.values(sample), curve)


def _whole_curve(ranking: Ranking, rows: EvaluatedRows) -> ErrorCurve:
    """Thin the whole curve to even coverages, keeping its ends."""
    curves = Curves.of(RankedSums.of(ranking, np.ones(len(rows.order))), len(rows.order))
    size = len(curves.overall)
    chosen = np.round(np.linspace(0, size - 1, min(size, CURVE_POINTS))).astype(np.int64)
    return ErrorCurve(
        tuple(((chosen + 1) / size).tolist()),
        *(tuple(values[chosen].tolist()) for values in (curves.overall, curves.balanced, curves.worst)),
    )


def _grid_curve(points: tuple[CoveragePoint, ...]) -> ErrorCurve:
    return ErrorCurve(
        tuple(point.kappa for point in points),
        tuple(point.overall for point in points),
        tuple(point.balanced for point in points),
        tuple(point.worst for point in points),
    )


def _points(
    values: Values,
    coverages: Floats,
    thresholds: Floats | None,
    bands: list[dict[str, tuple[float, float] | None]] | None,
) -> tuple[CoveragePoint, ...]:
    """Return the points of a single sample's `errors_at`."""
    return tuple(
        CoveragePoint(
            kappa=float(coverage),
            coverage=optional(values["coverage"][0, number]),
            overall=optional(values["overall"][0, number]),
            balanced=optional(values["balanced"][0, number]),
            worst=optional(values["worst"][0, number]),
            gap=optional(values["gap"][0, number]),
            group_errors=tuple(map(optional, values["errors"][0, number].tolist())),
            group_acceptance=tuple(map(optional, values["acceptance"][0, number].tolist())),
            threshold=None if thresholds is None else float(thresholds[number]),
            bands={} if bands is None else bands[number],
        )
        for number, coverage in enumerate(coverages)
    )
