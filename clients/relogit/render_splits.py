"""What a reader sees of a set of splits: counts by class as a picture, and how two sets differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render import NONE, Record, count, entry_problems, table
from relogit.split_diff import Difference

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 32  # columns of a picture: it stands beside six others in 80
GROUPS = {"many": "more than 100 train samples", "medium": "20 to 100", "few": "fewer than 20"}


def shown(found: Record) -> list[RenderableType]:
    """One line for each list: its size, its largest and smallest class, and a picture of its class counts.

    Args:
        found: as `GET /splits/{name}` answers. With groups, the classes go by falling train samples, equal ones by
            number, and a line above the pictures says which are many, medium and few; without, by number.
    """
    lists, groups = found["splits"], found["groups"]
    if not lists:
        return ["There are no lists."]
    largest = max((max(one["class_counts"] or [0]) for one in lists), default=0)
    order = "by train samples" if groups else "by number"
    made = table(["split", "base"], ["size", "most", "least", "factor"], [f"classes {order}, log"])
    sizes = [len(groups[name]) for name in GROUPS] if groups else []
    if groups:
        made.add_row("groups", *[""] * 5, groups_line(sizes), style="dim")
    for one in lists:
        counts = one["class_counts"] or []
        least = min(counts, default=0)
        made.add_row(
            one["name"],
            one["base"] or NONE,
            count(one["size"]),
            count(max(counts, default=None)),
            count(least if counts else None),
            f"{max(counts) / least:.1f}" if least else NONE,
            picture(_by_train_samples(counts, groups) if groups else counts, largest, sizes),
        )
    scale = f"A full block is {largest:,} samples, the lowest mark 1, none 0; one scale for all."
    legend = [_legend(groups)] if groups else []
    return [made, *entry_problems(lists), Text(scale, style="dim"), *legend]


def picture(counts: Sequence[int], largest: int, sizes: Sequence[int] = ()) -> str:
    """Counts as blocks whose height is the logarithm; several classes share one, as their mean.

    Args:
        counts: of each class, in the order of the picture.
        largest: what a full block stands for.
        sizes: of groups that follow each other in that order, of all classes; a block holds classes of one alone.
    """
    edges = [0]
    for size, columns in _shares(sizes or [len(counts)]):
        edges += [edges[-1] + size * column // columns for column in range(1, columns + 1)]
    means = [sum(counts[low:high]) / (high - low) for low, high in pairwise(edges)] if counts else []
    return "".join(_block(mean, largest) for mean in means)


def groups_line(sizes: Sequence[int]) -> str:
    """What stands above such pictures: each group's name where it begins, as much of it as there is room for.

    Args:
        sizes: of many, medium and few; an empty one has no column.
    """
    there = [name.capitalize() for name, size in zip(GROUPS, sizes, strict=True) if size]
    return "".join(f"{name[:columns]:·<{columns}}" for name, (_, columns) in zip(there, _shares(sizes), strict=True))


def diff_lines(names: tuple[str, str], found: Difference, cost: Record | None) -> list[RenderableType]:
    """What changed from one set to another, and what a job over the second would compute."""
    made = table(["list"], [f"same as in {names[0]}", "added", "removed"])
    for name in dict.fromkeys([*found.added, *found.removed]):
        cells = (found.same.get(name), found.added.get(name), found.removed.get(name))
        made.add_row(name, *(count(cell) for cell in cells))
    lines: list[RenderableType] = [made]
    lines += [Text(f"{number:,} samples moved from {old} to {new}.") for (old, new), number in found.moved.items()]
    if found.none:
        lines.append(Text(f"{names[0]} and {names[1]} hold the same samples.", style="green"))
    if cost is not None:
        computed, total = cost["computed"], cost["total"]
        said = "not known yet how many" if computed is None else f"{computed:,}"
        lines.append(Text(f"A job over {names[1]} has {count(total)} rows; forward passes: {said}."))
    return lines


def _by_train_samples(counts: Sequence[int], groups: Record) -> list[int]:
    train = groups["train_counts"]
    return [counts[label] for label in sorted(range(len(train)), key=lambda label: -train[label])] if counts else []


def _shares(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Each group that is not empty with its columns: as its size goes, at least one, WIDTH at most in all."""
    there = [size for size in sizes if size]
    columns = min(WIDTH, sum(there))
    shares, passed, end = [], 0, 0
    for number, size in enumerate(there, start=1):
        passed += size
        begin, wanted = end, round(columns * passed / sum(there))
        end = min(max(wanted, begin + 1), columns - (len(there) - number))
        shares.append((size, end - begin))
    return shares


def _legend(groups: Record) -> Table:
    """How many classes and how many train samples each group has."""
    threshold, train = groups["head_threshold"], groups["train_counts"]
    meanings = GROUPS | {"head": f"more than {threshold:,}", "tail": f"at most {threshold:,}"}
    made = table(["group"], ["classes", "train samples"], [f"of each class ({groups['source']})"])
    for name, meaning in meanings.items():
        made.add_row(name, count(len(groups[name])), count(sum(train[label] for label in groups[name])), meaning)
    return made


def _block(value: float, largest: int) -> str:
    if value <= 0:
        return BLOCKS[0]
    share = math.log(max(value, 1)) / math.log(largest) if largest > 1 else 1.0
    return BLOCKS[1 + round(share * (len(BLOCKS) - 2))]
