"""`relogit rows`: list, check and remove the rows kept for later jobs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import track

from relogit.cli.command import command
from relogit.cli.options import size_option, time_option
from relogit.cli.session import Session
from relogit.errors import Problem
from relogit.render.rows import checked_row_lines, current_time, is_damaged, pruned_row_lines, row_lines
from relogit.render.tables import Record

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
@command
def rows(run: Session) -> None:
    """List, check or remove kept rows."""
    answer = run.client.rows()
    run.show(answer, lambda: row_lines(answer, run.out, current_time()))


app.command("list", help="List the kept rows, last used first.")(rows)


@app.command()
@command
def verify(
    run: Session,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A key, or its start [default: all]")] = None,
) -> None:
    """Check every kept row against its checksum.

    Exits with 1 if any is damaged.
    """
    checked = _check(run, _matching(run.client.rows()["rows"], key))
    run.show({"rows": checked}, lambda: checked_row_lines(checked), failed=any(map(is_damaged, checked)))


@app.command()
@command
def prune(
    run: Session,
    max_size: Annotated[
        int | None, size_option("--max-size", "Remove the longest unused until the rest fits, such as 10GB")
    ] = None,
    older_than: Annotated[
        float | None, time_option("--older-than", "Remove rows that no job used for longer, such as 30d")
    ] = None,
) -> None:
    """Remove kept rows by size, by age, or both.

    Unusable rows go first. Jobs compute the removed rows again when they need them.
    """
    if max_size is None and older_than is None:
        raise typer.BadParameter("Name a limit: --max-size 10GB, --older-than 30d, or both.")
    answer = run.client.prune_rows(max_bytes=max_size, older_than_s=older_than)
    run.show(answer, lambda: pruned_row_lines(answer, run.out, current_time()))


def _matching(entries: list[Record], key: str | None) -> list[Record]:
    """Select the entry whose key begins with `key`, or all."""
    if key is None:
        return entries
    matches = [entry for entry in entries if entry["key"].startswith(key.lower())]
    if not matches:
        raise typer.BadParameter(f"No rows are kept under a key that begins with {key!r}; `relogit rows` lists them.")
    if len(matches) > 1:
        keys = ", ".join(entry["key"] for entry in matches)
        raise typer.BadParameter(f"Several keys begin with {key!r}: {keys}.")
    return matches


def _check(run: Session, entries: list[Record]) -> list[Record]:
    checked = []
    silent = run.json or not run.out.is_interactive
    for entry in track(entries, "Checking", console=run.out, transient=True, disable=silent):
        try:
            checked.append(run.client.row_condition(entry["key"]))
        except Problem as problem:
            if problem.status != 404:  # removed after they were listed
                raise
    return checked
