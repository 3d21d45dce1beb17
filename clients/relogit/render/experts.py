"""What a reader sees of checkpoints: the list under a prefix, and one passport in full."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import (
    NONE,
    Record,
    count,
    entry_problems,
    fits,
    percent,
    plain,
    problem_lines,
    table,
    word,
)

OWN = "own mean/std"
STYLES = {"supported": "green", "contradicted": "red", "undecidable": "yellow"}
NAME_WIDTH = 13  # of a passport's entries
LABELS = {"stored_accuracy": "accuracy", "weights": "weights in", "largest_parameter": "largest"}
"""Entries of a passport whose own names are too long or too short to be understood."""


def listing(found: Record, console: Console) -> list[RenderableType]:
    """One line for each checkpoint, then what is wrong with those that do not fit.

    The files' names are left out where the console is too narrow for them: they are the prefix and the name.
    """
    if not found["experts"]:
        where = f"checkpoints folder {found['experts_dir']!r}"
        return [f"No checkpoint begins with {found['prefix']!r} in the server's {where}."]
    made = _table(found["experts"], with_file=True)
    if not fits(made, console):
        made = _table(found["experts"], with_file=False)
    return [made, *entry_problems(found["experts"]), *_unused(found)]


def _table(experts: list[Record], *, with_file: bool) -> Table:
    own = any(_is_own(expert) for expert in experts)
    last = [*(["transform"] if own else []), *(["file"] if with_file else [])]
    made = table(["expert", "state", "architecture"], ["classes", "params", "T"], last)
    for expert in experts:
        card = expert["passport"] or {}
        made.add_row(
            expert["name"],
            word(expert["state"]),
            str(card.get("architecture", NONE)),
            count(card.get("classes")),
            count(card.get("parameters")),
            NONE if card.get("temperature") is None else plain(card["temperature"]),
            *([OWN if _is_own(expert) else ""] if own else []),
            *([expert["file"] or NONE] if with_file else []),
        )
    return made


def passport(expert: Record) -> list[Text]:
    """One checkpoint in full: the file, the network recognised in it, and every assumption."""
    lines = [Text.assemble((f"{expert['name']}: ", "bold"), word(expert["state"]))]
    facts: Record = expert["passport"] or {"file": expert["file"] or NONE}
    for name, value in facts.items():
        lines += [_entry(LABELS.get(name, name), said) for said in _values(name, value)]
        if name == "assumed":
            lines += [_entry("to declare", line) for line in _declarations(value, facts["file"])]
    whose = "its own, from the data set's overrides" if _is_own(expert) else "the data set's"
    transform = expert.get("transform") or {}
    lines += [_entry(name, f"{plain(transform[name])} ({whose})") for name in ("mean", "std") if name in transform]
    lines += _normalisation(expert)
    return lines + (problem_lines(expert["problem"], where="  ") if expert["problem"] else [])


def _normalisation(expert: Record) -> list[Text]:
    """What the checkpoint says about its mean, std and channel order, and the lines to declare instead."""
    evidence = expert.get("normalisation")
    if not evidence:
        return []
    order = evidence["channel_order"]
    lines = [
        Text.assemble(_entry("evidence", ""), (evidence["verdict"], STYLES[evidence["verdict"]])),
        _entry("", evidence["message"]),
        _entry("", order["message"]),
    ]
    if expert["proposal"]:
        lines += [
            _entry("", "In datasets.toml this would fit better:"),
            *(_entry("", f"  {line}") for line in expert["proposal"]),
        ]
    elif evidence["verdict"] == "undecidable" and evidence["hint"]:
        fit = evidence["hint"]["transform"]
        mean, std = (plain([round(value, 4) for value in fit[name]]) for name in ("mean", "std"))
        lines.append(_entry("", f"Freely fitted, mean {mean}, std {std}: a hint, no verdict."))
    return lines


def _entry(name: str, said: str) -> Text:
    return Text(f"  {name:<{NAME_WIDTH}}{said}")


def _values(name: str, value: Any) -> list[str]:
    """What stands behind a passport's entry, one string a line; nothing for what is empty."""
    if value is None:
        return []
    if name == "widths":
        return ["/".join(str(width) for width in value)]
    if name == "assumed":
        return [_assumption(item) for item in value]
    if name == "stored_accuracy":
        return [f"{percent(value['value'])} when it was saved ({value['name']})"]
    if name == "largest_parameter":
        return [f"{plain(value)} (absolute parameter, batch norm folded in)"]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return [count(value) if isinstance(value, int) else plain(value)]


def _assumption(item: Record) -> str:
    """`max-pool in the stem: true (assumed; override: max_pool)`."""
    override = f"; override: {item['override']}" if item["override"] else ""
    return f"{item['what']}: {plain(item['value'])} ({item['basis']}{override})"


def _declarations(assumed: list[Record], file: str) -> list[str]:
    """Lines for datasets.toml that declare what was only assumed; none where nothing was."""
    lines = [
        f"{item['override']} = {json.dumps(item['value'])}"
        for item in assumed
        if item["basis"] == "assumed" and item["override"]
    ]
    stem = PurePath(file).stem
    key = stem if re.fullmatch(r"[A-Za-z0-9_-]+", stem) else json.dumps(stem)  # as TOML writes a key
    where = f"in datasets.toml, if right, under [DATA_SET.network], or for this file [DATA_SET.overrides.{key}]:"
    return [where, *(f"  {line}" for line in lines)] if lines else []


def _is_own(expert: Record) -> bool:
    return bool((expert.get("transform") or {}).get("from") == "override")


def _unused(found: Record) -> list[Text]:
    names = found.get("unused_overrides")
    if not names:
        return []
    verb = "overrides {} match" if len(names) > 1 else "the override {} matches"
    which = f"In datasets.toml, {verb.format(', '.join(names))} no checkpoint file"
    return [Text(f"{which}: name overrides after files, prefix included.", style="yellow")]
