"""The charts of the page, from the analysis of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.domain.analyses import Curve, Statistics
from app.domain.evaluations import CalibrationBin
from app.domain.result_figures import ReliabilityBin
from app.report.drawings import Drawing
from app.report.svg import COLOURS, DASHES, UNIT, Axis, Chart, Dot, Line, Mark, ticks_to

CURVES = {
    "risk_coverage": ("Risk", "share of accepted rows that are wrong"),
    "balanced_risk_coverage": ("Balanced risk", "mean of head's and tail's share of wrong rows"),
    "worst_group_risk_coverage": ("Worst-group risk", "the larger of head's and tail's share of wrong rows"),
}
"""What is drawn, by the analysis's name of the curve; docs/metrics.md defines them."""

LARGEST_DOT, SMALLEST_DOT = 9.0, 1.5
"""Radii; between them a dot's area goes with its bin's rows."""


def line_style(number: int) -> str:
    """Return a line's CSS classes for colour and dashes."""
    return f"line c{number % COLOURS} d{number % DASHES}"


def swatch(number: int) -> Markup:
    """Draw a line's sample for a legend."""
    return sample(line_style(number))


def sample(style: str) -> Markup:
    """Draw a sample of a line with these CSS classes."""
    line = '<svg class="swatch" viewBox="0 0 28 10" aria-hidden="true"><path class="{}" d="M1 5H27"/></svg>'
    return Markup(line).format(style)


def risk_coverage(split: str, experts: Sequence[tuple[str, int, Statistics]]) -> list[Drawing]:
    """Draw one chart for each kind of risk-coverage curve.

    All charts have one scale. `experts` has the name, number and statistics of each.
    """
    drawn: dict[str, list[tuple[str, int, Curve, float]]] = {}
    for kind in CURVES:
        for name, number, statistics in experts:
            curve, area = statistics.curves.get(kind), statistics.areas.get(kind)
            if curve is not None and area is not None and curve.risk:
                drawn.setdefault(kind, []).append((name, number, curve, area))
    risks = [max(curve.risk) for curves in drawn.values() for _, _, curve, _ in curves]
    y_ticks = ticks_to(max(risks, default=1.0))
    charts = []
    for kind, curves in drawn.items():
        title, meaning = CURVES[kind]
        areas = [f"{name} {area:.3f}" for name, _, _, area in curves]
        chart = Chart(
            f"{title} against coverage, {split}",
            f"{meaning.capitalize()}, as less confident rows are accepted too. Areas: {', '.join(areas)}.",
            Axis("coverage", UNIT),
            Axis(title.lower(), y_ticks),
        )
        lines = []
        for name, number, curve, area in curves:
            points = list(zip(curve.coverage, curve.risk, strict=True))
            lines.append(Line(points, line_style(number), f"{name}: area {area:.3f}"))
        data = [
            (name, *point) for name, _, curve, _ in curves for point in zip(curve.coverage, curve.risk, strict=True)
        ]
        charts.append(chart.draw(lines, (("expert", "coverage", title.lower()), data)))
    return charts


def reliability(name: str, bins: Sequence[ReliabilityBin]) -> Drawing:
    """Draw each filled bin's accuracy against mean confidence.

    A line joins each dot to the diagonal.
    """
    known = ((item, item.confidence, item.accuracy) for item in bins)
    filled = [
        _FilledBin(item.low, item.high, confidence, accuracy, item.rows, f"{item.rows} rows")
        for item, confidence, accuracy in known
        if confidence is not None and accuracy is not None
    ]
    over = sum(item.rows for item in bins if (item.confidence or 0) > (item.accuracy or 0))
    rows = sum(item.rows for item in bins)
    return _reliability(name, filled, f"{over} of {rows} rows", "rows")


def calibration(name: str, bins: Sequence[CalibrationBin]) -> Drawing:
    """Draw `reliability` for rows that have weights."""
    known = ((item, item.confidence, item.accuracy) for item in bins)
    filled = [
        _FilledBin(item.low, item.high, confidence, accuracy, item.weight, f"{item.weight:.1%} of the weight")
        for item, confidence, accuracy in known
        if confidence is not None and accuracy is not None
    ]
    over = sum(item.size for item in filled if item.confidence > item.accuracy)
    return _reliability(name, filled, f"{over:.0%} of the weight", "share of the weight")


@dataclass(frozen=True, slots=True)
class _FilledBin:
    low: float
    high: float
    confidence: float
    accuracy: float
    size: float
    """Of the dot's area, in any unit."""
    text: str
    """The size in words."""


def _reliability(name: str, filled: Sequence[_FilledBin], overconfident: str, unit: str) -> Drawing:
    most = max((item.size for item in filled), default=1)
    marks: list[Mark] = [Line([(0, 0), (1, 1)], "diagonal")]
    marks += [Line([(item.confidence, item.confidence), (item.confidence, item.accuracy)], "gap") for item in filled]
    for item in filled:
        radius = max(SMALLEST_DOT, LARGEST_DOT * math.sqrt(item.size / most))
        tip = f"confidence {item.low:.2f} to {item.high:.2f}: {item.text}, mean confidence {item.confidence:.3f}"
        marks.append(Dot(item.confidence, item.accuracy, radius, "dot", f"{tip}, accuracy {item.accuracy:.3f}"))
    description = (
        f"Accuracy against mean confidence in {len(filled)} bins; the area of a dot goes with its rows, and a dot "
        f"below the diagonal is overconfident, as those of {overconfident} are."
    )
    chart = Chart(f"Reliability, {name}", description, Axis("confidence", UNIT), Axis("accuracy", UNIT), width=240)
    columns = ("confidence from", "to", unit, "mean confidence", "accuracy")
    rows = [(item.low, item.high, item.size, item.confidence, item.accuracy) for item in filled]
    return chart.draw(marks, (columns, rows))


def class_ticks(classes: int) -> list[float]:
    """Return at most ten whole numbers at a round step."""
    step = next(f * 10**power for power in range(9) for f in (1, 2, 5) if classes <= 10 * f * 10**power)
    return [float(tick) for tick in range(0, classes, step)]
