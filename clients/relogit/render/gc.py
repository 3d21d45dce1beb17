"""View of a garbage collection: removed jobs and rows."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.rows import age, rows_table
from relogit.render.tables import ID_SHOWN, Record, coloured, new_table, number_of, size


def garbage_lines(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """Show the removed jobs and rows, and the sums.

    After a dry run these are what would be removed.
    """
    lines: list[RenderableType] = []
    if answer["jobs"]:
        lines += [_jobs_table(answer["jobs"], now), Text()]
    if answer["rows"]:
        lines += [rows_table(answer["rows"], console, now), Text()]
    return [*lines, *_sums(answer)]


def _jobs_table(jobs: list[Record], now: datetime) -> Table:
    table = new_table(["job", "kind", "state"], ["freed"], ["ended"])
    for job in jobs:
        ended = Text(age(job["finished_at"], now), style="dim")
        table.add_row(job["id"][:ID_SHOWN], job["kind"], coloured(job["state"]), size(job["bytes"]), ended)
    return table


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
