"""`relogit rows`: list, check and remove the rows kept for later jobs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import track

from relogit.cli.argv import bytes_of, seconds_of
from relogit.cli.options import JsonOption, ServerOption
from relogit.cli.session import ExitCode, Session, group_session
from relogit.errors import Problem
from relogit.render.rows import checked_row_lines, current_time, is_damaged, pruned_row_lines, row_lines
from relogit.render.tables import Record

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def rows(ctx: typer.Context, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List, check or remove kept rows."""
    if ctx.invoked_subcommand is None:
        _list(ctx, server, as_json)


@app.command("list")
def list_rows(ctx: typer.Context, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List the kept rows, last used first."""
    _list(ctx, server, as_json)


@app.command()
def verify(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A key, or its start [default: all]")] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every kept row against its checksum.

    Exits with 1 if any is damaged.
    """
    with group_session(ctx, server, as_json) as run:
        checked = _check(run, _matching(run.client.rows()["rows"], key))
        run.show({"rows": checked}, lambda: checked_row_lines(checked))
        if any(is_damaged(entry) for entry in checked):
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def prune(
    ctx: typer.Context,
    max_size: Annotated[
        str | None, typer.Option("--max-size", help="Remove the longest unused until the rest fits, such as 10GB")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Remove rows that no job used for longer, such as 30d")
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove kept rows by size, by age, or both.

    Unusable rows go first. Jobs compute the removed rows again when they need them.
    """
    if max_size is None and older_than is None:
        raise typer.BadParameter("Name a limit: --max-size 10GB, --older-than 30d, or both.")
    max_bytes, older_than_s = bytes_of(max_size, "--max-size"), seconds_of(older_than, "--older-than")
    with group_session(ctx, server, as_json) as run:
        answer = run.client.prune_rows(max_bytes=max_bytes, older_than_s=older_than_s)
        run.show(answer, lambda: pruned_row_lines(answer, run.out, current_time()))


def _list(ctx: typer.Context, server: str | None, as_json: bool) -> None:
    with group_session(ctx, server, as_json) as run:
        answer = run.client.rows()
        run.show(answer, lambda: row_lines(answer, run.out, current_time()))


def _matching(entries: list[Record], key: str | None) -> list[Record]:
    """Select the entry whose key begins with `key`, or all entries."""
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
