"""The table of results: which figures, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of the table."""

    name: str
    """In the JSON."""
    heading: str
    unit: str
    """Empty for a fraction of 1."""
    meaning: str
    digits: int

    def text(self, value: float | None) -> str:
        """The value in the column's unit."""
        if value is None:
            return "–"
        return f"{value * 100 if self.unit == '%' else value:.{self.digits}f}"


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
    """A figure of a result with its interval, where that is known."""

    figure: Figure
    value: str
    interval: str | None


def shown_figures(results: Sequence[Record]) -> list[Figure]:
    """Those that at least one result has."""
    return [figure for figure in FIGURES if any(_metrics(r).get(figure.name) is not None for r in results)]


def cells(result: Record, figures: Sequence[Figure], analysis: Record | None) -> list[Cell]:
    """One for each of the figures."""
    metrics = _metrics(result)
    ends = analysis["intervals"]["figures"] if analysis else {}
    made = []
    for figure in figures:
        interval = ends.get(figure.name)
        said = None if interval is None else f"{figure.text(interval[0])}–{figure.text(interval[1])}"
        made.append(Cell(figure, figure.text(metrics.get(figure.name)), said))
    return made


def missing(results: Sequence[Record]) -> list[tuple[str, str]]:
    """Headings of figures that are not there, and the reason; each reason once."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        reasons = _metrics(result).get("reasons") or {}
        for figure in FIGURES:
            if figure.name in reasons:
                found.setdefault(reasons[figure.name], {})[figure.heading] = None
    return [(", ".join(headings), reason) for reason, headings in found.items()]


def _metrics(result: Record) -> Record:
    metrics: Record = result.get("metrics") or {}
    return metrics
