"""What results are judged by, where that is a matter of choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HEAD_THRESHOLD = 20
"""Train samples; a class with more is head, any other is tail."""

AccuracyName = Literal[
    "accuracy",
    "top5_accuracy",
    "balanced_accuracy",
    "reweighted_accuracy",
    "legacy_balanced_accuracy",
    "head_accuracy",
    "tail_accuracy",
    "many_accuracy",
    "medium_accuracy",
    "few_accuracy",
    "worst_group_accuracy",
]
"""Metrics that a floor may be set for."""


@dataclass(frozen=True, slots=True)
class Standards:
    """What results are judged by, where that is a matter of choice."""

    head_threshold: int = HEAD_THRESHOLD
    """Train samples, at least 0: a class with more is head, any other is tail."""
    floors: Mapping[AccuracyName, float] = field(default_factory=dict)
    """Metric → the fraction below which a result gives a warning."""
