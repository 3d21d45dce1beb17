"""The metrics of one result: figures, intervals and curves, each None with its reason where it has no value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Metrics
from worker.verify.ground_truth import Truth
from worker.verify.metrics import calibration, point, selective
from worker.verify.metrics.bootstrap import intervals
from worker.verify.metrics.rows import RowScores

FIGURES = (*point.FIGURES, "class_recalls")
"""In the order of the report; docs/metrics.md defines them."""

OF_CONFIDENCE = ("nll", "brier", "ece", "ece_equal_mass", "aurc", "e_aurc", "augrc")
"""The FIGURES that hang on softmax probabilities, not only on the order of a row's logits."""

CURVES = ("risk_coverage", "balanced_risk_coverage", "worst_group_risk_coverage")

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0
"""Of the bootstrap: the same for everybody, so that equal files have equal intervals."""


def figures(scores: RowScores, truth: Truth, unfit: str | None = None) -> Metrics:
    """Compute the FIGURES, and the reason for each None.

    `unfit`: why the rows give no probabilities, so that OF_CONFIDENCE are None; None where they do.
    """
    computed = point.point_metrics(scores, truth.classes, truth.groups, truth.usable_weights)
    values = {name: computed[name] for name in FIGURES}
    reasons = {name: _reason(name, truth) for name in FIGURES if values[name] is None}
    if unfit is not None:
        values |= dict.fromkeys(OF_CONFIDENCE)
        reasons |= dict.fromkeys(OF_CONFIDENCE, unfit)
    return Metrics(values, reasons)


def no_figures(reason: str) -> Metrics:
    """Return the FIGURES as None, all for one reason."""
    return Metrics(dict.fromkeys(FIGURES), dict.fromkeys(FIGURES, reason))


def statistics(scores: RowScores, truth: Truth, unfit: str | None = None) -> dict[str, Any]:
    """Compute intervals, curves, areas and the reliability diagram.

    Each curve, area or diagram that is None has its reason under `reasons`. With `unfit` rows, as of `figures`, only
    the intervals of accuracies are left.
    """
    intervals_of = interval_figures(scores, truth)
    if unfit is None:
        return {"intervals": intervals_of, **curves(scores, truth), "reasons": {}}
    intervals_of["figures"] |= dict.fromkeys(OF_CONFIDENCE)
    none = {"curves": dict.fromkeys(CURVES), "areas": dict.fromkeys(CURVES), "reliability": None}
    return {"intervals": intervals_of, **none, "reasons": dict.fromkeys(none, unfit)}


def interval_figures(scores: RowScores, truth: Truth) -> dict[str, Any]:
    """Compute bootstrap intervals of headline figures; name the method."""
    computed = intervals(
        scores, truth.classes, truth.groups, truth.usable_weights, resamples=RESAMPLES, level=LEVEL, seed=SEED
    )
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": SEED,
        "method": "percentile bootstrap, stratified by class",
        "figures": {name: None if ends is None else list(ends) for name, ends in computed.items()},
    }


def curves(scores: RowScores, truth: Truth) -> dict[str, Any]:
    """Compute thinned risk-coverage curves, their areas, and reliability bins.

    The balanced and the worst-group curve are over head and tail, and None without train counts.
    """
    plain = selective.risk_coverage(scores.confidence, scores.correct)
    drawn: dict[str, selective.Curve | None] = {"risk_coverage": plain}
    if truth.groups is None:
        drawn |= {"balanced_risk_coverage": None, "worst_group_risk_coverage": None}
    else:
        group = truth.groups["tail"].astype(np.int64)[scores.labels]  # [N] 0 head, 1 tail
        balanced, worst = selective.group_risk_coverage(scores.confidence, scores.correct, group, 2)
        drawn |= {"balanced_risk_coverage": balanced, "worst_group_risk_coverage": worst}
    bins = calibration.reliability_bins(scores.confidence, scores.correct)
    return {
        "curves": {name: None if curve is None else _points(curve) for name, curve in drawn.items()},
        "areas": {name: None if curve is None else selective.area(curve) for name, curve in drawn.items()},
        "reliability": [
            dict(zip(("from", "to", "rows", "confidence", "accuracy"), values, strict=True))
            for values in zip(
                bins.edges[:-1].tolist(), bins.edges[1:].tolist(), bins.count.tolist(),
                _numbers(bins.confidence), _numbers(bins.accuracy), strict=True,
            )
        ],
    }  # fmt: skip


def _points(curve: selective.Curve) -> dict[str, list[float]]:
    thin = selective.thinned(curve)
    return {"coverage": thin.coverage.tolist(), "risk": thin.risk.tolist()}


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _reason(name: str, truth: Truth) -> str:
    if name == "top5_accuracy":
        return f"With {truth.classes} classes every label is among the first five."
    if name == "reweighted_accuracy":
        if truth.weights is None:
            return str(truth.weights_reason)
        if truth.usable_weights is None:
            return "The class weights cannot be used; the check 'class-weights' says why."
        return "The classes present in this split all have the weight 0."
    if truth.train_counts is None:
        return str(truth.counts_reason)
    if truth.groups is None:
        return "The train counts cannot be used; the check 'train-counts' says why."
    group = name.removesuffix("_accuracy")
    return f"The split has no row of a {group} class." if group in point.GROUPS else "No group of classes has a row."
