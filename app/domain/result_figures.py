"""Figures of one result beyond its metrics: calibration by group, other scores, shifted priors, confusion.

docs/metrics.md defines each of them. All shares, accuracies, risks and areas are fractions, 0…1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["forward", "uniform", "backward"]
"""`forward`: the classes in the order of train; `backward`: in the reversed order."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows whose confidence lies in [low, high)."""

    low: float
    high: float
    rows: int
    confidence: float | None
    """Mean of the rows; None without rows."""
    accuracy: float | None
    """Fraction of the rows; None without rows."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReliabilityBin:
        """Read a bin from a worker's answer."""
        return cls(*(data[name] for name in ("from", "to", "rows", "confidence", "accuracy")))

    def to_dict(self) -> dict[str, Any]:
        """Return the bin as stored and sent."""
        ends = {"from": self.low, "to": self.high}
        return ends | {"rows": self.rows, "confidence": self.confidence, "accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """Calibration over the rows of one group of classes."""

    rows: int
    """At least 1."""
    ece: float
    """Expected calibration error, 15 bins of equal width, over these rows alone."""
    confidence: float
    """Mean of the rows."""
    accuracy: float
    reliability: Sequence[ReliabilityBin]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GroupCalibration:
        """Rebuild the calibration that `to_dict` wrote."""
        bins = [ReliabilityBin.from_dict(item) for item in data["reliability"]]
        return cls(data["rows"], data["ece"], data["confidence"], data["accuracy"], bins)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as stored and sent."""
        figures = {name: getattr(self, name) for name in ("rows", "ece", "confidence", "accuracy")}
        return figures | {"reliability": [item.to_dict() for item in self.reliability]}


@dataclass(frozen=True, slots=True)
class ScoreAreas:
    """Areas under the risk-coverage curves where rows are accepted by one score; smaller is better."""

    score: str
    """`msp`, `entropy`, `margin`, `max_logit` or `energy`."""
    aurc: float | None
    balanced_aurc: float | None
    """Over the mean of the errors of head and tail."""
    worst_group_aurc: float | None
    """Over the larger of the errors of head and tail."""
    reason: str | None = None
    """Why all areas are None; those by group are also None without train counts."""


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """Confidence scores held against each other."""

    scores: Sequence[ScoreAreas]
    best_overall: str
    """The score of the smallest `aurc`; of equals the first."""
    best_worst_group: str | None
    """The score of the smallest `worst_group_aurc`; None without train counts."""
    flips: Sequence[tuple[str, str]]
    """Pairs (a, b): `aurc` ranks a before b, `worst_group_aurc` b before a."""
    message: str
    """One sentence that says whether the order of scores differs."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoreComparison:
        """Read the JSON of its fields."""
        scores = [ScoreAreas(**item) for item in data["scores"]]
        return cls(**{**data, "scores": scores, "flips": [(first, second) for first, second in data["flips"]]})


@dataclass(frozen=True, slots=True)
class ShiftedAccuracy:
    """Accuracy where the classes have other shares than in the split."""

    name: str
    """`Forward-50` … `Uniform` … `Backward-50`."""
    direction: Direction
    ratio: float
    """Share of the most frequent class over that of the rarest."""
    accuracy: float
    """Σ_c π_c·a_c / Σ_c π_c over the classes present."""
    covered: float
    """Share of the prior that the classes present have; 1 unless classes have no row."""


@dataclass(frozen=True, slots=True)
class ShiftedPriors:
    """Accuracies under the test priors of the literature, from head-heavy to tail-heavy."""

    accuracies: Sequence[ShiftedAccuracy]
    absent_classes: int
    """Classes without a row: left out, with the prior of the others scaled up to sum 1."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ShiftedPriors:
        """Read the JSON of its fields."""
        return cls([ShiftedAccuracy(**item) for item in data["accuracies"]], data["absent_classes"])


@dataclass(frozen=True, slots=True)
class GroupConfusion:
    """What the rows of one group of classes are predicted as; the three shares sum to 1."""

    rows: int
    """At least 1."""
    right: float
    as_head: float
    """Predicted as another class, which is a head class."""
    as_tail: float
    """Predicted as another class, which is a tail class."""


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Rows of one class that are predicted as another."""

    label: int
    predicted: int
    rows: int
    share: float
    """Of the rows of class `label`."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Confusion between head and tail, and the most frequent wrong pairs."""

    groups: Mapping[str, GroupConfusion | None] | None
    """Of `head` and `tail`, None for a group without rows; None without train counts."""
    pairs: Sequence[ConfusedPair]
    """At most ten, by falling number of rows, then by label and predicted class."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Confusion:
        """Read the JSON of its fields."""
        groups = data["groups"]
        if groups is not None:
            groups = {name: None if item is None else GroupConfusion(**item) for name, item in groups.items()}
        return cls(groups, [ConfusedPair(**item) for item in data["pairs"]])
