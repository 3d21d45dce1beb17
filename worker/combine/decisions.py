"""Scores and decisions of rejectors; they need no label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.combining import Rule, Rules, Score
from app.domain.errors import JobError
from worker.combine.rows import Floats, RowSummary

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a rejector decides about N rows, by its rules. Arrays may be read-only.

    Attributes:
        predictions: [κ, N] int64, the class, also of rejected rows.
        score: [κ, N] float64, higher is surer; of another scale for each rule of the score `group`.
        accepted: [κ, N] bool, score ≥ threshold.
        thresholds: [κ] float64.
    """

    predictions: Ints
    score: Floats
    accepted: NDArray[np.bool_]
    thresholds: Floats


def decide(rules: Rules, summary: RowSummary) -> Decisions:
    """Apply a rejector's rules to rows.

    Raises:
        JobError: `energy-of-several`.
    """
    thresholds = np.array([rule.threshold for rule in rules.rules], dtype=np.float64)
    if rules.score == "group":
        pairs = [group_scores(summary, rule.u, rule.v) for rule in rules.rules]
        score, predictions = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    else:
        shape = (len(thresholds), len(summary.predictions))
        score = np.broadcast_to(score_rows(rules.score, summary), shape)
        predictions = np.broadcast_to(summary.predictions, shape)
    return Decisions(predictions, score, score >= thresholds[:, None], thresholds)


def rule_scores(score: Score, rule: Rule, summary: RowSummary) -> tuple[Floats, Ints]:
    """Give rows' score and class under one rule, [N] each.

    Raises:
        JobError: `energy-of-several`.
    """
    if score == "group":
        return group_scores(summary, rule.u, rule.v)
    return score_rows(score, summary), summary.predictions


def score_rows(score: Score, summary: RowSummary) -> Floats:
    """Give rows' score [N] where it depends on η alone; higher is surer.

    Args:
        score: `msp` max η, `margin` the largest minus the second largest η, `entropy` Σ η log η, or `energy`
            logsumexp z of a single expert.
        summary: the rows.

    Raises:
        JobError: `energy-of-several`, for combined experts.
        ValueError: for `group`, whose score depends on the rule.
    """
    if score == "msp":
        return summary.confidence
    if score == "margin":
        return summary.margin
    if score == "entropy":
        return summary.negative_entropy
    if score == "energy":
        if summary.energy is None:
            message = "The score energy needs a single expert; choose msp, margin, entropy or group."
            raise JobError("energy-of-several", message)
        return summary.energy
    raise ValueError("The score group depends on the rule.")


def group_scores(summary: RowSummary, u: Sequence[float], v: Sequence[float]) -> tuple[Floats, Ints]:
    """Give rows' score and class under the plug-in rule, [N] each.

    Narasimhan et al., "Learning to reject meets long-tail learning", ICLR 2024, Theorem 12:
    score = max_k u_k M_k − Σ_k v_k P_k, and the class is that of the maximum, the lowest of equals.

    Args:
        summary: the rows.
        u: [K] positive.
        v: [K].
    """
    best, predictions = weighted_max(summary.group_max.T, summary.group_class.T, u)
    return shifted_scores(best, summary.group_mass.T, np.array([v], dtype=np.float64))[0], predictions


def weighted_max(group_max: Floats, group_class: Ints, u: Sequence[float]) -> tuple[Floats, Ints]:
    """Find max_y u_[y] η_y and its class, the lowest of equals.

    Args:
        group_max: [K, N], M_k.
        group_class: [K, N], the class of M_k.
        u: [K] positive.

    Returns:
        [N] each.
    """
    best, predictions = u[0] * group_max[0], group_class[0]
    for scale, maxima, classes in zip(u[1:], group_max[1:], group_class[1:], strict=True):
        value = scale * maxima
        better = (value > best) | ((value == best) & (classes < predictions))
        best, predictions = np.where(better, value, best), np.where(better, classes, predictions)
    return best, predictions


def shifted_scores(best: Floats, group_mass: Floats, v: Floats) -> Floats:
    """Subtract Σ_k v_k P_k for R rules: [R, N].

    Writes P_0 as 1 − Σ_{k≥1} P_k, so that equal v keep the order of `best` whatever the rounding of P. Computes
    element by element, so a row's score has the same bits whatever the other rows and rules are, and a threshold
    accepts the row that it came from.

    Args:
        best: [N], max_k u_k M_k.
        group_mass: [K, N], P_k, sum 1 over k.
        v: [R, K].
    """
    scores = np.repeat(best[None], len(v), axis=0)
    for group in range(1, len(group_mass)):
        scores -= (v[:, group] - v[:, 0])[:, None] * group_mass[group]
    scores -= v[:, :1]
    return scores
