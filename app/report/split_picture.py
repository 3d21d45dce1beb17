"""The picture of a set of splits: samples of each class in each list, and the groups of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.report.drawings import Drawing
from app.report.pictures import class_ticks, line_style, swatch
from app.report.svg import Axis, Bands, Chart, Mark, Steps, log_axis

BY_SIZE = ("many", "medium", "few")
BY_THRESHOLD = ("head", "tail")


@dataclass(frozen=True, slots=True)
class ShownList:
    """An index list with its class counts."""

    name: str
    base: str | None = None
    size: int | None = None
    class_counts: Sequence[int] | None = None
    """[C]; None where they are not known."""
    unread: bool = False
    """Whether a worker has still to count."""
    problem: str | None = None
    """Why the list cannot be used."""


@dataclass(frozen=True, slots=True)
class ClassGroups:
    """Groups of classes, as class numbers, by their train counts."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    source: str
    """Where the counts come from."""
    head_threshold: int
    train_counts: Sequence[int]
    head: Sequence[int]
    tail: Sequence[int]
    many: Sequence[int]
    medium: Sequence[int]
    few: Sequence[int]

    def members(self, name: str) -> Sequence[int]:
        """Return the classes of a group, by its name."""
        classes: Sequence[int] = getattr(self, name)
        return classes


@dataclass(frozen=True, slots=True)
class ShownSet:
    """A set of splits as it is on disk now."""

    name: str
    lists: Sequence[ShownList]
    groups: ClassGroups | None = None
    changed: Sequence[str] = ()
    """Lists that are not those that the job took."""


@dataclass(frozen=True, slots=True)
class SplitSet:
    """What the page shows of the set that the results belong to."""

    name: str
    picture: Drawing | None
    key: Sequence[tuple[Markup, str, str]]
    """Swatch, name and text of each list: its size, its base, and what its line does not show."""
    groups: Sequence[tuple[str, str]]
    """Name and text of each group."""
    source: str | None
    """Where the train counts are from; None where there are no groups."""
    notes: Sequence[str]
    """About lists that are not drawn, or have problems."""


def split_set(shown: ShownSet | None) -> SplitSet | None:
    """Build what the page shows of a set."""
    if shown is None or not shown.lists:
        return None
    counted = [(number, a_list) for number, a_list in enumerate(shown.lists) if a_list.class_counts]
    groups = shown.groups
    return SplitSet(
        shown.name,
        class_counts(shown) if counted else None,
        [(swatch(number), a_list.name, _in_key(shown.lists, number)) for number, a_list in counted],
        _groups(groups) if groups else (),
        groups.source if groups else None,
        _notes(shown),
    )


def class_counts(shown: ShownSet) -> Drawing:
    """Draw the lists' class counts on a log scale.

    All lists have one order of classes, and a gap where a list has no sample of a class. With groups, classes go by
    falling train samples, equal ones by number; without, by number. At least one list has counts.
    """
    groups = shown.groups
    known = {number: a_list.class_counts for number, a_list in enumerate(shown.lists) if a_list.class_counts}
    order = _class_order(groups, max(len(counts) for counts in known.values()))
    ticks = class_ticks(len(order))
    marks: list[Mark] = []
    if groups:
        marks = [_bands(groups, BY_SIZE, "rule dotted", row=1), _bands(groups, BY_THRESHOLD, "rule", row=0)]
    sentences = []
    for number, counts in known.items():
        name, span = shown.lists[number].name, _range(counts)
        marks.append(Steps([_count_of(counts, label) for label in order], line_style(number), f"{name}: {span}"))
        sentences.append(f"{name}: {_in_key(shown.lists, number)}; {span}.")
    if groups:
        sizes = (f"{name} {_classes(len(groups.members(name)))}" for name in BY_SIZE + BY_THRESHOLD)
        sentences.append(f"Groups: {', '.join(sizes)}.")
    label = "class number, by falling train samples" if groups else "class number"
    x = Axis(label, ticks, (-0.5, len(order) - 0.5), [str(order[int(tick)]) for tick in ticks])
    y = log_axis("samples, log scale", max(max(counts) for counts in known.values()))
    height, rows = (300, 2) if groups else (264, 0)
    chart = Chart(f"Samples of each class, {shown.name}", " ".join(sentences), x, y, 440, height, rows)
    columns = ("class", *(shown.lists[number].name for number in known))
    data = [(label, *(_count_of(counts, label) or 0 for counts in known.values())) for label in order]
    return chart.draw(marks, (columns, data))


def _class_order(groups: ClassGroups | None, classes: int) -> list[int]:
    """Order the classes by falling train samples.

    Classes beyond the train counts come last.
    """
    train_counts = groups.train_counts if groups else ()
    ordered = sorted(range(len(train_counts)), key=lambda label: -train_counts[label])
    return [*ordered, *range(len(train_counts), classes)]


def _count_of(counts: Sequence[int], label: int) -> int | None:
    """Return a class's samples, None for zero.

    Zero has no logarithm.
    """
    return (counts[label] if label < len(counts) else 0) or None


def _bands(groups: ClassGroups, names: Sequence[str], style: str, row: int) -> Bands:
    sizes = {name: len(groups.members(name)) for name in names if groups.members(name)}
    return Bands([f"{name} {size:,}" for name, size in sizes.items()], list(sizes.values()), style, row)


def _range(counts: Sequence[int]) -> str:
    present = [number for number in counts if number]
    if not present:
        return "no samples"
    if min(present) == max(present):
        return f"{present[0]:,} a class"
    return f"{min(present):,} to {max(present):,} a class"


def _in_key(lists: Sequence[ShownList], number: int) -> str:
    """Describe a list for the key.

    The text has its size, base, number of empty classes, and an earlier list of equal counts.
    """
    a_list = lists[number]
    counts = a_list.class_counts or ()
    size = sum(counts) if a_list.size is None else a_list.size
    text = f"{size:,}" + (f" of {a_list.base}" if a_list.base else "")
    if empty := sum(count == 0 for count in counts):
        text += f", none of {_classes(empty)}"
    twin = next((earlier.name for earlier in lists[:number] if earlier.class_counts == counts), None)
    return text + (f", same counts as {twin}" if twin is not None else "")


def _groups(groups: ClassGroups) -> list[tuple[str, str]]:
    threshold = groups.head_threshold
    meanings = {
        "many": "more than 100 train samples",
        "medium": "20 to 100",
        "few": "fewer than 20",
        "head": f"more than {threshold:,}",
        "tail": f"at most {threshold:,}",
    }
    legend = []
    for name, meaning in meanings.items():
        members = groups.members(name)
        samples = sum(groups.train_counts[label] for label in members)
        legend.append((name, f"{meaning}; {_classes(len(members))}, {samples:,} samples"))
    return legend


def _notes(shown: ShownSet) -> list[str]:
    notes, names = [], dict[str, list[str]]()
    if shown.changed:
        changed = ", ".join(shown.changed)
        notes.append(f"Changed since this job took them: {changed}. The picture shows what is there now.")
    for a_list in shown.lists:
        if a_list.problem is not None:
            names.setdefault(a_list.problem, []).append(a_list.name)
        elif a_list.unread:
            names.setdefault("No worker has read it yet; reload in a moment.", []).append(a_list.name)
        elif not a_list.class_counts:
            names.setdefault("Its samples are not counted by class.", []).append(a_list.name)
    return notes + [f"{', '.join(those)}: {why}" for why, those in names.items()]


def _classes(number: int) -> str:
    return f"{number:,} class" if number == 1 else f"{number:,} classes"
