"""Views of kept rows: a list, a check, and removed rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import ID_SHOWN, NONE, Record, count, fits, new_table, number_of, size

AGES = (("day", 86400), ("hour", 3600), ("min", 60))


def row_lines(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """List the keys of kept rows, last used first, and their sums."""
    if not answer["rows"]:
        return ["No rows are kept yet. Jobs keep what they compute."]
    lines: list[RenderableType] = [rows_table(answer["rows"], console, now), Text(f"{_totals(answer['totals'])}.")]
    if any(not entry["usable"] for entry in answer["rows"]):
        meaning = "unusable: damaged as a whole. A job that needs such rows computes them again; any"
        lines.append(Text(f"{meaning} `relogit rows prune` removes them.", style="yellow"))
    return lines


def rows_table(entries: Sequence[Record], console: Console, now: datetime) -> Table:
    """List keys, one line each; a narrow console shows fewer columns."""
    wide = _rows_table(entries, now, wide=True)
    return wide if fits(wide, console) else _rows_table(entries, now, wide=False)


def checked_row_lines(checked: Sequence[Record]) -> list[RenderableType]:
    """Show how many rows of each key are whole, and a verdict."""
    if not checked:
        return ["No rows are kept: there is nothing to check."]
    table = new_table(["key", "expert", "data set", "prec"], ["whole", "damaged"], ["verdict"])
    for entry in checked:
        condition = entry["condition"] or {"rows": None, "damaged": None}
        verdict = "unusable" if entry["condition"] is None else "damaged" if condition["damaged"] else "whole"
        table.add_row(
            *_names(entry),
            count(condition["rows"]),
            count(condition["damaged"]),
            Text(verdict, style="green" if verdict == "whole" else "red"),
        )
    return [table, _verdict(checked)]


def is_damaged(entry: Record) -> bool:
    """Tell whether any of a key's rows has to be computed again."""
    return entry["condition"] is None or bool(entry["condition"]["damaged"])


def pruned_row_lines(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """Show the removed keys, and the sums of what remains."""
    removed, remaining = answer["removed"], f"Left: {_totals(answer['left'])}."
    if not removed:
        freed = f" Freed {size(answer['freed_bytes'])} of a crashed worker." if answer["freed_bytes"] else ""
        return [Text(f"There was nothing to remove.{freed} {remaining}")]
    freed = f"{size(answer['freed_bytes'])} are freed"
    summary = Text(f"Removed: {number_of(len(removed), 'key')}; {freed}. {remaining}", style="green")
    return [rows_table(removed, console, now), summary]


def age(time: str | None, now: datetime) -> str:
    """Format the age of an RFC 3339 time: `2 days ago`."""
    if time is None:
        return NONE
    passed = (now - datetime.fromisoformat(time)).total_seconds()
    for unit, seconds in AGES:
        if passed >= seconds:
            number = int(passed // seconds)
            return f"{number_of(number, unit) if unit != 'min' else f'{number} min'} ago"
    return "just now"


def current_time() -> datetime:
    """Return the time for ages."""
    return datetime.now(UTC)


def _rows_table(entries: Sequence[Record], now: datetime, *, wide: bool) -> Table:
    more = ["base", "architecture", "engine"] if wide else []
    table = new_table(["key", "expert", "data set", "prec", *more], ["rows", "size"], ["used"])
    for entry in entries:
        base = (entry["seen"] or {}).get("base")
        details = [str(item or NONE) for item in (base, entry["architecture"], entry["engine"])]
        rows = f"{entry['rows']:,}/{entry['pool']:,}" if wide and entry["usable"] else count(entry["rows"])
        table.add_row(
            *_names(entry),
            *(details if wide else []),
            Text(rows, style="green" if entry["rows"] == entry["pool"] else ""),
            size(entry["bytes"]),
            Text(age(entry["used_at"], now), style="dim"),
        )
    return table


def _names(entry: Record) -> list[Text]:
    """Return the cells of key, expert, data set and precision."""
    key = Text(entry["key"][:ID_SHOWN], style="cyan")
    if not entry["usable"]:
        return [key, Text("unusable", style="red"), Text(NONE), Text(NONE)]
    source = entry["seen"]
    precision = Text(entry["precision"], style="" if entry["precision"] == "fp32" else "yellow")
    return [
        key,
        Text(str(source.get("expert", NONE)), style="bold"),
        Text(str(source.get("dataset", NONE))),
        precision,
    ]


def _totals(totals: Record) -> str:
    return f"{number_of(totals['keys'], 'key')}, {number_of(totals['rows'], 'row')}, {size(totals['bytes'])}"


def _verdict(checked: Sequence[Record]) -> Text:
    conditions = [entry["condition"] for entry in checked if entry["condition"]]
    whole = sum(condition["rows"] for condition in conditions)
    damaged = sum(condition["damaged"] for condition in conditions)
    unusable = len(checked) - len(conditions)
    if not damaged and not unusable:
        return Text(f"{number_of(whole, 'row')}, each as it was computed.", style="green")
    wrong = [number_of(damaged, "damaged row")] if damaged else []
    wrong += [number_of(unusable, "unusable key")] if unusable else []
    summary = f"{' and '.join(wrong)}, beside {number_of(whole, 'whole row')}."
    return Text(f"{summary} Jobs never use damaged rows; they compute them again.", style="red")
