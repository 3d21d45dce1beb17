"""View of all sets of splits, with descriptions and problems."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from relogit.render.problems import problem_lines
from relogit.render.tables import NONE, Record, count, new_table, plain


def set_lines(listing: Record) -> list[RenderableType]:
    """List the lists of each set; mark the data set's own."""
    if not listing["sets"]:
        return ["There are no index lists (NAME_indices.json) in a folder directly below the server's data."]
    table = new_table(["set", "list", "base"], ["size"], ["made"])
    problems: list[Text] = []
    for split_set in listing["sets"]:
        # Only the set's first line has its name and description.
        name = Text(split_set["name"] + (" *" if split_set["own"] else ""))
        description = Text(_description_in_words(split_set["description"]))
        for entry in split_set["splits"]:
            table.add_row(name, entry["name"], entry["base"] or NONE, count(entry["size"]), description)
            name, description = Text(), Text()
            if entry["problem"]:
                problems += problem_lines(entry["problem"], where=f"{split_set['name']}/{entry['name']}: ")
        if split_set["problem"]:
            problems += problem_lines(split_set["problem"], where=f"{split_set['name']}: ")
    legend = "* the default of jobs of this data set; --splits-dir names another."
    return [table, *problems, Text(legend, style="dim")]


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
