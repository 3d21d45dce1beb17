"""`relogit jobs`, `status`, `wait`, `cancel`, `delete` and `download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relogit.cli.combinations import combination_of, result_lines, without_logits
from relogit.cli.combinations import show_end as show_combination
from relogit.cli.command import command
from relogit.cli.compare import comparison_result_lines, show_comparison_end
from relogit.cli.options import JobArgument
from relogit.cli.recompute import show_end
from relogit.cli.run import show_run, show_run_end
from relogit.cli.session import ExitCode, Session
from relogit.cli.verify import show_verification
from relogit.combination import Combination
from relogit.render.jobs import (
    download_lines,
    failure_lines,
    job_lines,
    job_title,
    job_verdict,
    jobs_table,
    reuse_lines,
    units_table,
)


@command
def jobs(
    run: Session,
    state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Number of jobs to list at most")] = 20,
) -> None:
    """List jobs of all kinds, newest first."""
    data = [job.data for job in run.client.jobs(state=state, limit=limit)]
    run.show({"jobs": data}, lambda: [jobs_table(data, run.out) if data else "No jobs."])


@command
def status(run: Session, job_id: JobArgument = None) -> None:
    """Show one job as it is now.

    Exits with 0 whatever its state.
    """
    found = run.find(job_id)
    if found.job_kind == "run":
        show_run(run, run.client.get_run(found.id))
        return
    if found.job_kind == "comparison":
        comparison = run.client.get_comparison(found.id).data
        run.show(comparison, lambda: [*job_lines(comparison), *comparison_result_lines(run, comparison)])
        return
    combination = combination_of(run, found)
    if combination is not None:
        _show_combination(run, combination)
        return
    job = found.data
    run.show(
        job,
        lambda: [
            *job_lines(job),
            *([units_table(job)] if job["units"] else []),
            *failure_lines(job),
            *reuse_lines(job),
            job_verdict(job),
        ],
    )


@command
def wait(run: Session, job_id: JobArgument = None) -> None:
    """Watch a job until it ends and show its results."""
    job = run.find(job_id)
    if job.verifies_files:
        verification = run.client.verification(job.id)
        run.follow(verification)
        show_verification(run, verification)
    elif job.job_kind == "run":
        show_run_end(run, run.client.get_run(job.id))
    elif job.job_kind == "comparison":
        show_comparison_end(run, run.client.get_comparison(job.id))
    elif combination := combination_of(run, job):
        show_combination(run, combination)
    else:
        show_end(run, job)


@command
def cancel(run: Session, job_id: JobArgument = None) -> None:
    """Ask the server to stop a job."""
    job = run.find(job_id).cancel()
    run.show(job.data, lambda: [f"{job_title(job.data)} is {job.state}."])


@command
def delete(
    run: Session, job_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a job, or its start")]
) -> None:
    """Delete an ended job from the server."""
    job = run.find(job_id)
    job.delete()
    run.show({"id": job.id, "deleted": True}, lambda: [f"{job_title(job.data)} is deleted."])


@command
def download(
    run: Session,
    job_id: JobArgument = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to put the files in")] = Path(),
    with_index: Annotated[
        bool,
        typer.Option("--with-index", help="Add the samples of the rows to the local files: sample_index, base"),
    ] = False,
) -> None:
    """Fetch a job's files and check their sha256.

    Of a run, these are the logits of its experts and of their combination.

    Files that are already there are not fetched again. Exits with 1 if the job has not succeeded; the command
    fetches the files that exist all the same.
    """
    job = run.find(job_id)
    if job.verifies_files:
        raise typer.BadParameter(f"Job {job.id} verifies files; it has none of its own.")
    if reason := without_logits(run, job):
        raise typer.BadParameter(reason)
    work = run.client.get_run(job.id) if job.job_kind == "run" else job
    try:
        saved = work.download(to, with_index=with_index)
    except OSError as error:
        run.err.print(f"Cannot write below {to}: {error}. Name another folder with --to.", style="red")
        raise typer.Exit(ExitCode.FAILED) from None
    files = [{**item._asdict(), "path": str(item.path)} for item in saved]
    run.show(
        {"job": job.id, "state": job.state, "files": files}, lambda: download_lines(saved, with_index=with_index)
    )
    if job.state != "succeeded":
        run.err.print(f"{job_title(job.data)} is {job.state}, not succeeded; do not use these files as its results.")
        raise typer.Exit(ExitCode.FAILED)


def _show_combination(run: Session, work: Combination) -> None:
    data = work.data
    units = [units_table(data)] if data.get("units") and data["state"] != "succeeded" else []
    run.show(data, lambda: [*job_lines(data), *units, *result_lines(run, data)])
