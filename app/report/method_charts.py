"""The charts of an evaluation: errors, acceptance and calibration of several methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from app.domain.evaluations import CoveragePoint, Evaluation
from app.report.drawings import Data, Drawing
from app.report.pictures import calibration
from app.report.shown_methods import MSP, ShownMethod, ShownMethods
from app.report.svg import UNIT, Area, Axis, Chart, Line, Mark, ticks_between

Point = tuple[float, float]
Value = Callable[[CoveragePoint], float | None]

ERRORS: Sequence[tuple[str, str, str, Value]] = (
    ("overall", "Error", "share of accepted rows that are wrong", lambda point: point.overall),
    ("balanced", "Balanced error", "mean of the groups' errors", lambda point: point.balanced),
    ("worst", "Worst-group error", "the largest of the groups' errors", lambda point: point.worst),
)
"""Name of the band, title, meaning, value; docs/downstream.md defines them."""


def error_charts(evaluation: Evaluation, shown: ShownMethods) -> list[Drawing]:
    """Draw overall, balanced and worst-group error against coverage.

    Each has a scale of its own, that of the main methods; lines of experts are cut where they leave it.
    """
    return [
        _chart(evaluation, f"{title} against coverage", meaning, title.lower(), (name, value), shown)
        for name, title, meaning, value in ERRORS
    ]


def gap_chart(evaluation: Evaluation, shown: ShownMethods) -> Drawing:
    """Draw the last group's error minus the first one's against coverage."""
    first, last = evaluation.group_names[0], evaluation.group_names[-1]
    name = f"{last} − {first} error"
    meaning = f"error of {last} minus that of {first}; above 0 {last} is worse off"
    gap = ("gap", lambda point: point.gap)
    return _chart(evaluation, f"{name} against coverage", meaning, name, gap, shown)


def acceptance_charts(evaluation: Evaluation, shown: ShownMethods) -> list[Drawing]:
    """Draw each group's accepted share, of rules beside confidence scores."""
    return [_acceptance(evaluation, number, name, shown) for number, name in enumerate(evaluation.group_names)]


def _acceptance(evaluation: Evaluation, number: int, group: str, shown: ShownMethods) -> Drawing:
    def value(point: CoveragePoint) -> float | None:
        return point.group_acceptance[number]

    x, y = _coverage(evaluation), Axis(f"{group} accepted", UNIT)
    marks: list[Mark] = [
        *_bands(f"{group}_acceptance", shown.rules),
        Line([(x.low, x.low), (1, 1)], "diagonal"),
        *(line for method in shown.rules for line in _lines(method, value, y)),
    ]
    ends = [f"{method.name} {_at_ends(method, value)}" for method in shown.rules]
    low, high = evaluation.coverages[0], evaluation.coverages[-1]
    description = (
        f"Share of {group}'s rows that is accepted at coverage {low:g} and {high:g}: {'; '.join(ends)}. On the "
        "diagonal the group is accepted as often as all rows are."
    )
    data = _data(f"{group} accepted", (f"{group}_acceptance", value), shown.rules)
    return Chart(f"Acceptance of {group} against coverage", description, x, y).draw(marks, data)


def reliability_charts(evaluation: Evaluation) -> list[tuple[str, Drawing]]:
    """Draw accuracy against confidence, once for each combination and expert: its name and chart."""
    return [
        (method.name.removesuffix(MSP), calibration(method.name.removesuffix(MSP), method.reliability))
        for method in evaluation.methods
        if method.reliability is not None and method.name.endswith(MSP)
    ]


def _chart(
    evaluation: Evaluation,
    title: str,
    meaning: str,
    label: str,
    figure: tuple[str, Value],
    shown: ShownMethods,
) -> Drawing:
    name, value = figure
    main, experts = shown.main, shown.experts
    values = [v for method in main for v in map(value, method.method.at_coverage) if v is not None]
    values += [end for area in _bands(name, main) for _, low, high in area.ends for end in (low, high)]
    y = Axis(label, ticks_between(min(values, default=0.0), max(values, default=1.0)))
    marks: list[Mark] = [
        *(line for method in experts for line in _lines(method, value, y)),
        *_bands(name, main),
        *(line for method in main for line in _lines(method, value, y)),
    ]
    ends = [f"{method.name} {_at_ends(method, value)}" for method in (*main, *experts)]
    low, high = evaluation.coverages[0], evaluation.coverages[-1]
    description = f"{meaning.capitalize()}. At coverage {low:g} and {high:g}: {'; '.join(ends)}."
    return Chart(title, description, _coverage(evaluation), y).draw(marks, _data(label, figure, (*main, *experts)))


def _data(label: str, figure: tuple[str, Value], methods: Sequence[ShownMethod]) -> Data:
    """List all points of the methods, also those that leave the scale, with their intervals."""
    name, value = figure
    rows = [
        (method.name, point.kappa, value(point), *(point.bands.get(name) or (None, None)))
        for method in methods
        for point in method.method.at_coverage
    ]
    return ("method", "coverage", label, "interval from", "to"), rows


def _coverage(evaluation: Evaluation) -> Axis:
    """Return the coverage axis, from a round tick at or below the least coverage."""
    first = math.floor(evaluation.coverages[0] * 5 + 1e-9)
    return Axis("coverage", UNIT[min(first, 4) :])


def _bands(name: str, methods: Sequence[ShownMethod]) -> list[Area]:
    areas = []
    for method in methods:
        ends = []
        for point in method.method.at_coverage:
            interval = point.bands.get(name)
            if interval is not None:
                ends.append((point.kappa, *interval))
        if method.band is not None and ends:
            areas.append(Area(ends, method.band))
    return areas


def _lines(method: ShownMethod, value: Value, y: Axis) -> Iterator[Line]:
    """Yield a method's line; several where it leaves the scale or has gaps."""
    points = [(point.kappa, value(point)) for point in method.method.at_coverage]
    for run in _runs(points, y):
        yield Line(run, method.style, method.name)


def _runs(points: Sequence[tuple[float, float | None]], y: Axis) -> list[list[Point]]:
    """Cut a line where values are missing or lie outside the scale."""
    runs: list[list[Point]] = [[]]
    for start, end in pairwise(points):
        part = None if start[1] is None or end[1] is None else _inside((start[0], start[1]), (end[0], end[1]), y)
        if part is None:
            runs.append([])
        elif runs[-1] and runs[-1][-1] == part[0]:
            runs[-1].append(part[1])
        else:
            runs.append([*part])
    return [run for run in runs if run]


def _inside(start: Point, end: Point, y: Axis) -> tuple[Point, Point] | None:
    """Cut a straight line at the ends of the scale.

    The result is None where nothing of it is left.
    """
    low, high = sorted((start[1], end[1]))
    if high < y.low or low > y.high:
        return None

    def cut(point: Point) -> Point:
        level = min(max(point[1], y.low), y.high)
        if level == point[1]:
            return point
        return start[0] + (level - start[1]) / (end[1] - start[1]) * (end[0] - start[0]), level

    return cut(start), cut(end)


def _at_ends(method: ShownMethod, value: Value) -> str:
    points = method.method.at_coverage
    return f"{_three(value(points[0]))} and {_three(value(points[-1]))}"


def _three(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}".replace("-", "−")
