"""The chart of a comparison: what B changes in the recall of each class, by falling train count."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.comparisons import ClassRecall, PairComparison
from app.report.drawings import Drawing
from app.report.pictures import class_ticks
from app.report.svg import Axis, Bands, Bars, Chart, Line, Mark, ticks_between

MARGIN = 0.02
"""Of the recall: a scale that shows nothing finer than this."""


def class_differences(pair: PairComparison, head_threshold: int, groups: Sequence[str]) -> Drawing | None:
    """Draw B − A of each class's recall, bars up and down; None where no class has a row.

    Args:
        pair: A and B on one split.
        head_threshold: train samples; a class with more is head.
        groups: names of the class groups; empty where the train counts are not known.
    """
    classes = pair.classes
    if not classes:
        return None
    values = [recall.difference for recall in classes]
    y = Axis("recall, B − A", ticks_between(min(*values, -MARGIN), max(*values, MARGIN)))
    ticks = class_ticks(len(classes))
    label = "class, by falling train count" if groups else "class"
    numbers = [str(classes[round(tick)].number) for tick in ticks]
    x = Axis(label, ticks, (-0.5, len(classes) - 0.5), numbers)
    chart = Chart(
        f"Recall of {pair.b} minus that of {pair.a} by class, {pair.split}",
        _description(pair, classes),
        x,
        y,
        width=420,
        rows=1 if groups else 0,
    )
    marks: list[Mark] = [
        Bars([value if value > 0 else None for value in values], "up", 0.0),
        Bars([value if value < 0 else None for value in values], "down", 0.0),
        Line([(-0.5, 0.0), (len(classes) - 0.5, 0.0)], "axis"),
    ]
    if groups:
        marks.append(_bands(classes, head_threshold, groups))
    columns = ("class", "train samples", "rows", f"recall of {pair.a}", f"recall of {pair.b}", "difference")
    rows = [(c.number, c.train_count, c.rows, c.a, c.b, c.difference) for c in classes]
    return chart.draw(marks, (columns, rows))


def _bands(classes: Sequence[ClassRecall], head_threshold: int, groups: Sequence[str]) -> Bands:
    """Mark the class groups, which follow each other in the order of train counts."""
    head = sum((recall.train_count or 0) > head_threshold for recall in classes)
    sizes = [(name, size) for name, size in zip(groups, (head, len(classes) - head), strict=True) if size]
    return Bands([name for name, _ in sizes], [size for _, size in sizes], "rule dotted")


def _description(pair: PairComparison, classes: Sequence[ClassRecall]) -> str:
    up = sum(recall.difference > 0 for recall in classes)
    down = sum(recall.difference < 0 for recall in classes)
    best, worst = max(classes, key=lambda c: c.difference), min(classes, key=lambda c: c.difference)
    return (
        f"{pair.b} has the higher recall in {up} of {len(classes)} classes and the lower one in {down}; from "
        f"{worst.difference:+.3f} in class {worst.number} to {best.difference:+.3f} in class {best.number}."
    )
