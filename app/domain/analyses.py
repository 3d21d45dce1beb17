"""Analyses of results: intervals and curves, or the causes of a failed check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.checks import StoredError

AnalysisPart = Literal["statistics", "causes"]
AnalysisState = Literal["ready", "pending", "failed", "none"]
"""`none`: nothing to analyse; `pending`: no worker has answered yet."""


@dataclass(frozen=True, slots=True)
class AnalysedResult:
    """One part of the analysis of one (expert, split)."""

    expert: str
    split: str
    state: AnalysisState = "none"
    analysis: Mapping[str, Any] | None = None
    """A worker's answer: the JSON of `Statistics`, or causes with their `message`."""
    error: StoredError | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Expert and split."""
        return self.expert, self.split


@dataclass(frozen=True, slots=True)
class JobAnalysis:
    """One part of the analysis of a job's results."""

    part: AnalysisPart
    results: tuple[AnalysedResult, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no answer is pending."""
        return all(result.state != "pending" for result in self.results)

    def by_place(self) -> dict[tuple[str, str], AnalysedResult]:
        """Return the results by expert and split."""
        return {result.place: result for result in self.results}


@dataclass(frozen=True, slots=True)
class Intervals:
    """Confidence intervals of metrics, and how they were computed."""

    level: float
    resamples: int
    seed: int
    method: str
    figures: Mapping[str, Sequence[float] | None]
    """Lower and upper end by the metric's name."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a risk-coverage curve; coverage rises."""

    coverage: Sequence[float]
    risk: Sequence[float]


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


@dataclass(frozen=True, slots=True)
class Statistics:
    """Intervals and curves of one result; curves and bins are None where the file holds no logits."""

    intervals: Intervals
    curves: Mapping[str, Curve | None]
    areas: Mapping[str, float | None]
    reliability: Sequence[ReliabilityBin] | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Statistics:
        """Read a worker's answer."""
        curves = {name: None if curve is None else Curve(**curve) for name, curve in data["curves"].items()}
        names = ("from", "to", "rows", "confidence", "accuracy")
        bins = (
            None
            if data["reliability"] is None
            else [ReliabilityBin(*(item[name] for name in names)) for item in data["reliability"]]
        )
        return cls(Intervals(**data["intervals"]), curves, data["areas"], bins)
