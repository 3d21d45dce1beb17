"""What a reader sees of kept rows: what there is, whether it is whole, what was removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import ID_SHOWN, NONE, Record, count, fits, number_of, size, table

SECONDS = (("day", 86400), ("hour", 3600), ("min", 60))


def listing(found: Record, console: Console, now: datetime) -> list[RenderableType]:
    """One line for each key, last used first, and the sum. A narrow console gets fewer columns."""
    if not found["rows"]:
        return ["No rows are kept yet. Jobs keep what they compute."]
    lines: list[RenderableType] = [fitting(found["rows"], console, now), Text(f"{_sum(found['totals'])}.")]
    if any(not one["usable"] for one in found["rows"]):
        said = "unusable: damaged as a whole. A job that needs such rows computes them again; any"
        lines.append(Text(f"{said} `relogit rows prune` removes them.", style="yellow"))
    return lines


def checked(found: Sequence[Record]) -> list[RenderableType]:
    """One line for each key that was looked at, row by row, and what to make of it."""
    if not found:
        return ["No rows are kept: there is nothing to check."]
    made = table(["key", "expert", "data set", "prec"], ["whole", "damaged"], ["verdict"])
    for one in found:
        condition = one["condition"] or {"rows": None, "damaged": None}
        verdict = "unusable" if one["condition"] is None else "damaged" if condition["damaged"] else "whole"
        made.add_row(
            *_names(one),
            count(condition["rows"]),
            count(condition["damaged"]),
            Text(verdict, style="green" if verdict == "whole" else "red"),
        )
    return [made, _verdict(found)]


def is_damaged(one: Record) -> bool:
    """Whether anything of a key's rows has to be computed again."""
    return one["condition"] is None or bool(one["condition"]["damaged"])


def pruned(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """What was removed, and what is left."""
    removed, left = answer["removed"], f"Left: {_sum(answer['left'])}."
    if not removed:
        freed = f" {size(answer['freed_bytes'])} that a crash had left are freed." if answer["freed_bytes"] else ""
        return [Text(f"There was nothing to remove.{freed} {left}")]
    said = f"Removed: {number_of(len(removed), 'key')}; {size(answer['freed_bytes'])} are freed. {left}"
    return [fitting(removed, console, now), Text(said, style="green")]


def ago(time: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was: `2 days ago`."""
    if time is None:
        return NONE
    passed = (now - datetime.fromisoformat(time)).total_seconds()
    for unit, seconds in SECONDS:
        if passed >= seconds:
            number = int(passed // seconds)
            return f"{number_of(number, unit) if unit != 'min' else f'{number} min'} ago"
    return "just now"


def now() -> datetime:
    """The time that ages are counted from."""
    return datetime.now(UTC)


def fitting(listed: Sequence[Record], console: Console, now: datetime) -> Table:
    """One line for each key; a narrow console gets fewer columns."""
    wide = _table(listed, now, wide=True)
    return wide if fits(wide, console) else _table(listed, now, wide=False)


def _table(listed: Sequence[Record], now: datetime, *, wide: bool) -> Table:
    more = ["base", "architecture", "engine"] if wide else []
    made = table(["key", "expert", "data set", "prec", *more], ["rows", "size"], ["used"])
    for one in listed:
        seen = one["seen"] or {}
        known = [str(item or NONE) for item in (seen.get("base"), one["architecture"], one["engine"])]
        full = one["rows"] == one["pool"]
        made.add_row(
            *_names(one),
            *(known if wide else []),
            Text(f"{one['rows']:,}/{one['pool']:,}" if wide and one["usable"] else count(one["rows"]),
                 style="green" if full else ""),
            size(one["bytes"]),
            Text(ago(one["used_at"], now), style="dim"),
        )  # fmt: skip
    return made


def _names(one: Record) -> list[Text]:
    """Key, expert, data set and precision of rows; that they are unusable in place of what nobody knows then."""
    key = Text(one["key"][:ID_SHOWN], style="cyan")
    if not one["usable"]:
        return [key, Text("unusable", style="red"), Text(NONE), Text(NONE)]
    seen = one["seen"]
    precision = Text(one["precision"], style="" if one["precision"] == "fp32" else "yellow")
    return [key, Text(str(seen.get("expert", NONE)), style="bold"), Text(str(seen.get("dataset", NONE))), precision]


def _sum(totals: Record) -> str:
    return f"{number_of(totals['keys'], 'key')}, {number_of(totals['rows'], 'row')}, {size(totals['bytes'])}"


def _verdict(found: Sequence[Record]) -> Text:
    whole = sum(one["condition"]["rows"] for one in found if one["condition"])
    damaged = sum(one["condition"]["damaged"] for one in found if one["condition"])
    unusable = sum(one["condition"] is None for one in found)
    if not damaged and not unusable:
        return Text(f"{number_of(whole, 'row')}, each as it was computed.", style="green")
    wrong = [number_of(damaged, "damaged row")] if damaged else []
    wrong += [number_of(unusable, "unusable key")] if unusable else []
    said = f"{' and '.join(wrong)}, beside {number_of(whole, 'whole row')}. What is damaged is never served: it is"
    return Text(f"{said} computed again when a job asks for it.", style="red")
