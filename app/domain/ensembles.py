"""Figures of all experts of a split together. docs/metrics.md defines each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.checks import Check

ENSEMBLE_GROUPS = ("overall", "head", "tail")
"""Keys of what is given by group; only `overall` without train counts."""


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Accuracies of one classifier, fractions 0…1."""

    accuracy: float
    balanced_accuracy: float
    head_accuracy: float | None
    """None without train counts or rows of the group; so is `tail_accuracy`."""
    tail_accuracy: float | None


@dataclass(frozen=True, slots=True)
class PairFigures:
    """Two experts over the rows of one group."""

    rows: int
    disagreement: float | None
    """Share of the rows with different predictions; None without rows."""
    error_correlation: float | None
    """Phi coefficient of their errors, −1…1; None where either has no errors or nothing but errors."""
    reason: str | None = None
    """Why `error_correlation` is None."""


@dataclass(frozen=True, slots=True)
class ExpertPair:
    """Two experts held against each other."""

    first: str
    second: str
    groups: Mapping[str, PairFigures]
    """By ENSEMBLE_GROUPS."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What the experts of a split could be worth together."""

    experts: Sequence[str]
    """Two or more, in the job's order."""
    rows: Mapping[str, int]
    """By ENSEMBLE_GROUPS."""
    single: Mapping[str, Accuracies]
    """Of each expert alone."""
    uniform: Accuracies
    """Of the largest mean of the experts' probabilities."""
    oracle: Mapping[str, float | None]
    """Share of the rows that at least one expert predicts right, by ENSEMBLE_GROUPS; None without rows."""
    pairs: Sequence[ExpertPair]
    findings: Sequence[Check]
    """Warnings; `adjusted-tail`: an expert trained for the tail that is worse there than a plain one. It is skipped
    where chance may explain that."""
    reasons: Mapping[str, str]
    """Why figures by group are missing, under `groups`."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ensemble:
        """Rebuild the ensemble that `to_dict` wrote."""
        pairs = [
            ExpertPair(
                pair["first"],
                pair["second"],
                {name: PairFigures(**figures) for name, figures in pair["groups"].items()},
            )
            for pair in data["pairs"]
        ]
        parts = {
            "single": {name: Accuracies(**item) for name, item in data["single"].items()},
            "uniform": Accuracies(**data["uniform"]),
            "pairs": pairs,
            "findings": [Check.from_dict(item) for item in data["findings"]],
        }
        return cls(**{**data, **parts})

    def to_dict(self) -> dict[str, Any]:
        """Return the ensemble as stored and sent."""
        return asdict(self) | {"findings": [check.to_dict() for check in self.findings]}
