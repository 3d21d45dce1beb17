"""`relogit gc`: remove old jobs, their files and kept rows."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.cli.argv import bytes_of, seconds_of
from relogit.cli.options import JsonOption, ServerOption
from relogit.cli.session import ExitCode, session
from relogit.render.gc import garbage_lines
from relogit.render.rows import current_time


def gc(
    ctx: typer.Context,
    jobs_older_than: Annotated[
        str | None, typer.Option("--jobs-older-than", help="Delete jobs that ended longer ago, such as 30d")
    ] = None,
    max_artifacts: Annotated[
        str | None, typer.Option("--max-artifacts", help="Not supported any more: the server refuses it", hidden=True)
    ] = None,
    rows_older_than: Annotated[
        str | None,
        typer.Option("--rows-older-than", help="Remove kept rows that no job used for longer, such as 30d"),
    ] = None,
    max_rows: Annotated[
        str | None,
        typer.Option("--max-rows", help="Remove the longest unused rows until the rest fits, such as 10GB"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; show what would go")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old jobs, their files and kept rows.

    The command also removes files that no job refers to.

    The default of each limit is the server's RELOGIT_KEEP setting, which is no limit unless it is set. What an open
    job refers to stays, and so does all in your output folders. Exits with 1 if something could not be removed.
    """
    max_bytes, max_row_bytes = bytes_of(max_artifacts, "--max-artifacts"), bytes_of(max_rows, "--max-rows")
    job_age_s = seconds_of(jobs_older_than, "--jobs-older-than")
    row_age_s = seconds_of(rows_older_than, "--rows-older-than")
    with session(ctx.obj, server, as_json) as run:
        answer = run.client.collect_garbage(
            jobs_older_than_s=job_age_s,
            artifacts_max_bytes=max_bytes,
            rows_older_than_s=row_age_s,
            rows_max_bytes=max_row_bytes,
            dry_run=dry_run,
        )
        run.show(answer, lambda: garbage_lines(answer, run.out, current_time()))
        if answer["kept_back"]:
            raise typer.Exit(ExitCode.FAILED)
