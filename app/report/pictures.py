"""The pictures of the page, out of what an analysis found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.report.svg import COLOURS, DASHES, UNIT, Axis, Bars, Chart, Dot, Line, Mark, ticks_to

Analysis = Mapping[str, Any]

CURVES = {
    "risk_coverage": ("Risk", "share of accepted rows that are wrong"),
    "balanced_risk_coverage": ("Balanced risk", "mean of head's and tail's share of wrong rows"),
    "worst_group_risk_coverage": ("Worst-group risk", "the larger of head's and tail's share of wrong rows"),
}
"""What is drawn, by the analysis's name of the curve; docs/metrics.md defines them."""

LARGEST_DOT, SMALLEST_DOT = 9.0, 1.5
"""Radii; between them a dot's area goes with its bin's rows."""


def line_style(number: int) -> str:
    """The classes of the expert of that number: a colour and, for who cannot tell it, a pattern of dashes."""
    return f"line c{number % COLOURS} d{number % DASHES}"


def swatch(number: int) -> Markup:
    """The sample of that line for a legend or a table."""
    sample = '<svg class="swatch" viewBox="0 0 28 10" aria-hidden="true"><path class="{}" d="M1 5H27"/></svg>'
    return Markup(sample).format(line_style(number))


def risk_coverage(split: str, found: Sequence[tuple[str, int, Analysis]]) -> list[Markup]:
    """The curves of all experts of a split, one chart for each kind, all to one scale.

    Args:
        found: name, number and analysis of each expert.
    """
    drawn = {kind: [item for item in found if item[2]["curves"].get(kind)] for kind in CURVES}
    risks = [max(a["curves"][kind]["risk"]) for kind, items in drawn.items() for _, _, a in items]
    y_ticks = ticks_to(max(risks, default=1.0))
    charts = []
    for kind, items in drawn.items():
        if not items:
            continue
        title, meaning = CURVES[kind]
        areas = [f"{name} {analysis['areas'][kind]:.3f}" for name, _, analysis in items]
        chart = Chart(
            f"{title} against coverage, {split}",
            f"{meaning.capitalize()}, as less confident rows are accepted too. Areas: {', '.join(areas)}.",
            Axis("coverage", UNIT),
            Axis(title.lower(), y_ticks),
        )
        charts.append(
            chart.draw(_curve(name, number, a["curves"][kind], a["areas"][kind]) for name, number, a in items)
        )
    return charts


def _curve(name: str, number: int, curve: Mapping[str, Sequence[float]], area: float) -> Line:
    points = list(zip(curve["coverage"], curve["risk"], strict=True))
    return Line(points, line_style(number), f"{name}: area {area:.3f}")


def reliability(name: str, bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy against mean confidence, a dot for each bin that has rows, and how far it is from the diagonal."""
    filled = [item for item in bins if item["rows"]]
    most = max((item["rows"] for item in filled), default=1)
    marks: list[Mark] = [Line([(0, 0), (1, 1)], "diagonal")]
    marks += [
        Line([(item["confidence"], item["confidence"]), (item["confidence"], item["accuracy"])], "gap")
        for item in filled
    ]
    for item in filled:
        radius = max(SMALLEST_DOT, LARGEST_DOT * math.sqrt(item["rows"] / most))
        said = (
            f"confidence {item['from']:.2f} to {item['to']:.2f}: {item['rows']} rows, "
            f"mean confidence {item['confidence']:.3f}, accuracy {item['accuracy']:.3f}"
        )
        marks.append(Dot(item["confidence"], item["accuracy"], radius, "dot", said))
    over = sum(item["rows"] for item in filled if item["confidence"] > item["accuracy"])
    rows = sum(item["rows"] for item in filled)
    description = (
        f"Accuracy against mean confidence in {len(filled)} bins; the area of a dot goes with its rows, and a dot "
        f"below the diagonal is overconfident, as those of {over} of {rows} rows are."
    )
    chart = Chart(f"Reliability, {name}", description, Axis("confidence", UNIT), Axis("accuracy", UNIT), width=240)
    return chart.draw(marks)


def recall_by_class(name: str, recalls: Sequence[float | None]) -> Markup:
    """A bar for each class, in the order of their numbers."""
    known = [value for value in recalls if value is not None]
    description = f"Share of each class's rows that is right, classes 0 to {len(recalls) - 1}."
    if known:
        never = sum(value == 0 for value in known)
        description += f" From {min(known):.3f} to {max(known):.3f}; {never} classes are never right."
    if len(known) < len(recalls):
        description += f" {len(recalls) - len(known)} classes have no rows."
    x = Axis("class", class_ticks(len(recalls)), (-0.5, len(recalls) - 0.5))
    chart = Chart(f"Recall by class, {name}", description, x, Axis("recall", UNIT), width=420)
    return chart.draw([Bars(recalls, "bar")])


def class_ticks(classes: int) -> list[float]:
    """Whole numbers at a round step, at most ten of them."""
    step = next(f * 10**power for power in range(9) for f in (1, 2, 5) if classes <= 10 * f * 10**power)
    return [float(tick) for tick in range(0, classes, step)]
