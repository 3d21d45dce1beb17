"""Analyses of results: intervals, curves and figures, causes of a failed check, ensembles and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.domain.checks import StoredError
from app.domain.result_figures import (
    Confusion,
    GroupCalibration,
    ReliabilityBin,
    ScoreComparison,
    ShiftedPriors,
)

AnalysisPart = Literal["statistics", "causes", "ensemble", "seeds"]
"""`ensemble`: all experts of a split together; `seeds`: experts that differ only in their seed."""
AnalysisState = Literal["ready", "pending", "failed", "none"]
"""`none`: nothing to analyse; `pending`: no worker has answered yet."""


@dataclass(frozen=True, slots=True)
class AnalysedResult:
    """One part of the analysis of one (expert, split)."""

    expert: str
    """Of `seeds` the name that the experts share; empty of `ensemble`."""
    split: str
    state: AnalysisState = "none"
    analysis: Mapping[str, Any] | None = None
    """The JSON of `Statistics`, `Ensemble` or `SeedSummary`, or causes with their `message`."""
    error: StoredError | None = None
    experts: tuple[str, ...] = ()
    """All experts that it is of, for `ensemble` and `seeds`."""

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
    """Lower and upper end by the metric's name; also of `balanced_aurc` and `worst_group_aurc`, which are areas."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a risk-coverage curve; coverage rises."""

    coverage: Sequence[float]
    risk: Sequence[float]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Intervals, curves and figures of one result; each is None where it has no value, with its reason in `reasons`.

    `calibration`, `scores`, `shifted_priors` and `confusion` are also None in answers of older workers.
    """

    intervals: Intervals
    curves: Mapping[str, Curve | None]
    areas: Mapping[str, float | None]
    reliability: Sequence[ReliabilityBin] | None
    calibration: Mapping[str, GroupCalibration | None] | None = None
    """Of `head` and `tail`; None for a group without rows."""
    scores: ScoreComparison | None = None
    shifted_priors: ShiftedPriors | None = None
    confusion: Confusion | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why one of the fields is None, by its name."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Statistics:
        """Read a worker's answer."""
        curves = {name: None if curve is None else Curve(**curve) for name, curve in data["curves"].items()}
        bins, calibration = data["reliability"], data.get("calibration")
        if calibration is not None:
            calibration = {k: None if v is None else GroupCalibration.from_dict(v) for k, v in calibration.items()}
        scores, priors, confusion = (data.get(name) for name in ("scores", "shifted_priors", "confusion"))
        return cls(
            Intervals(**data["intervals"]),
            curves,
            data["areas"],
            None if bins is None else [ReliabilityBin.from_dict(item) for item in bins],
            calibration,
            None if scores is None else ScoreComparison.from_dict(scores),
            None if priors is None else ShiftedPriors.from_dict(priors),
            None if confusion is None else Confusion.from_dict(confusion),
            data.get("reasons", {}),
        )
