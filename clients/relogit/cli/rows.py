"""`relogit rows`: what is kept of earlier jobs, whether it is whole, and how to be rid of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.progress import track

from relogit.cli.options import JsonOption, ServerOption
from relogit.cli.session import ExitCode, Session, UsageError, group_session
from relogit.errors import Problem
from relogit.render import rows as render_rows
from relogit.render.tables import Record

BYTES = {
    "B": 1,
    **{name: 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB"), start=1)},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)},
}
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)")

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def rows(ctx: typer.Context, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List, check or remove the rows that are kept for later jobs. Alone, it lists them."""
    if ctx.invoked_subcommand is None:
        _list(ctx, server, as_json)


@app.command("list")
def list_rows(ctx: typer.Context, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List what is kept, last used first."""
    _list(ctx, server, as_json)


@app.command()
def verify(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A key or how it begins [default: all]")] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every kept row against its checksum. Exits with 1 if any is damaged."""
    with group_session(ctx, server, as_json) as run:
        found = _check(run, _named(run.client.rows()["rows"], key))
        run.show({"rows": found}, lambda: render_rows.checked(found))
        if any(render_rows.is_damaged(one) for one in found):
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def prune(
    ctx: typer.Context,
    max_size: Annotated[
        str | None, typer.Option("--max-size", help="Remove the longest unused until the rest fits, such as 10GB")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Remove what no job has used for so long, such as 30d")
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove kept rows by size, by age, or both. What is unusable goes first. Jobs compute again what they miss."""
    if max_size is None and older_than is None:
        raise UsageError("Say what may go: --max-size 10GB, --older-than 30d, or both.")
    max_bytes = None if max_size is None else int(amount_of(max_size, BYTES, "--max-size", "10GB"))
    older_than_s = None if older_than is None else amount_of(older_than, SECONDS, "--older-than", "30d")
    with group_session(ctx, server, as_json) as run:
        done = run.client.prune_rows(max_bytes=max_bytes, older_than_s=older_than_s)
        run.show(done, lambda: render_rows.pruned(done, run.out, render_rows.now()))


def amount_of(given: str, units: Mapping[str, int], option: str, example: str) -> float:
    """A number with its unit, such as `1.5GB`, in the unit whose factor is 1. Nought needs no unit.

    Raises:
        typer.BadParameter: there is no number, or no unit of these.
    """
    found = AMOUNT.fullmatch(given.strip())
    factors = {name.lower(): factor for name, factor in units.items()}
    if found is None or (found[2].lower() not in factors and (found[2] or float(found[1]))):
        said = f"{given!r} is not a number with one of the units {', '.join(units)}; write it like {example}."
        raise typer.BadParameter(said, param_hint=option)
    return float(found[1]) * factors.get(found[2].lower(), 1)


def _list(ctx: typer.Context, server: str | None, as_json: bool) -> None:
    with group_session(ctx, server, as_json) as run:
        found = run.client.rows()
        run.show(found, lambda: render_rows.listing(found, run.out, render_rows.now()))


def _named(listed: list[Record], key: str | None) -> list[Record]:
    """The rows of that key, or of the only key that begins so; all without one."""
    if key is None:
        return listed
    found = [one for one in listed if one["key"].startswith(key.lower())]
    if not found:
        raise typer.BadParameter(f"No rows are kept under a key that begins with {key!r}; `relogit rows` lists them.")
    if len(found) > 1:
        raise typer.BadParameter(f"{key!r} begins several keys: {', '.join(one['key'] for one in found)}.")
    return found


def _check(run: Session, listed: list[Record]) -> list[Record]:
    found = []
    silent = run.json or not run.out.is_interactive
    for one in track(listed, "Checking", console=run.out, transient=True, disable=silent):
        try:
            found.append(run.client.row_condition(one["key"]))
        except Problem as gone:
            if gone.status != 404:  # removed since it was listed
                raise
    return found
