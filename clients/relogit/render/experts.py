"""Views of checkpoints: a list, and one passport in full."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from relogit.render.tables import (
    NONE,
    Record,
    coloured,
    count,
    file_problem_lines,
    fitting_table,
    percent,
    plain,
    problem_lines,
)

OWN = "own mean/std"
STYLES = {"supported": "green", "contradicted": "red", "undecidable": "yellow"}
LABEL_WIDTH = 13
LABELS = {"stored_accuracy": "accuracy", "weights": "weights in", "largest_parameter": "largest"}
"""Labels of passport entries whose names do not fit or do not explain themselves."""


def expert_lines(answer: Record, console: Console) -> list[RenderableType]:
    """List checkpoints, one line each, then their problems.

    A narrow console shows no file names: they are the prefix and the expert's name.
    """
    if not answer["experts"]:
        folder = f"checkpoints folder {answer['experts_dir']!r}"
        return [f"No checkpoint begins with {answer['prefix']!r} in the server's {folder}."]
    own = any(map(_has_own_transform, answer["experts"]))
    rows = [_expert_cells(expert, own=own) for expert in answer["experts"]]
    table = fitting_table(console, rows, ["classes", "params", "T"], ["file"])
    return [table, *file_problem_lines(answer["experts"]), *_unused_override_lines(answer)]


def passport_lines(expert: Record) -> list[Text]:
    """Show a checkpoint's file, network, assumptions and transform."""
    lines = [Text.assemble((f"{expert['name']}: ", "bold"), coloured(expert["state"]))]
    passport: Record = expert["passport"] or {"file": expert["file"] or NONE}
    for name, value in passport.items():
        lines += [_entry(LABELS.get(name, name), text) for text in _values(name, value)]
        if name == "assumed":
            lines += [_entry("to declare", line) for line in _declarations(value, passport["file"])]
    owner = "its own, from the data set's overrides" if _has_own_transform(expert) else "the data set's"
    transform = expert.get("transform") or {}
    lines += [_entry(name, f"{plain(transform[name])} ({owner})") for name in ("mean", "std") if name in transform]
    lines += _normalisation_lines(expert)
    return lines + (problem_lines(expert["problem"], where="  ") if expert["problem"] else [])


def _expert_cells(expert: Record, *, own: bool) -> dict[str, str | Text]:
    """Write a checkpoint as cells.

    They include the transform if any checkpoint has its `own`.
    """
    passport = expert["passport"] or {}
    return {
        "expert": expert["name"],
        "state": coloured(expert["state"]),
        "architecture": str(passport.get("architecture", NONE)),
        "classes": count(passport.get("classes")),
        "params": count(passport.get("parameters")),
        "T": NONE if passport.get("temperature") is None else plain(passport["temperature"]),
        **({"transform": OWN if _has_own_transform(expert) else ""} if own else {}),
        "file": expert["file"] or NONE,
    }


def _normalisation_lines(expert: Record) -> list[Text]:
    """Show the evidence on normalisation, and lines to declare."""
    evidence = expert.get("normalisation")
    if not evidence:
        return []
    verdict = evidence["verdict"]
    lines = [
        Text.assemble(_entry("evidence", ""), (verdict, STYLES[verdict])),
        _entry("", evidence["message"]),
        _entry("", evidence["channel_order"]["message"]),
    ]
    if expert["proposal"]:
        lines.append(_entry("", "In datasets.toml this would fit better:"))
        lines += [_entry("", f"  {line}") for line in expert["proposal"]]
    elif verdict == "undecidable" and evidence["hint"]:
        fit = evidence["hint"]["transform"]
        mean, std = (plain([round(value, 4) for value in fit[name]]) for name in ("mean", "std"))
        lines.append(_entry("", f"Freely fitted, mean {mean}, std {std}: a hint, no verdict."))
    return lines


def _entry(label: str, text: str) -> Text:
    return Text(f"  {label:<{LABEL_WIDTH}}{text}")


def _values(name: str, value: Any) -> list[str]:
    """Write a passport's entry as lines, none if empty."""
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
    """Format an assumption: `max-pool in the stem: true (assumed; override: max_pool)`."""
    override = f"; override: {item['override']}" if item["override"] else ""
    return f"{item['what']}: {plain(item['value'])} ({item['basis']}{override})"


def _declarations(assumed: list[Record], file: str) -> list[str]:
    """Write lines for datasets.toml that declare what was assumed."""
    lines = [
        f"{item['override']} = {json.dumps(item['value'])}"
        for item in assumed
        if item["basis"] == "assumed" and item["override"]
    ]
    stem = PurePath(file).stem
    key = stem if re.fullmatch(r"[A-Za-z0-9_-]+", stem) else json.dumps(stem)  # as TOML writes a key
    tables = f"[DATA_SET.network], or for this file [DATA_SET.overrides.{key}]"
    return [f"in datasets.toml, if right, under {tables}:", *(f"  {line}" for line in lines)] if lines else []


def _has_own_transform(expert: Record) -> bool:
    return bool((expert.get("transform") or {}).get("from") == "override")


def _unused_override_lines(answer: Record) -> list[Text]:
    names = answer.get("unused_overrides")
    if not names:
        return []
    subject = "overrides {} match" if len(names) > 1 else "the override {} matches"
    problem = f"In datasets.toml, {subject.format(', '.join(names))} no checkpoint file"
    return [Text(f"{problem}: name overrides after files, prefix included.", style="yellow")]
