"""`relogit gc`: remove old jobs, their files and kept rows."""

from __future__ import annotations

from typing import Annotated, TypedDict, Unpack

import typer

from relogit.cli.command import command
from relogit.cli.options import size_option, time_option
from relogit.cli.session import Session
from relogit.render.rows import current_time, garbage_lines


class Limits(TypedDict, total=False):
    """The limits, named like those of `Client.collect_garbage`."""

    jobs_older_than_s: Annotated[
        float | None, time_option("--jobs-older-than", "Delete jobs that ended longer ago, such as 30d")
    ]
    artifacts_max_bytes: Annotated[
        int | None, size_option("--max-artifacts", "Not supported any more: the server refuses it", hidden=True)
    ]
    rows_older_than_s: Annotated[
        float | None, time_option("--rows-older-than", "Remove kept rows that no job used for longer, such as 30d")
    ]
    rows_max_bytes: Annotated[
        int | None, size_option("--max-rows", "Remove the longest unused rows until the rest fits, such as 10GB")
    ]


@command
def gc(
    run: Session,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; show what would go")] = False,
    **limits: Unpack[Limits],
) -> None:
    """Remove old jobs, their files and kept rows.

    The command also removes files that no job refers to.

    The default of each limit is the server's RELOGIT_KEEP setting, which is no limit unless it is set. What an open
    job refers to stays, and so does all in your output folders. Exits with 1 if something could not be removed.
    """
    answer = run.client.collect_garbage(dry_run=dry_run, **limits)
    run.show(answer, lambda: garbage_lines(answer, run.out, current_time()), failed=bool(answer["kept_back"]))
