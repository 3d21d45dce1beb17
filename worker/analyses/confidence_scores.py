"""Scores that rows can be accepted by, and the areas under their risk-coverage curves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.result_figures import ScoreAreas, ScoreComparison
from worker.combine.probabilities import logsumexp
from worker.verify.metrics import selective
from worker.verify.scale import Kind

SCORES = ("msp", "entropy", "margin", "max_logit", "energy")
HEADINGS = {"msp": "MSP", "entropy": "entropy", "margin": "margin", "max_logit": "max logit", "energy": "energy"}
OF_RAW_SCALE = ("max_logit", "energy")
"""Scores that hang on the constant of each row, which a softmax takes away."""
BLOCK_VALUES = 2**16
ROUNDING = 1e-12
"""Areas that differ by less are equal."""

Floats = NDArray[np.float64]


def confidence_scores(logits: NDArray[np.floating[Any]], kind: Kind) -> dict[str, Floats]:
    """Compute the SCORES of each row, [N] float64 each; larger is more confident.

    With p = softmax(z), or the file's own probabilities: `msp` max p; `entropy` Σ p·log p, the negative entropy in
    nats; `margin` the largest minus the second largest p (max p with one class); `max_logit` max z; `energy`
    log Σ exp z, the negative free energy at temperature 1. The last two are left out unless `kind` is `logits`.
    Sources: Hendrycks & Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural
    networks", ICLR 2017 (msp); Hendrycks et al., "Scaling out-of-distribution detection for real-world settings",
    ICML 2022 (max logit); Liu et al., "Energy-based out-of-distribution detection", NeurIPS 2020 (energy).
    """
    names = SCORES if kind == "logits" else tuple(name for name in SCORES if name not in OF_RAW_SCALE)
    rows, classes = logits.shape
    result = {name: np.empty(rows) for name in names}
    step = max(1, BLOCK_VALUES // classes)
    for start in range(0, rows, step):
        values = logits[start : start + step].astype(np.float64)
        for name, scores in _block_scores(values, kind).items():
            result[name][start : start + step] = scores
    return result


def _block_scores(values: Floats, kind: Kind) -> dict[str, Floats]:
    """Compute the scores of a block [n, C]."""
    if kind == "probabilities":
        shares = np.maximum(values, 0.0)  # rounding may leave small negative numbers
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        raw = {}
    else:
        with np.errstate(over="ignore"):  # float64 logits may be further apart than float64 reaches
            logs = values - values.max(axis=1, keepdims=True)
        exponentials = np.exp(logs)
        total = exponentials.sum(axis=1, keepdims=True)
        shares = exponentials / total
        logs = np.where(shares > 0, logs - np.log(total), 0.0)
        raw = {"max_logit": values.max(axis=1), "energy": logsumexp(values)} if kind == "logits" else {}
    largest = shares.max(axis=1)
    second = np.partition(shares, -2, axis=1)[:, -2] if shares.shape[1] > 1 else np.zeros(len(shares))
    return {"msp": largest, "entropy": (shares * logs).sum(axis=1), "margin": largest - second, **raw}


def compare_scores(
    values: Mapping[str, Floats], correct: NDArray[np.bool_], group: NDArray[np.int64] | None
) -> ScoreComparison:
    """Compute each score's areas, overall and by group.

    Of SCORES, those that `values` lacks have no areas. `correct` is [N]; `group` is [N], 0 for rows of the head and 1
    for those of the tail, or None. The areas have the definitions of `worker.verify.metrics.selective`.
    """
    scores = [
        _areas(name, values[name], correct, group)
        if name in values
        else ScoreAreas(name, None, None, None, "The file does not hold raw logits; each row has lost its constant.")
        for name in SCORES
    ]
    known = [(item.score, item.aurc, item.worst_group_aurc) for item in scores if item.aurc is not None]
    overall = {name: aurc for name, aurc, _ in known}
    worst = {name: area for name, _, area in known if area is not None}
    flips = [pair for first, second in combinations(worst, 2) if (pair := _flip(first, second, overall, worst))]
    best, best_worst = _best(overall, worst), _best(worst, overall) if worst else None
    return ScoreComparison(scores, best, best_worst, flips, _message(best, best_worst, flips))


def _areas(name: str, score: Floats, correct: NDArray[np.bool_], group: NDArray[np.int64] | None) -> ScoreAreas:
    overall = selective.area(selective.risk_coverage(score, correct))
    if group is None:
        return ScoreAreas(name, overall, None, None)
    balanced, worst = selective.group_risk_coverage(score, correct, group, 2)
    return ScoreAreas(name, overall, selective.area(balanced), selective.area(worst))


def _best(areas: Mapping[str, float], others: Mapping[str, float]) -> str:
    """Return the score whose area is the least, up to rounding; of equals the least of `others`, then the first.

    So a score that is the best both overall and in the worst group is named for both.
    """
    least = min(areas.values())
    equal = [name for name, area in areas.items() if area <= least + ROUNDING]
    least_other = min(others.get(name, 0.0) for name in equal)
    return next(name for name in equal if others.get(name, 0.0) <= least_other + ROUNDING)


def _flip(
    first: str, second: str, overall: Mapping[str, float], worst: Mapping[str, float]
) -> tuple[str, str] | None:
    """Return the pair in the order of `overall`, if `worst` reverses it."""
    gap, worst_gap = overall[second] - overall[first], worst[second] - worst[first]
    if min(abs(gap), abs(worst_gap)) <= ROUNDING or (gap > 0) == (worst_gap > 0):
        return None
    return (first, second) if gap > 0 else (second, first)


def _capitalised(score: str) -> str:
    return HEADINGS[score][0].upper() + HEADINGS[score][1:]


def _message(best: str, best_worst: str | None, flips: list[tuple[str, str]]) -> str:
    if best_worst is None:
        return f"{_capitalised(best)} has the smallest area; without train counts there is no worst group."
    if not flips:
        return f"{_capitalised(best)} has the smallest area overall and in the worst group; no order differs."
    first, second = flips[0]
    if best != best_worst:
        first, second = best, best_worst
    pairs = f"{len(flips)} pair{'' if len(flips) == 1 else 's'} of scores"
    return (
        f"The order of scores differs between overall and worst group in {pairs}: overall {HEADINGS[first]} has a "
        f"smaller area than {HEADINGS[second]}, in the worst group a larger one."
    )
