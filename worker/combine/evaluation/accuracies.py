"""Accuracies, likelihood and calibration of weighted samples, all rows accepted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.domain.evaluations import CalibrationBin
from worker.combine.evaluation.coverages import Values, ratio
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows, MethodRows
from worker.combine.evaluation.samples import Samples
from worker.combine.rows import Floats
from worker.verify.metrics.calibration import BINS, bin_of


@dataclass(frozen=True, eq=False)
class RowSums:
    """What is summed over the rows of a sample.

    Attributes:
        right: [N] float64, the weight of a right row, else 0.
        class_starts: the first row of each class.
        group_names: of the K groups.
        features: [N, K+1+M] float64: the right weight by group, weighted NLL, weighted confidence − right by bin.
        has_nll: whether the method has NLLs; their column is 0 otherwise.
        has_confidence: whether it has confidences; the bins are 0 otherwise.
    """

    right: Floats
    class_starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    group_names: tuple[str, ...]
    features: Floats
    has_nll: bool
    has_confidence: bool

    @classmethod
    def of(cls, method: MethodRows, rows: EvaluatedRows) -> RowSums:
        """Prepare a method's sums; a rule's are those of its last coverage."""
        predictions = np.atleast_2d(method.predictions)[-1]
        correct = predictions[rows.order] == rows.labels
        right = rows.weights * correct
        nll = method.nll if isinstance(method, ClassifierRows) else None
        confidence = method.confidence if isinstance(method, ClassifierRows) else None
        groups = len(rows.group_names)
        features = np.zeros((len(right), groups + 1 + BINS))
        features[:, :groups] = rows.by_group(right)
        if nll is not None:
            features[:, groups] = rows.weights * nll[rows.order]
        if confidence is not None:
            ordered = confidence[rows.order]
            columns = groups + 1 + bin_of(ordered)
            features[np.arange(len(right)), columns] = rows.weights * (ordered - correct)
        return cls(right, rows.class_starts, rows.group_names, features, nll is not None, confidence is not None)

    def values(self, samples: Samples) -> Values:
        """Compute the figures of each sample, [B].

        `balanced_accuracy` is the mean over the classes that have weight in the sample. Source: Brodersen et al.,
        ICPR 2010, as `sklearn.metrics.balanced_accuracy_score` with weights. `ece` has 15 bins of equal width, as
        `worker.verify.metrics.calibration`.
        """
        sums, mass, groups = samples.counts @ self.features, samples.mass, len(self.group_names)
        hits = np.add.reduceat(samples.counts * self.right, self.class_starts, axis=1)  # [B, P]
        present = samples.class_mass > 0
        recalls = np.divide(hits, samples.class_mass, out=np.zeros_like(hits), where=present)
        values = {
            "accuracy": ratio(sums[:, :groups].sum(axis=1), mass),
            "balanced_accuracy": ratio(recalls.sum(axis=1), present.sum(axis=1).astype(np.float64)),
        }
        group_accuracies = ratio(sums[:, :groups], samples.group_mass)
        values |= {f"{name}_accuracy": group_accuracies[:, number] for number, name in enumerate(self.group_names)}
        if self.has_nll:
            values["nll"] = ratio(sums[:, groups], mass)
        if self.has_confidence:
            values["ece"] = ratio(np.abs(sums[:, groups + 1 :]).sum(axis=1), mass)
        return values


def reliability(method: ClassifierRows, rows: EvaluatedRows) -> tuple[CalibrationBin, ...] | None:
    """Compute the weighted bins of a reliability diagram, None without confidences.

    Σ_b weight_b·|accuracy_b − confidence_b| over them is the `ece`.
    """
    if method.confidence is None:
        return None
    confidence = method.confidence[rows.order]
    right = rows.weights * (method.predictions[rows.order] == rows.labels)
    place = bin_of(confidence)
    weight, total, hits = (
        np.bincount(place, values, minlength=BINS) for values in (rows.weights, rows.weights * confidence, right)
    )
    edges = np.linspace(0, 1, BINS + 1)
    return tuple(
        CalibrationBin(
            float(edges[number]),
            float(edges[number + 1]),
            float(weight[number] / rows.weights.sum()),
            float(total[number] / weight[number]) if weight[number] else None,
            float(hits[number] / weight[number]) if weight[number] else None,
        )
        for number in range(BINS)
    )


def mean_expert_weights(weights: Floats | None, rows: EvaluatedRows) -> dict[str, tuple[float, ...] | None] | None:
    """Average expert weights [N, E] over each group's weighted rows.

    None without expert weights; a group without weight has None.
    """
    if weights is None:
        return None
    by_group = rows.by_group(rows.weights)  # [N, K]
    means = by_group.T @ weights[rows.order]  # [K, E]
    totals = by_group.sum(axis=0)
    return {
        name: tuple(map(float, means[number] / totals[number])) if totals[number] > 0 else None
        for number, name in enumerate(rows.group_names)
    }
