"""Views of sets of splits: all, one, and the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import (
    NONE,
    Record,
    count,
    file_problem_lines,
    new_table,
    number_of,
    plain,
    printable,
    problem_lines,
)
from relogit.split_diff import Difference

GROUPS = {"many": "more than 100 train samples", "medium": "20 to 100", "few": "fewer than 20"}


def set_lines(listing: Record) -> list[RenderableType]:
    """List each set's lists, marking the data set's own."""
    if not listing["sets"]:
        return ["There are no index lists (NAME_indices.json) in a folder directly below the server's data."]
    rows: list[dict[str, str | Text]] = []
    problems: list[Text] = []
    for split_set in listing["sets"]:
        # Only the set's first line has its name and description.
        name = split_set["name"] + (" *" if split_set["own"] else "")
        made = _description_in_words(split_set["description"])
        for entry in split_set["splits"]:
            cells = {"list": entry["name"], "base": entry["base"] or NONE, "size": count(entry["size"])}
            rows.append({"set": name, **cells, "made": made})
            name, made = "", ""
            if entry["problem"]:
                problems += problem_lines(entry["problem"], where=f"{split_set['name']}/{entry['name']}: ")
        if split_set["problem"]:
            problems += problem_lines(split_set["problem"], where=f"{split_set['name']}: ")
    legend = "* the default of jobs of this data set; --splits-dir names another."
    return [new_table(rows, ["size"]), *problems, Text(legend, style="dim")]


def split_lines(split_set: Record) -> list[RenderableType]:
    """Show the sizes and class counts of a set's lists.

    Its `groups` are None if the train samples are not known.
    """
    lists, groups = split_set["splits"], split_set["groups"]
    if not lists:
        return ["There are no lists."]
    rows = (
        {
            "split": entry["name"],
            "base": entry["base"] or NONE,
            "size": count(entry["size"]),
            **_class_cells(entry["class_counts"], groups),
        }
        for entry in lists
    )
    table = new_table(rows, ["size", "most", "least", "factor", *GROUPS])
    legend = Text("most, least: samples of the largest and the smallest class; factor: their ratio.", style="dim")
    return [table, *file_problem_lines(lists), legend, *([_groups_table(groups)] if groups else [])]


def difference_lines(
    names: tuple[str, str], difference: Difference, unreadable: Sequence[Record], cost: Record | None
) -> list[RenderableType]:
    """Show what changed between two sets, and a job's cost.

    The `names` are of the old and the new set. The `difference` leaves out lists that are `unreadable` in either. The
    `cost` is the totals of the plan of a job over the new set, None if there is no plan.
    """
    old_name, new_name = map(printable, names)
    changes = {"same": difference.same, "added": difference.added, "removed": difference.removed}
    lists = dict.fromkeys([*difference.added, *difference.removed, *(item["list"] for item in unreadable)])
    table = new_table(
        ({"list": name, **{change: count(counts.get(name)) for change, counts in changes.items()}} for name in lists),
        list(changes),
    )
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


def _class_cells(counts: Sequence[int] | None, groups: Record | None) -> dict[str, str]:
    headings = ["most", "least", "factor", *(GROUPS if groups else [])]
    if not counts:
        return dict.fromkeys(headings, NONE)
    factor = f"{max(counts) / min(counts):.1f}" if min(counts) else NONE
    samples = [sum(counts[label] for label in groups[name]) for name in GROUPS] if groups else []
    cells = [count(max(counts)), count(min(counts)), factor, *(count(number) for number in samples)]
    return dict(zip(headings, cells, strict=True))


def _groups_table(groups: Record) -> Table:
    """Show the classes and train samples of each group."""
    threshold, train_counts = groups["head_threshold"], groups["train_counts"]
    meanings = GROUPS | {"head": f"more than {threshold:,}", "tail": f"at most {threshold:,}"}
    rows = (
        {
            "group": name,
            "classes": count(len(groups[name])),
            "train samples": count(sum(train_counts[label] for label in groups[name])),
            f"of each class ({groups['source']})": meaning,
        }
        for name, meaning in meanings.items()
    )
    return new_table(rows, ["classes", "train samples"])


def _row_lines(difference: Difference) -> list[Text]:
    """Name the lists with equal samples but changed rows."""
    lines = [f"{printable(name)} holds the same samples in another order." for name in difference.order]
    for name, (before, now) in difference.repeats.items():
        repeats = f"repeated rows: {before:,} before, {now:,} now"
        lines.append(f"{printable(name)} holds samples more or less often; {repeats}.")
    return [Text(line, style="yellow") for line in lines]


def _description_in_words(description: Record | None) -> str:
    """Summarise the set's `splits.json`, which any tool may have written."""
    if description is None:
        return NONE
    if description["profile"] is None:
        made_by = description["made_by"]
        return NONE if made_by is None else plain(made_by)
    words = [plain(description["profile"])]
    for name, key in (("factor", "imbalance_factor"), ("seed", "seed")):
        if description[key] is not None:
            words.append(f"{name} {_figure(description[key])}")
    return ", ".join(words)


def _figure(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else plain(value)
