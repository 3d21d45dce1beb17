"""Views of one set of splits, and its difference from another."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.problems import file_problem_lines, problem_lines
from relogit.render.tables import NONE, Record, count, new_table, number_of, printable
from relogit.split_diff import Difference

GROUPS = {"many": "more than 100 train samples", "medium": "20 to 100", "few": "fewer than 20"}


def split_lines(split_set: Record) -> list[RenderableType]:
    """Show the sizes and class counts of a set's lists.

    Args:
        split_set: the answer to `GET /splits/{name}`. Its `groups` are None if the train samples are not known.
    """
    lists, groups = split_set["splits"], split_set["groups"]
    if not lists:
        return ["There are no lists."]
    table = new_table(["split", "base"], ["size", "most", "least", "factor", *(GROUPS if groups else [])])
    for entry in lists:
        counts = entry["class_counts"]
        table.add_row(entry["name"], entry["base"] or NONE, count(entry["size"]), *_class_cells(counts, groups))
    legend = Text("most, least: samples of the largest and the smallest class; factor: their ratio.", style="dim")
    return [table, *file_problem_lines(lists), legend, *([_groups_table(groups)] if groups else [])]


def difference_lines(
    names: tuple[str, str], difference: Difference, unreadable: Sequence[Record], cost: Record | None
) -> list[RenderableType]:
    """Show what changed between two sets, and a job's cost.

    Args:
        names: of the old and the new set.
        difference: between them, without the lists that are `unreadable` in either.
        unreadable: each with its `set`, its `list` and the `problem`.
        cost: totals of the plan of a job over the new set; None if there is no plan.
    """
    old_name, new_name = map(printable, names)
    table = new_table(["list"], ["same", "added", "removed"])
    for name in dict.fromkeys([*difference.added, *difference.removed, *(item["list"] for item in unreadable)]):
        cells = (difference.same.get(name), difference.added.get(name), difference.removed.get(name))
        table.add_row(name, *(count(cell) for cell in cells))
    lines: list[RenderableType] = [Text(f"{new_name} compared with {old_name}:", style="dim"), table]
    for (before, now), number in difference.moved.items():
        lines.append(Text(f"{number_of(number, 'sample')} moved from {printable(before)} to {printable(now)}."))
    lines += _row_lines(difference)
    for item in unreadable:
        lines += problem_lines(item["problem"], where=f"{item['set']}/{item['list']} cannot be compared: ")
    if unreadable:
        lines.append(Text("What these lists hold may be among the samples added or removed.", style="yellow"))
    elif difference.none:
        lines.append(Text(f"{old_name} and {new_name} hold the same samples, in the same order.", style="green"))
    if cost is not None:
        computed = "not known yet" if cost["computed"] is None else f"{cost['computed']:,}"
        part = "the readable lists of " if any(item["set"] == names[1] for item in unreadable) else ""
        rows = f"{count(cost['total'])} rows; forward passes: {computed}"
        lines.append(Text(f"A job over {part}{new_name} has {rows}."))
    return lines


def _class_cells(counts: Sequence[int] | None, groups: Record | None) -> list[str]:
    if not counts:
        return [NONE] * (6 if groups else 3)
    factor = f"{max(counts) / min(counts):.1f}" if min(counts) else NONE
    samples = [sum(counts[label] for label in groups[name]) for name in GROUPS] if groups else []
    return [count(max(counts)), count(min(counts)), factor, *(count(number) for number in samples)]


def _groups_table(groups: Record) -> Table:
    """Show the classes and train samples of each group."""
    threshold, train_counts = groups["head_threshold"], groups["train_counts"]
    meanings = GROUPS | {"head": f"more than {threshold:,}", "tail": f"at most {threshold:,}"}
    table = new_table(["group"], ["classes", "train samples"], [f"of each class ({groups['source']})"])
    for name, meaning in meanings.items():
        samples = sum(train_counts[label] for label in groups[name])
        table.add_row(name, count(len(groups[name])), count(samples), meaning)
    return table


def _row_lines(difference: Difference) -> list[Text]:
    """Name the lists whose rows changed although their samples did not."""
    lines = [f"{printable(name)} holds the same samples in another order." for name in difference.order]
    for name, (before, now) in difference.repeats.items():
        repeats = f"repeated rows: {before:,} before, {now:,} now"
        lines.append(f"{printable(name)} holds samples more or less often; {repeats}.")
    return [Text(line, style="yellow") for line in lines]
