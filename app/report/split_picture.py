"""The picture of a set of splits: samples of each class in each list, and the groups of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.report.pictures import class_ticks, line_style, swatch
from app.report.svg import Axis, Bands, Chart, Mark, Steps, log_axis

Record = Mapping[str, Any]

BY_SIZE = ("many", "medium", "few")
BY_THRESHOLD = ("head", "tail")


@dataclass(frozen=True, slots=True)
class Entry:
    """A list in the key."""

    swatch: Markup
    name: str
    said: str
    """Its size, its base, and what its line does not show."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of classes in the legend."""

    name: str
    said: str


@dataclass(frozen=True, slots=True)
class SplitSet:
    """What the page shows of the set that the results belong to."""

    name: str
    picture: Markup | None
    key: Sequence[Entry]
    groups: Sequence[Group]
    source: str | None
    """Where the train counts are from; None where there are no groups."""
    notes: Sequence[str]
    """Of lists that are not drawn, or not sound."""


def split_set(found: Record) -> SplitSet | None:
    """The set as a value; None where there is nothing to show.

    Args:
        found: as `GET /splits/{name}` answers; empty where it does not.
    """
    lists: Sequence[Record] = found.get("splits", ())
    if not lists:
        return None
    groups: Record | None = found["groups"]
    drawn = any(one["class_counts"] for one in lists)
    key = [
        Entry(swatch(number), one["name"], _in_key(one, _twin(lists, number)))
        for number, one in enumerate(lists)
        if one["class_counts"]
    ]
    return SplitSet(
        found["name"],
        class_counts(found) if drawn else None,
        key,
        _groups(groups) if groups else (),
        groups["source"] if groups else None,
        [*_changed(found.get("changed", ())), *_notes(lists)],
    )


def _changed(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"Changed since this job took them: {', '.join(names)}. The picture shows what is there now."]


def class_counts(found: Record) -> Markup:
    """Steps on a log scale for each list: its classes in one order for all, and a gap where it has none of a class.

    Args:
        found: as `GET /splits/{name}` answers, with the counts of at least one list. With groups, the classes go by
            falling train samples, equal ones by number; without, by number.
    """
    lists, groups = found["splits"], found["groups"]
    known = {number: one["class_counts"] for number, one in enumerate(lists) if one["class_counts"]}
    classes = max(len(counts) for counts in known.values())
    order = _by_train_samples(groups["train_counts"]) if groups else range(classes)
    ticks = class_ticks(classes)
    steps = [
        Steps(
            [counts[label] or None for label in order],
            line_style(number),
            f"{lists[number]['name']}: {_range(counts)}",
        )
        for number, counts in known.items()
    ]
    bands: list[Mark] = []
    if groups:
        bands = [_bands(groups, BY_SIZE, "rule dotted", row=1), _bands(groups, BY_THRESHOLD, "rule", row=0)]
    said = [f"{lists[n]['name']}: {_in_key(lists[n], _twin(lists, n))}; {_range(known[n])}." for n in known]
    if groups:
        said.append(
            f"Groups: {', '.join(f'{name} {_classes(len(groups[name]))}' for name in BY_SIZE + BY_THRESHOLD)}."
        )
    chart = Chart(
        f"Samples of each class, {found['name']}",
        " ".join(said),
        Axis(
            "class number, by falling train samples" if groups else "class number",
            ticks,
            (-0.5, classes - 0.5),
            [str(order[int(tick)]) for tick in ticks],
        ),
        log_axis("samples, log scale", max(max(counts) for counts in known.values())),
        width=440,
        height=300 if groups else 264,
        rows=2 if groups else 0,
    )
    return chart.draw([*bands, *steps])


def _by_train_samples(train_counts: Sequence[int]) -> list[int]:
    return sorted(range(len(train_counts)), key=lambda label: -train_counts[label])


def _bands(groups: Record, names: Sequence[str], style: str, row: int) -> Bands:
    there = [name for name in names if groups[name]]
    return Bands(
        [f"{name} {len(groups[name]):,}" for name in there], [len(groups[name]) for name in there], style, row
    )


def _range(counts: Sequence[int]) -> str:
    held = [number for number in counts if number]
    if not held:
        return "no samples"
    if min(held) == max(held):
        return f"{held[0]:,} a class"
    return f"{min(held):,} to {max(held):,} a class"


def _twin(lists: Sequence[Record], number: int) -> str | None:
    """The first list before this one with the same counts: this one's line lies upon that one's."""
    own = lists[number]["class_counts"]
    return next((one["name"] for one in lists[:number] if one["class_counts"] == own), None)


def _in_key(one: Record, twin: str | None) -> str:
    said = f"{one['size']:,}" + (f" of {one['base']}" if one["base"] else "")
    if empty := sum(number == 0 for number in one["class_counts"]):
        said += f", none of {_classes(empty)}"
    return said + (f", same counts as {twin}" if twin is not None else "")


def _groups(groups: Record) -> list[Group]:
    threshold = groups["head_threshold"]
    meanings = {
        "many": "more than 100 train samples",
        "medium": "20 to 100",
        "few": "fewer than 20",
        "head": f"more than {threshold:,}",
        "tail": f"at most {threshold:,}",
    }
    counts = groups["train_counts"]
    return [
        Group(
            name,
            f"{meaning}; {_classes(len(groups[name]))}, {sum(counts[label] for label in groups[name]):,} samples",
        )
        for name, meaning in meanings.items()
    ]


def _notes(lists: Sequence[Record]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for one in lists:
        if one["problem"]:
            reasons.setdefault(one["problem"]["message"], []).append(one["name"])
        elif one["state"] == "unread":
            reasons.setdefault("No worker has read it yet; reload in a moment.", []).append(one["name"])
        elif not one["class_counts"]:
            reasons.setdefault("Its samples are not counted by class.", []).append(one["name"])
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def _classes(number: int) -> str:
    return f"{number:,} class" if number == 1 else f"{number:,} classes"
