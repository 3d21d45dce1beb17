"""What a reader sees of all sets of splits: each with its lists, how it was made, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from relogit.render.tables import NONE, Record, count, plain, problem_lines, table


def sets(listing: Record) -> list[RenderableType]:
    """A line for each list of each set; the data set's own set, which jobs take by default, is marked."""
    if not listing["sets"]:
        return ["There are no index lists (NAME_indices.json) in a folder directly below the server's data."]
    made = table(["set", "list", "base"], ["size"], ["made"])
    problems: list[Text] = []
    for one in listing["sets"]:
        for row, entry in enumerate(one["splits"]):
            first = row == 0
            name = Text(one["name"] + (" *" if one["own"] else "")) if first else ""
            how = Text(_how(one["description"])) if first else ""
            made.add_row(name, entry["name"], entry["base"] or NONE, count(entry["size"]), how)
            if entry["problem"]:
                problems += problem_lines(entry["problem"], where=f"{one['name']}/{entry['name']}: ")
        if one["problem"]:
            problems += problem_lines(one["problem"], where=f"{one['name']}: ")
    own = "* what jobs of this data set take, unless they name another with --splits-dir."
    return [made, *problems, Text(own, style="dim")]


def _how(description: Record | None) -> str:
    """How a set was made, as far as its `splits.json` says: anybody may have written that."""
    if description is None:
        return NONE
    if description["profile"] is None:
        made_by = description["made_by"]
        return NONE if made_by is None else plain(made_by)
    said = [plain(description["profile"])]
    for name, key in (("factor", "imbalance_factor"), ("seed", "seed")):
        if description[key] is not None:
            said.append(f"{name} {_figure(description[key])}")
    return ", ".join(said)


def _figure(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else plain(value)
