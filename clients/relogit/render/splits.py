"""What a reader sees of a set of splits: counts by class as a picture, and how two sets differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from relogit.render.tables import NONE, Record, count, entry_problems, number_of, printable, problem_lines, table
from relogit.split_diff import Difference

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 32  # columns of a picture at most: it stands beside six others in 80
GROUPS = {"many": "more than 100 train samples", "medium": "20 to 100", "few": "fewer than 20"}


@dataclass(frozen=True)
class Drawn:
    """What is drawn as wide as there is room for, so that the figures beside it keep their digits.

    Attributes:
        draw: gives a line of that many columns, or of fewer where there is no more to show.
    """

    draw: Callable[[int], str]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """From the narrowest line to one of WIDTH."""
        return Measurement(len(self.draw(1)), len(self.draw(WIDTH)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The line, in the columns that the table has left for it."""
        yield Text(self.draw(min(options.max_width, WIDTH)), no_wrap=True)


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
    made.columns[-1].no_wrap = False
    sizes = [len(groups[name]) for name in GROUPS] if groups else []
    if groups:
        made.add_row("groups", *[""] * 5, Drawn(lambda width: groups_line(sizes, width)), style="dim")
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
            _drawn(_by_train_samples(counts, groups) if groups else counts, largest, sizes),
        )
    scale = f"A full block is {number_of(largest, 'sample')}, the lowest mark 1, none 0; one scale for all."
    legend = [_legend(groups)] if groups else []
    return [made, *entry_problems(lists), Text(scale, style="dim"), *legend]


def picture(counts: Sequence[int], largest: int, sizes: Sequence[int] = (), width: int = WIDTH) -> str:
    """Counts as blocks whose height is the logarithm; several classes share one, as their mean.

    Args:
        counts: of each class, in the order of the picture.
        largest: what a full block stands for.
        sizes: of groups that follow each other in that order, of all classes; a block holds classes of one alone.
        width: blocks at most, but one for each group.
    """
    edges = [0]
    for size, columns in _shares(sizes or [len(counts)], width):
        edges += [edges[-1] + size * column // columns for column in range(1, columns + 1)]
    means = [sum(counts[low:high]) / (high - low) for low, high in pairwise(edges)] if counts else []
    return "".join(_block(mean, largest) for mean in means)


def groups_line(sizes: Sequence[int], width: int = WIDTH) -> str:
    """What stands above such pictures: each group's name where it begins, as much of it as there is room for.

    Args:
        sizes: of many, medium and few; an empty one has no column.
        width: columns at most, but one for each group.
    """
    there = [name.capitalize() for name, size in zip(GROUPS, sizes, strict=True) if size]
    shares = _shares(sizes, width)
    return "".join(f"{name[:columns]:·<{columns}}" for name, (_, columns) in zip(there, shares, strict=True))


def diff_lines(
    names: tuple[str, str], found: Difference, unreadable: Sequence[Record], cost: Record | None
) -> list[RenderableType]:
    """What changed from one set to another, and what a job over the second would compute.

    Args:
        names: of both sets.
        found: their difference, without the lists that are `unreadable` in either.
        unreadable: each with its `set`, its `list` and the `problem`.
        cost: what the job would compute, as a plan's totals say; None where it cannot be said.
    """
    first, second = map(printable, names)
    made = table(["list"], ["same", "added", "removed"])
    for name in dict.fromkeys([*found.added, *found.removed, *(one["list"] for one in unreadable)]):
        cells = (found.same.get(name), found.added.get(name), found.removed.get(name))
        made.add_row(name, *(count(cell) for cell in cells))
    lines: list[RenderableType] = [Text(f"{second}, held against {first}:", style="dim"), made]
    for (old, new), number in found.moved.items():
        lines.append(Text(f"{number_of(number, 'sample')} moved from {printable(old)} to {printable(new)}."))
    for name in found.order:
        lines.append(Text(f"{printable(name)} holds the same samples in another order.", style="yellow"))
    for name, (before, now) in found.repeats.items():
        said = f"{printable(name)} holds samples more or less often; repeated rows: {before:,} before, {now:,} now."
        lines.append(Text(said, style="yellow"))
    for one in unreadable:
        lines += problem_lines(one["problem"], where=f"{one['set']}/{one['list']} cannot be compared: ")
    if unreadable:
        lines.append(Text("What these lists hold may be among the samples added or removed.", style="yellow"))
    elif found.none:
        lines.append(Text(f"{first} and {second} hold the same samples, in the same order.", style="green"))
    if cost is not None:
        computed, total = cost["computed"], cost["total"]
        passes = "not known yet how many" if computed is None else f"{computed:,}"
        rest = "what can be read of " if any(one["set"] == names[1] for one in unreadable) else ""
        lines.append(Text(f"A job over {rest}{second} has {count(total)} rows; forward passes: {passes}."))
    return lines


def _drawn(counts: Sequence[int], largest: int, sizes: Sequence[int]) -> Drawn:
    return Drawn(lambda width: picture(counts, largest, sizes, width))


def _by_train_samples(counts: Sequence[int], groups: Record) -> list[int]:
    train = groups["train_counts"]
    return [counts[label] for label in sorted(range(len(train)), key=lambda label: -train[label])] if counts else []


def _shares(sizes: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Each group that is not empty with its columns: as its size goes, at least one, `width` at most in all."""
    there = [size for size in sizes if size]
    columns = min(max(width, len(there)), sum(there))
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
