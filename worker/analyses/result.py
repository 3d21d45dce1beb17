"""The analysis of one result: intervals and curves, and the figures that a reviewer asks for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.analyses.calibration import calibration_of
from worker.analyses.confidence_scores import compare_scores, confidence_scores
from worker.analyses.confusion import confusion_of
from worker.analyses.group_areas import GROUP_AREAS, group_area_intervals
from worker.analyses.shifted_priors import shifted_accuracies
from worker.verify.ground_truth import Truth
from worker.verify.metrics.accuracy import class_recalls
from worker.verify.metrics.rows import RowScores
from worker.verify.scale import Scale
from worker.verify.summary_metrics import LEVEL, RESAMPLES, SEED, statistics


def analyse_result(
    logits: NDArray[np.floating[Any]], scores: RowScores, truth: Truth, scale: Scale
) -> dict[str, Any]:
    """Compute the JSON of `app.domain.analyses.Statistics`.

    `logits` [N, C] are of the kind that `scale` says, `scores` those of its rows. For probabilities there are no
    curves and calibration errors, as `statistics`; the scores that need no logits are of the probabilities as they
    are.
    """
    answer = statistics(scores, truth, scale.reason)
    reasons: dict[str, str] = answer["reasons"]
    tail = None if truth.groups is None else truth.groups["tail"]
    group = None if tail is None else tail.astype(np.int64)[scores.labels]  # [N] 0 head, 1 tail
    no_groups = truth.counts_reason or "The train counts cannot be used; the check 'train-counts' says why."

    intervals: dict[str, Any] = answer["intervals"]["figures"]
    intervals |= dict.fromkeys(GROUP_AREAS)
    calibration, priors = None, None
    if group is None:
        reasons |= dict.fromkeys(("calibration", "shifted_priors"), no_groups)
    else:
        assert truth.train_counts is not None  # groups are made of them
        recalls = class_recalls(scores.predictions, scores.labels, truth.classes)
        priors = asdict(shifted_accuracies(recalls, truth.train_counts))
        if scale.reason is not None:
            reasons["calibration"] = scale.reason
        else:
            ends = group_area_intervals(scores, group, 2, resamples=RESAMPLES, level=LEVEL, seed=SEED)
            intervals |= {name: list(pair) for name, pair in ends.items()}
            by_group = {name: calibration_of(scores, group == number) for number, name in enumerate(("head", "tail"))}
            calibration = {name: None if item is None else item.to_dict() for name, item in by_group.items()}
    values = confidence_scores(logits, scale.kind)
    if scale.kind != "probabilities":
        values["msp"] = scores.confidence  # to the bit, so that its area is the figure `aurc`
    return answer | {
        "calibration": calibration,
        "scores": asdict(compare_scores(values, scores.correct, group)),
        "shifted_priors": priors,
        "confusion": asdict(confusion_of(scores.predictions, scores.labels, tail)),
    }
