"""What a reader sees of a garbage collection: what went, and what is left."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render import rows as render_rows
from relogit.render.tables import ID_SHOWN, Record, number_of, size, table, word


def collected(answer: Record, console: Console, now: datetime) -> list[RenderableType]:
    """The jobs and rows that went, or would, and the sums."""
    lines: list[RenderableType] = []
    if answer["jobs"]:
        lines += [_jobs(answer["jobs"], now), Text()]
    if answer["rows"]:
        lines += [render_rows.fitting(answer["rows"], console, now), Text()]
    return [*lines, *_sums(answer)]


def _jobs(listed: list[Record], now: datetime) -> Table:
    made = table(["job", "kind", "state"], ["freed"], ["ended"])
    for job in listed:
        ended = Text(render_rows.ago(job["finished_at"], now), style="dim")
        made.add_row(job["id"][:ID_SHOWN], job["kind"], word(job["state"]), size(job["bytes"]), ended)
    return made


def _sums(answer: Record) -> list[RenderableType]:
    gone = [number_of(len(answer["jobs"]), "job")] if answer["jobs"] else []
    gone += [f"the kept rows of {number_of(len(answer['rows']), 'key')}"] if answer["rows"] else []
    if answer["unreferred_bytes"]:
        gone.append(f"{size(answer['unreferred_bytes'])} that no job refers to")
    left, freed = answer["left"], size(answer["freed_bytes"])
    if gone:
        did, verb = ("To be removed", "would be") if answer["dry_run"] else ("Removed", "are")
        said = Text(f"{did}: {', '.join(gone)}; {freed} {verb} freed.", style="green")
    else:
        said = Text("There is nothing to remove." if answer["dry_run"] else "There was nothing to remove.")
    jobs, rows = left["jobs"], left["rows"]
    stays = f"{number_of(jobs['jobs'], 'job')} with {size(jobs['bytes'])}, kept rows with {size(rows['bytes'])}."
    kept = [Text(reason, style="red") for reason in answer["kept_back"]]
    return [said, Text(f"{'Would be left' if answer['dry_run'] else 'Left'}: {stays}"), *kept]
