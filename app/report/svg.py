"""Small static charts as SVG: axes, lines, steps, dots and bars. Colours come from the page: every mark has a class.

A library would bring scripts, its own style sheet or matplotlib's weight; here a chart is a few kB, follows the
page from light to dark, and says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from markupsafe import Markup

from app.report.drawings import Data, Drawing, Value

COLOURS, DASHES = 7, 6
"""Coprime: 42 experts differ in the pair, and neighbours in both."""

LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 12.0, 38.0
"""What the axes take of a chart, in its units."""

ROW, LETTER = 18.0, 6.6
"""What a row of words above the picture takes, and about what a letter of it does."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale with its ticks; it goes from the first to the last of them, or between `ends`."""

    label: str
    ticks: Sequence[float]
    ends: tuple[float, float] | None = None
    words: Sequence[str] | None = None
    """What stands at the ticks; None for their values."""

    @property
    def low(self) -> float:
        """Where the scale begins."""
        return self.ends[0] if self.ends else self.ticks[0]

    @property
    def high(self) -> float:
        """Where the scale ends."""
        return self.ends[1] if self.ends else self.ticks[-1]

    def share(self, value: float) -> float:
        """Return a value's place from `low` (0) to `high` (1)."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class LogAxis(Axis):
    """A scale of logarithms: ends and values lie above 0."""

    def share(self, value: float) -> float:
        """Return a value's place from `low` (0) to `high` (1)."""
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return min(max(part, 0.0), 1.0)


UNIT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def ticks_to(highest: float) -> tuple[float, ...]:
    """Return round ticks from 0 to `highest` or beyond.

    There are at most seven.
    """
    return ticks_between(0.0, highest)


def ticks_between(lowest: float, highest: float) -> tuple[float, ...]:
    """Return round ticks over both ends, 0 among them.

    There are at most seven, or eight where `lowest` is below 0.
    """
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    extent = highest - lowest
    if extent <= 0:
        return UNIT
    power = 10.0 ** math.floor(math.log10(extent))
    steps = (power * factor for factor in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2))
    step = next(step for step in steps if extent / step <= 6 + 1e-9)
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    return tuple(step * i for i in range(first, last + 1))


def log_axis(label: str, highest: float) -> LogAxis:
    """Build a log scale for counts of 1 to `highest`.

    Both lie inside its ends.
    """
    end = max(10.0, highest * 1.1)
    return LogAxis(label, [10.0**power for power in range(math.floor(math.log10(end)) + 1)], (0.7, end))


def apart(wanted: Sequence[float], widths: Sequence[float], ends: tuple[float, float]) -> list[float]:
    """Move words by their middles so that none overlaps.

    They stay within the ends.
    """
    placed, free = list(wanted), ends[0]
    for i, width in enumerate(widths):
        placed[i] = max(placed[i], free + width / 2)
        free = placed[i] + width / 2 + LETTER
    free = ends[1]
    for i, width in reversed(list(enumerate(widths))):
        placed[i] = min(placed[i], free - width / 2)
        free = placed[i] - width / 2 - LETTER
    return placed


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by straight lines."""

    points: Sequence[tuple[float, float]]
    style: str
    """Class names."""
    name: str = ""
    """What a pointer over it shows."""


@dataclass(frozen=True, slots=True)
class Area:
    """What lies between two lines, such as a band of intervals."""

    ends: Sequence[tuple[float, float, float]]
    """x, lower and upper y; x rises."""
    style: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A disc."""

    x: float
    y: float
    radius: float
    """In the chart's units."""
    style: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars from the x axis up, one for each whole x from 0; none where the height is None."""

    heights: Sequence[float | None]
    style: str
    base: float | None = None
    """Where the bars begin, up or down; None for the x axis."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A level for each whole x from 0, half a step to both its sides; a gap where it is None."""

    levels: Sequence[float | None]
    style: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bands:
    """Stretches that follow each other along the x axis: a word above each, and a rule between two."""

    words: Sequence[str]
    sizes: Sequence[int]
    """How many whole x each holds, from 0; at least one."""
    style: str
    """Of the rules."""
    row: int = 0
    """Of the words, counted upwards; the chart must have so many and one more."""


Mark = Line | Area | Dot | Bars | Steps | Bands


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn on: two axes, a name, and a description for those who do not see it."""

    title: str
    description: str
    x: Axis
    y: Axis
    width: int = 320
    height: int = 240
    rows: int = 0
    """Of words above the picture."""

    def draw(self, marks: Iterable[Mark], data: Data | None = None) -> Drawing:
        """Draw the chart with these marks, later ones on top.

        `data` are columns and rows of what it shows; left out, those of its lines, dots, bars and steps.
        """
        marks = list(marks)
        svg = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>')
        drawn = Markup("").join([*self._axes(), *(self._mark(mark) for mark in marks)])
        picture = svg.format(self.width, self.height, self.title, self.description, drawn)
        return Drawing.of(picture, self.title, *(data or _data_of(marks, self.x.label, self.y.label)))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point to chart units from the upper left."""
        across = LEFT + self.x.share(x) * (self.width - LEFT - RIGHT)
        top = TOP + self.rows * ROW
        return across, top + (1 - self.y.share(y)) * (self.height - top - BOTTOM)

    def _axes(self) -> Iterable[Markup]:
        left, bottom = self.at(self.x.low, self.y.low)
        right, top = self.at(self.x.high, self.y.high)
        for value, word in zip(self.y.ticks, self.y.words or _labels(self.y.ticks), strict=True):
            _, y = self.at(self.x.low, value)
            yield Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>').format(left, y, right)
            yield Markup('<text class="end" x="{:.1f}" y="{:.1f}">{}</text>').format(left - 5, y + 4, word)
        for value, word in zip(self.x.ticks, self.x.words or _labels(self.x.ticks), strict=True):
            x, _ = self.at(value, self.y.low)
            yield Markup('<path class="axis" d="M{:.1f} {:.1f}v4"/>').format(x, bottom)
            yield Markup('<text class="middle" x="{:.1f}" y="{:.1f}">{}</text>').format(x, bottom + 16, word)
        yield Markup('<path class="axis" d="M{:.1f} {:.1f}V{:.1f}H{:.1f}"/>').format(left, top, bottom, right)
        text = Markup('<text class="middle" x="{:.1f}" y="{}">{}</text>')
        yield text.format((left + right) / 2, self.height - 5, self.x.label)
        turned = Markup('<text class="middle" transform="translate(11 {:.1f}) rotate(-90)">{}</text>')
        yield turned.format((top + bottom) / 2, self.y.label)

    def _mark(self, mark: Mark) -> Markup:
        if isinstance(mark, Bars):
            return Markup('<path class="{}" d="{}"/>').format(mark.style, "".join(self._bars(mark)))
        if isinstance(mark, Bands):
            return Markup("").join(self._bands(mark))
        if isinstance(mark, Area):
            corners = [(x, low) for x, low, _ in mark.ends] + [(x, high) for x, _, high in reversed(mark.ends)]
            return Markup('<path class="{}" d="{}Z"/>').format(mark.style, self._path(corners))
        tip = Markup("<title>{}</title>").format(mark.name) if mark.name else ""
        if isinstance(mark, Dot):
            circle = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}">{}</circle>')
            return circle.format(mark.style, *self.at(mark.x, mark.y), mark.radius, tip)
        path = "".join(self._steps(mark.levels)) if isinstance(mark, Steps) else self._path(mark.points)
        return Markup('<path class="{}" d="{}">{}</path>').format(mark.style, path, tip)

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        return "M" + "L".join("{:.1f} {:.1f}".format(*self.at(x, y)) for x, y in points)

    def _steps(self, levels: Sequence[float | None]) -> Iterable[str]:
        place, joined = 0, False
        for level, run in groupby(levels):
            first, place = place, place + len(list(run))
            if level is not None:
                left, y = self.at(first - 0.5, level)
                right, _ = self.at(place - 0.5, level)
                yield f"V{y:.1f}H{right:.2f}" if joined else f"M{left:.2f} {y:.1f}H{right:.2f}"
            joined = level is not None

    def _bands(self, bands: Bands) -> Iterable[Markup]:
        edges = [self.at(end - 0.5, self.y.high)[0] for end in accumulate(bands.sizes, initial=0)]
        (_, top), (_, bottom) = self.at(0, self.y.high), self.at(0, self.y.low)
        bar = top - 3 - bands.row * ROW
        middles = [(left + right) / 2 for left, right in pairwise(edges)]
        placed = apart(middles, [LETTER * len(word) for word in bands.words], (edges[0], edges[-1]))
        for word, middle, (left, right) in zip(bands.words, placed, pairwise(edges), strict=True):
            inset = min(1.0, (right - left) / 4)  # neighbours stay two
            yield Markup('<path class="axis" d="M{:.2f} {:.1f}H{:.2f}"/>').format(left + inset, bar, right - inset)
            yield Markup('<text class="middle" x="{:.1f}" y="{:.1f}">{}</text>').format(middle, bar - 4, word)
        for edge in edges[1:-1]:
            yield Markup('<path class="{}" d="M{:.2f} {:.1f}V{:.1f}"/>').format(bands.style, edge, top, bottom)

    def _bars(self, bars: Bars) -> Iterable[str]:
        base = self.y.low if bars.base is None else bars.base
        for place, height in enumerate(bars.heights):
            if height is not None:
                left, y = self.at(place - 0.4, height)
                right, bottom = self.at(place + 0.4, base)
                yield f"M{left:.2f} {bottom:.1f}V{y:.1f}H{right:.2f}V{bottom:.1f}Z"


def _data_of(marks: Iterable[Mark], x: str, y: str) -> Data:
    """List the points of all marks that have a name, or are the only ones of their kind."""
    rows: list[tuple[Value, ...]] = []
    for mark in marks:
        if isinstance(mark, Line) and mark.name:
            rows += [(mark.name, *point) for point in mark.points]
        elif isinstance(mark, Dot):
            rows.append((mark.name, mark.x, mark.y))
        elif isinstance(mark, Bars | Steps):
            values = mark.heights if isinstance(mark, Bars) else mark.levels
            rows += [(getattr(mark, "name", ""), place, value) for place, value in enumerate(values)]
    return ("series", x, y), rows


def _labels(ticks: Sequence[float]) -> list[str]:
    """Format ticks with the digits that their step needs."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:.{digits}f}".replace("-", "−") for tick in ticks]
