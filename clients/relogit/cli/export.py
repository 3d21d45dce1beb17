"""`relogit export`: a job's logits in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relogit.cli.combinations import without_logits
from relogit.cli.command import command
from relogit.cli.options import JobArgument
from relogit.cli.session import ExitCode, Session
from relogit.export import Format, export_job
from relogit.export.exporting import to_json
from relogit.render.exports import export_lines


@command
def export(
    run: Session,
    job_id: JobArgument = None,
    *,
    to: Annotated[Format, typer.Option("--to", help="Format; docs/exports.md describes each")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="New folder for the files")],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in that folder")] = False,
) -> None:
    """Export a job's verified logits for other tools.

    parquet, stack (one .npz a split), pred-probs (cleanlab), fd-shifts, fiftyone. Each row carries the index of its
    sample. The folder appears whole or not at all; its export.json names the files that the logits come from.
    """
    job = run.find(job_id)
    if job.verifies_files or job.job_kind == "run":
        what = "verifies files" if job.verifies_files else "is a run; its steps have the logits"
        raise typer.BadParameter(f"Job {job.id} {what}. `relogit export` takes a job of its own logits.")
    if reason := without_logits(run, job):
        raise typer.BadParameter(reason)
    try:
        exported = export_job(job, to, output, force=force)
    except OSError as error:
        run.err.print(f"Cannot write {output}: {error}. Name another folder with -o.", style="red")
        raise typer.Exit(ExitCode.FAILED) from None
    run.show(to_json(exported, job.id, to), lambda: export_lines(exported, run.out))
