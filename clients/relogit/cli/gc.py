"""`relogit gc`: removes what the server keeps for longer, or more of, than it is to."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.cli.options import JsonOption, ServerOption
from relogit.cli.rows import BYTES, SECONDS, amount_of
from relogit.cli.session import ExitCode, session
from relogit.render import gc as render_gc
from relogit.render import rows as render_rows


def gc(
    ctx: typer.Context,
    jobs_older_than: Annotated[
        str | None, typer.Option("--jobs-older-than", help="Delete jobs that ended longer ago, such as 30d")
    ] = None,
    max_artifacts: Annotated[
        str | None,
        typer.Option("--max-artifacts", help="Not supported any more: the server refuses it", hidden=True),
    ] = None,
    rows_older_than: Annotated[
        str | None,
        typer.Option("--rows-older-than", help="Remove kept rows that no job used for so long, such as 30d"),
    ] = None,
    max_rows: Annotated[
        str | None,
        typer.Option("--max-rows", help="Remove the longest unused rows until the rest fits, such as 10GB"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; show what would go")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what is kept beyond the limits, and files that no job refers to.

    A limit that is not given is the one of the server's RELOGIT_KEEP settings, which by default set none. What an
    open job refers to stays, and so does all in your output folders. Exits with 1 if something could not be removed.
    """
    max_bytes, max_row_bytes = _bytes(max_artifacts, "--max-artifacts"), _bytes(max_rows, "--max-rows")
    jobs_age_s, rows_age_s = _age(jobs_older_than, "--jobs-older-than"), _age(rows_older_than, "--rows-older-than")
    with session(ctx.obj, server, as_json) as run:
        done = run.client.collect_garbage(
            jobs_older_than_s=jobs_age_s,
            artifacts_max_bytes=max_bytes,
            rows_older_than_s=rows_age_s,
            rows_max_bytes=max_row_bytes,
            dry_run=dry_run,
        )
        run.show(done, lambda: render_gc.collected(done, run.out, render_rows.now()))
        if done["kept_back"]:
            raise typer.Exit(ExitCode.FAILED)


def _bytes(given: str | None, option: str) -> int | None:
    return None if given is None else int(amount_of(given, BYTES, option, "10GB"))


def _age(given: str | None, option: str) -> float | None:
    return None if given is None else amount_of(given, SECONDS, option, "30d")
