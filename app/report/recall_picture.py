"""The chart of each class's recall, in the order of its train samples where these are known."""

from __future__ import annotations

from collections.abc import Sequence

from app.report.drawings import Drawing
from app.report.pictures import class_ticks
from app.report.split_picture import ClassGroups
from app.report.svg import UNIT, Axis, Bands, Bars, Chart, Line, Mark

GROUPS = ("head", "tail")


def recall_by_class(name: str, recalls: Sequence[float | None], groups: ClassGroups | None) -> Drawing:
    """Draw a bar for each class's recall, by falling train samples.

    Equal ones go by class number, as do all where the train samples are not known. A line in each group shows the
    mean of its recalls.
    """
    if groups is None or len(groups.train_counts) != len(recalls):
        return _by_number(name, recalls)
    counts = groups.train_counts
    order = sorted(range(len(recalls)), key=lambda label: (-counts[label], label))
    ticks = class_ticks(len(order))
    words = [f"{counts[order[round(tick)]]:,}" for tick in ticks]
    x = Axis("train samples of the class", ticks, (-0.5, len(order) - 0.5), words)
    shown = [recalls[label] for label in order]
    marks: list[Mark] = [Bars(shown, "bar")]
    means, first, sizes = [], 0, []
    for group in GROUPS:
        size = len(groups.members(group))
        known = [value for value in shown[first : first + size] if value is not None]
        if known:
            mean = sum(known) / len(known)
            ends = [(first - 0.5, mean), (first + size - 0.5, mean)]
            marks.append(Line(ends, "line c1", f"mean of {group}: {mean:.3f}"))
            means.append(f"{group} {mean:.3f}")
        if size:
            sizes.append((group, size))
        first += size
    marks.append(Bands([group for group, _ in sizes], [size for _, size in sizes], "rule dotted"))
    description = f"Share of each class's rows that is right, classes by falling train samples. {_range(recalls)}"
    if means:
        description += f" Means: {', '.join(means)}."
    chart = Chart(f"Recall by train samples, {name}", description, x, Axis("recall", UNIT), width=420, rows=1)
    group_of = {label: group for group in GROUPS for label in groups.members(group)}
    rows = [(label, counts[label], group_of.get(label), recalls[label]) for label in order]
    return chart.draw(marks, (("class", "train samples", "group", "recall"), rows))


def _by_number(name: str, recalls: Sequence[float | None]) -> Drawing:
    description = (
        f"Share of each class's rows that is right, classes 0 to {len(recalls) - 1} by number: their train samples "
        f"are not known. {_range(recalls)}"
    )
    x = Axis("class", class_ticks(len(recalls)), (-0.5, len(recalls) - 0.5))
    chart = Chart(f"Recall by class, {name}", description, x, Axis("recall", UNIT), width=420)
    return chart.draw([Bars(recalls, "bar")], (("class", "recall"), list(enumerate(recalls))))


def _range(recalls: Sequence[float | None]) -> str:
    known = [value for value in recalls if value is not None]
    sentences = []
    if known:
        never = sum(value == 0 for value in known)
        sentences.append(f"From {min(known):.3f} to {max(known):.3f}; {never} classes are never right.")
    if len(known) < len(recalls):
        sentences.append(f"{len(recalls) - len(known)} classes have no rows.")
    return " ".join(sentences)
