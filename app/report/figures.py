"""The table of results: which metrics are its columns, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.analyses import Statistics
from app.domain.checks import Result


def in_percent(share: float) -> float:
    """Multiply a share by 100, without the digits of rounding.

    0.00175 · 100 is 0.17500000000000002: the page would show 0.18 and the client 0.17.
    """
    return round(share * 100, 8)


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of the table."""

    name: str
    """Of the metric."""
    heading: str
    unit: str
    """Empty for a fraction of 1."""
    meaning: str
    digits: int

    def text(self, value: float | None) -> str:
        """Format a value in the column's unit."""
        if value is None:
            return "–"
        return f"{in_percent(value) if self.unit == '%' else value:.{self.digits}f}"


FIGURES = (
    Figure("accuracy", "Accuracy", "%", "right rows among all rows", 2),
    Figure("balanced_accuracy", "Balanced", "%", "mean recall of the classes present", 2),
    Figure("reweighted_accuracy", "Reweighted", "%", "recalls weighted by the splits folder's weights", 2),
    Figure("head_accuracy", "Head", "%", "right rows of classes with more than {threshold} train samples", 2),
    Figure("tail_accuracy", "Tail", "%", "right rows of classes with at most {threshold} train samples", 2),
    Figure("nll", "NLL", "nats", "mean negative log-likelihood of the label", 3),
    Figure("ece", "ECE", "", "expected calibration error over 15 bins of equal width", 4),
    Figure("aurc", "AURC", "", "area under the risk-coverage curve; smaller is better", 4),
)
"""In the order of the table; docs/metrics.md defines them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of a result with its interval, where that is known."""

    figure: Figure
    value: str
    interval: str | None


def shown_figures(results: Sequence[Result]) -> list[Figure]:
    """List the figures that at least one result has."""
    return [f for f in FIGURES if any(r.report.metrics.number(f.name) is not None for r in results)]


def cells(result: Result, figures: Sequence[Figure], statistics: Statistics | None) -> list[Cell]:
    """Build a result's cells, one for each figure."""
    intervals = statistics.intervals.figures if statistics else {}
    row = []
    for figure in figures:
        ends = intervals.get(figure.name)
        interval = None if ends is None else f"{figure.text(ends[0])}–{figure.text(ends[1])}"
        row.append(Cell(figure, figure.text(result.report.metrics.number(figure.name)), interval))
    return row


def missing(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Group the headings of missing figures by reason."""
    headings: dict[str, dict[str, None]] = {}
    for reasons in (result.report.metrics.reasons for result in results):
        for figure in FIGURES:
            if figure.name in reasons:
                headings.setdefault(reasons[figure.name], {})[figure.heading] = None
    return [(", ".join(names), reason) for reason, names in headings.items()]
