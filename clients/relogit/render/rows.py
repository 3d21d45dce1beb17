"""Views of kept rows and of garbage: lists, checks and what was removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import ID_SHOWN, NONE, Record, coloured, count, fitting_table, new_table, number_of, size

AGES = (("day", 86400), ("hour", 3600), ("min", 60))


def row_lines(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """List the kept rows' keys and their sums."""
    if not answer["rows"]:
        return ["No rows are kept yet. Jobs keep what they compute."]
    lines: list[RenderableType] = [rows_table(answer["rows"], console, now), Text(f"{_totals(answer['totals'])}.")]
    if any(not entry["usable"] for entry in answer["rows"]):
        meaning = "unusable: damaged as a whole. A job that needs such rows computes them again; any"
        lines.append(Text(f"{meaning} `relogit rows prune` removes them.", style="yellow"))
    return lines


def rows_table(entries: Sequence[Record], console: Console, now: datetime) -> Table:
    """List keys, one line each.

    A narrow console shows fewer columns.
    """
    rows: list[dict[str, str | Text]] = [
        {
            **_names(entry),
            "base": str((entry["seen"] or {}).get("base") or NONE),
            "architecture": str(entry["architecture"] or NONE),
            "engine": str(entry["engine"] or NONE),
            "rows": Text(count(entry["rows"]), style="green" if entry["rows"] == entry["pool"] else ""),
            "pool": count(entry["pool"]),
            "size": size(entry["bytes"]),
            "used": Text(age(entry["used_at"], now), style="dim"),
        }
        for entry in entries
    ]
    return fitting_table(console, rows, ["rows", "pool", "size"], ["base", "architecture", "engine", "pool"])


def checked_row_lines(checked: Sequence[Record]) -> list[RenderableType]:
    """Count each key's whole rows and give a verdict."""
    if not checked:
        return ["No rows are kept: there is nothing to check."]
    rows = []
    for entry in checked:
        condition = entry["condition"] or {"rows": None, "damaged": None}
        verdict = "unusable" if entry["condition"] is None else "damaged" if condition["damaged"] else "whole"
        figures = {"whole": count(condition["rows"]), "damaged": count(condition["damaged"])}
        style = "green" if verdict == "whole" else "red"
        rows.append({**_names(entry), **figures, "verdict": Text(verdict, style=style)})
    return [new_table(rows, ["whole", "damaged"]), _verdict(checked)]


def is_damaged(entry: Record) -> bool:
    """Tell whether any row must be computed again."""
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


def garbage_lines(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """Show the removed jobs and rows, and the sums.

    After a dry run these are what would be removed.
    """
    lines: list[RenderableType] = []
    if answer["jobs"]:
        lines += [_garbage_table(answer["jobs"], now), Text()]
    if answer["rows"]:
        lines += [rows_table(answer["rows"], console, now), Text()]
    return [*lines, *_sums(answer)]


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


def _names(entry: Record) -> dict[str, str | Text]:
    """Write key, expert, data set and precision as cells."""
    source = entry["seen"] if entry["usable"] else {}
    expert = Text(str(source.get("expert", NONE)), style="bold") if entry["usable"] else Text("unusable", style="red")
    return {
        "key": Text(entry["key"][:ID_SHOWN], style="cyan"),
        "expert": expert,
        "data set": str(source.get("dataset", NONE)),
        "prec": Text(entry["precision"] or NONE, style="yellow" if entry["precision"] not in ("fp32", None) else ""),
    }


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


def _garbage_table(jobs: Sequence[Record], now: datetime) -> Table:
    rows = (
        {
            "job": job["id"][:ID_SHOWN],
            "kind": job["kind"],
            "state": coloured(job["state"]),
            "freed": size(job["bytes"]),
            "ended": Text(age(job["finished_at"], now), style="dim"),
        }
        for job in jobs
    )
    return new_table(rows, ["freed"])


def _sums(answer: Record) -> list[RenderableType]:
    removed = [number_of(len(answer["jobs"]), "job")] if answer["jobs"] else []
    removed += [f"the kept rows of {number_of(len(answer['rows']), 'key')}"] if answer["rows"] else []
    if answer["unreferred_bytes"]:
        removed.append(f"{size(answer['unreferred_bytes'])} that no job refers to")
    if removed:
        did, verb = ("To be removed", "would be") if answer["dry_run"] else ("Removed", "are")
        summary = Text(f"{did}: {', '.join(removed)}; {size(answer['freed_bytes'])} {verb} freed.", style="green")
    else:
        summary = Text("There is nothing to remove." if answer["dry_run"] else "There was nothing to remove.")
    jobs, rows = answer["left"]["jobs"], answer["left"]["rows"]
    remaining = f"{number_of(jobs['jobs'], 'job')} with {size(jobs['bytes'])}, kept rows with {size(rows['bytes'])}."
    errors = [Text(reason, style="red") for reason in answer["kept_back"]]
    return [summary, Text(f"{'Would be left' if answer['dry_run'] else 'Left'}: {remaining}"), *errors]
