"""All metrics of one split, without intervals. docs/metrics.md defines them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.verify.metrics import accuracy, calibration, selective
from worker.verify.metrics.rows import RowScores
from worker.verify.metrics.ties import tie_groups

GROUPS = ("head", "tail", "many", "medium", "few")
WORST_OF = ("head", "tail")
TOP = 5

FIGURES = (
    *("accuracy", "top5_accuracy", "balanced_accuracy", "reweighted_accuracy", "legacy_balanced_accuracy"),
    *(f"{name}_accuracy" for name in (*GROUPS, "worst_group")),
    *("nll", "brier", "ece", "ece_equal_mass", "aurc", "e_aurc", "augrc"),
)

Figure = float | list[float | None] | None


def point_metrics(
    scores: RowScores, classes: int, groups: dict[str, NDArray[np.bool_]] | None, weights: NDArray[np.float64] | None
) -> dict[str, Figure]:
    """Compute every metric of the split.

    `groups` are those of `class_groups`, `weights` [C] finite and not negative. Returns the FIGURES in their order,
    then `class_recalls`, a list of C. None where a figure has no meaning: top-5 of at most 5 classes, groups and
    classes without rows, classes present without weight, or an argument that is None.
    """
    predictions, labels = scores.predictions, scores.labels
    recalls = accuracy.class_recalls(predictions, labels, classes)
    result: dict[str, Figure] = {
        "accuracy": accuracy.accuracy(predictions, labels),
        "top5_accuracy": accuracy.top_k_accuracy(scores.rank, TOP) if classes > TOP else None,
        "balanced_accuracy": accuracy.balanced_accuracy(recalls),
        "reweighted_accuracy": None if weights is None else accuracy.reweighted_accuracy(recalls, weights),
        "legacy_balanced_accuracy": accuracy.legacy_balanced_accuracy(recalls),
    }
    for name in GROUPS:
        result[f"{name}_accuracy"] = (
            None if groups is None else accuracy.group_accuracy(predictions, labels, groups[name])
        )
    worst_of = [] if groups is None else [groups[name] for name in WORST_OF]
    result["worst_group_accuracy"] = accuracy.worst_group_accuracy(predictions, labels, worst_of)
    ties = tie_groups(scores.confidence, scores.correct)  # sorted once for the four figures that need it
    areas = selective.areas(ties)
    result |= {
        "nll": calibration.nll(scores.nll),
        "brier": calibration.brier(scores.brier),
        "ece": calibration.expected_calibration_error(scores.confidence, scores.correct),
        "ece_equal_mass": float(calibration.equal_mass_errors(ties)[0]),
        "aurc": float(areas.aurc[0]),
        "e_aurc": float(areas.e_aurc[0]),
        "augrc": float(areas.augrc[0]),
    }
    result["class_recalls"] = [None if np.isnan(recall) else float(recall) for recall in recalls]
    return result
