"""What a reader sees of a set of splits: counts by class as a picture, and how two sets differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.console import RenderableType
from rich.text import Text

from relogit.render import NONE, Record, count, entry_problems, table
from relogit.split_diff import Difference

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 32  # columns of a picture: it stands beside six others in 80


def shown(listing: Record) -> list[RenderableType]:
    """One line for each list: its size, its largest and smallest class, and a picture of its class counts."""
    lists = listing["splits"]
    largest = max((max(one["class_counts"] or [0]) for one in lists), default=0)
    made = table(["split", "base"], ["size", "most", "least", "factor"], ["classes in order, log scale"])
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
            picture(counts, largest),
        )
    scale = f"A full block is {largest:,} samples, the lowest mark 1, none 0; all lists have one scale."
    return [made, *entry_problems(lists), Text(scale, style="dim")] if lists else ["There are no lists."]


def picture(counts: Sequence[int], largest: int) -> str:
    """Counts in class order as blocks whose height is the logarithm; several classes share one, as their mean.

    Args:
        counts: of each class.
        largest: what a full block stands for.
    """
    columns = min(WIDTH, len(counts))
    edges = [len(counts) * column // max(columns, 1) for column in range(columns + 1)]
    means = [sum(counts[low:high]) / (high - low) for low, high in pairwise(edges)]
    return "".join(_block(mean, largest) for mean in means)


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


def _block(value: float, largest: int) -> str:
    if value <= 0:
        return BLOCKS[0]
    share = math.log(max(value, 1)) / math.log(largest) if largest > 1 else 1.0
    return BLOCKS[1 + round(share * (len(BLOCKS) - 2))]
