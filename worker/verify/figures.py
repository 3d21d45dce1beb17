"""The figures of one split, each with the reason where it has none."""

from __future__ import annotations

from typing import Any

from worker.verify.metrics import point
from worker.verify.metrics.rows import RowScores
from worker.verify.truth import Truth

FIGURES = (*point.FIGURES, "class_recalls")
"""In the order of the report; docs/metrics.md defines them."""


def figures(scores: RowScores, truth: Truth) -> dict[str, Any]:
    """The FIGURES by name, and under `reasons` why, for each that is None."""
    found = point.point_metrics(scores, truth.classes, truth.groups, truth.usable_weights)
    values: dict[str, Any] = {name: found[name] for name in FIGURES}
    values["reasons"] = {name: _reason(name, truth) for name in FIGURES if values[name] is None}
    return values


def no_figures(reason: str) -> dict[str, Any]:
    """The FIGURES where there is no ground for any."""
    return {**dict.fromkeys(FIGURES), "reasons": dict.fromkeys(FIGURES, reason)}


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
