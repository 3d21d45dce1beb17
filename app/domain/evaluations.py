"""Evaluations of combined experts and rejectors on test rows. docs/downstream.md defines the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Interval = tuple[float, float]
"""Lower and upper end."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A method's figure minus the reference's, on the same resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What a method does at one target coverage. Fractions of 1; None where no row has weight."""

    kappa: float
    """The target coverage, 0…1."""
    coverage: float | None
    """The accepted share of the weight; equals κ unless a stored threshold decides."""
    overall: float | None
    """P(wrong | accepted); 1 with nothing accepted."""
    balanced: float | None
    """Mean of the groups' errors."""
    worst: float | None
    """The largest of the groups' errors."""
    gap: float | None
    """Error of the last group minus that of the first, such as tail − head."""
    group_errors: tuple[float | None, ...]
    """[K]: P(wrong | accepted, group); 1 with nothing of it accepted; None for a group without weight."""
    group_acceptance: tuple[float | None, ...]
    """[K]: P(accepted | group); None for a group without weight."""
    threshold: float | None = None
    """The stored threshold; None at exact coverage."""
    bands: Mapping[str, Interval | None] = field(default_factory=dict)
    """Intervals at exact coverage, by `overall`, `balanced`, `worst`, `gap` and `{group}_acceptance`."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CoveragePoint:
        """Rebuild the point that `asdict` wrote."""
        lists = {name: tuple(data[name]) for name in ("group_errors", "group_acceptance")}
        return cls(**{**data, **lists, "bands": _intervals(data["bands"])})


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Errors over coverage, for a plot; coverage rises."""

    coverage: tuple[float, ...]
    overall: tuple[float | None, ...]
    balanced: tuple[float | None, ...]
    worst: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows whose confidence lies in [low, high)."""

    low: float
    high: float
    weight: float
    """Share of all weight."""
    confidence: float | None
    """Weighted mean of the rows; None without weight."""
    accuracy: float | None
    """Weighted fraction of the rows; None without weight."""


@dataclass(frozen=True, slots=True)
class MethodEvaluation:
    """How one method does on the test rows."""

    name: str
    figures: Mapping[str, float | None]
    """Headline figures; None where the method or the rows leave one undefined."""
    intervals: Mapping[str, Interval | None]
    """Of each headline figure."""
    differences: Mapping[str, Difference | None]
    """Of each headline figure, to the reference."""
    at_coverage: tuple[CoveragePoint, ...]
    """At each target coverage, met exactly on the test rows."""
    at_threshold: tuple[CoveragePoint, ...] | None
    """With the stored threshold of each target coverage; None without thresholds."""
    curve: ErrorCurve
    """The whole curve, thinned, where a group without an accepted row is left out; a rule's is `at_coverage`."""
    reliability: tuple[CalibrationBin, ...] | None
    """Equal-width bins of confidence; None without confidences."""
    expert_weights: Mapping[str, tuple[float, ...] | None] | None
    """Mean weights of the experts by class group; None without expert weights."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MethodEvaluation:
        """Rebuild the method that `asdict` wrote."""
        differences = data["differences"]
        weights, bins = data["expert_weights"], data["reliability"]
        return cls(
            name=data["name"],
            figures=dict(data["figures"]),
            intervals=_intervals(data["intervals"]),
            differences={name: None if d is None else Difference(**d) for name, d in differences.items()},
            at_coverage=_points(data["at_coverage"]),
            at_threshold=None if data["at_threshold"] is None else _points(data["at_threshold"]),
            curve=ErrorCurve(**{name: tuple(values) for name, values in data["curve"].items()}),
            reliability=None if bins is None else tuple(CalibrationBin(**item) for item in bins),
            expert_weights=None
            if weights is None
            else {k: None if w is None else tuple(w) for k, w in weights.items()},
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How several methods do on the same test rows."""

    methods: tuple[MethodEvaluation, ...]
    coverages: tuple[float, ...]
    """Target coverages κ, rising."""
    group_names: tuple[str, ...]
    """Of the K class groups."""
    reference: str
    """The method that the others are compared with."""
    resamples: int
    """Of the bootstrap: by class, images that repeat drawn together."""
    level: float
    """Of all intervals, such as 0.95."""
    seed: int
    """Of the resamples; equal seeds give equal intervals."""
    rows: int
    """N."""
    effective_rows: float
    """(Σw)²/Σw²."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Rebuild the evaluation that `to_dict` wrote."""
        methods = tuple(MethodEvaluation.from_dict(method) for method in data["methods"])
        lists = {name: tuple(data[name]) for name in ("coverages", "group_names")}
        return cls(**{**data, **lists, "methods": methods})

    def to_dict(self) -> dict[str, Any]:
        """Write it as stored and sent."""
        return asdict(self)


def _points(data: Sequence[Mapping[str, Any]]) -> tuple[CoveragePoint, ...]:
    return tuple(CoveragePoint.from_dict(point) for point in data)


def _intervals(data: Mapping[str, Sequence[float] | None]) -> dict[str, Interval | None]:
    return {name: None if ends is None else (ends[0], ends[1]) for name, ends in data.items()}
