"""The command line: `relogit COMMAND`, one function for each command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import typer

from relogit.cli import rows as cli_rows
from relogit.cli import splits as cli_splits
from relogit.cli.argv import own_folder
from relogit.cli.doctor import doctor
from relogit.cli.gc import gc
from relogit.cli.options import (
    DatasetOption,
    ExpertsDirOption,
    JobArgument,
    JsonOption,
    PrefixOption,
    ServerOption,
)
from relogit.cli.recompute import recompute, to_the_end
from relogit.cli.session import ExitCode, execute, session
from relogit.cli.verify import show_files, verify
from relogit.render import experts as render_experts
from relogit.render import jobs as render_jobs
from relogit.render import tables as render

app = typer.Typer(
    name="relogit",
    help="Recompute the logits of trained experts, and verify every number.",
    # "\b" keeps the lines of a paragraph apart.
    epilog="\b\nEvery command takes --json and --server, before or behind its name.\n\n"
    "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {code.meaning}" for code in ExitCode),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# The commands are listed in the order in which they are made known here.
app.command()(recompute)


@app.command()
def jobs(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many")] = 20,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first: those that recompute, and verifications of files."""
    with session(ctx.obj, server, as_json) as run:
        listed = [job.data for job in run.client.jobs(state=state, limit=limit)]
        run.show({"jobs": listed}, lambda: [render_jobs.listing(listed, run.out) if listed else "No jobs."])


@app.command()
def status(
    ctx: typer.Context, job_id: JobArgument = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """Show one job as it is now. Exits with 0 however the job stands."""
    with session(ctx.obj, server, as_json) as run:
        job = run.find(job_id).data
        run.show(
            job,
            lambda: [
                *render.job_lines(job),
                *([render.units(job)] if job["units"] else []),
                *render.failure_lines(job),
                *render.reuse_lines(job),
                render.verdict(job),
            ],
        )


@app.command()
def wait(
    ctx: typer.Context, job_id: JobArgument = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """Watch a job until it ends and show its results."""
    with session(ctx.obj, server, as_json) as run:
        job = run.find(job_id)
        if job.verifies_files:
            found = run.client.verification(job.id)
            run.follow(found)
            show_files(run, found)
        else:
            to_the_end(run, job)


@app.command()
def cancel(
    ctx: typer.Context, job_id: JobArgument = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """Ask the server to stop a job."""
    with session(ctx.obj, server, as_json) as run:
        job = run.find(job_id).cancel()
        run.show(job.data, lambda: [f"Job {job.id} is {job.state}."])


@app.command()
def delete(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="A job's id or how it begins")],
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete an ended job from the server."""
    with session(ctx.obj, server, as_json) as run:
        job = run.find(job_id)
        job.delete()
        run.show({"id": job.id, "deleted": True}, lambda: [f"Job {job.id} is deleted."])


app.command()(verify)


@app.command()
def download(
    ctx: typer.Context,
    job_id: JobArgument = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to put the files in")] = Path(),
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a job's files, each held against its sha256; those already there are not fetched again.

    Exits with 1 if the job has not succeeded, though what it has is fetched.
    """
    with session(ctx.obj, server, as_json) as run:
        job = run.find(job_id)
        if job.verifies_files:
            raise typer.BadParameter(f"Job {job.id} verifies files, and wrote none.")
        try:
            saved = job.download(to)
        except OSError as error:
            run.err.print(f"Cannot write below {to}: {error}. Name another folder with --to.", style="red")
            raise typer.Exit(ExitCode.FAILED) from None
        files = [{**item._asdict(), "path": str(item.path)} for item in saved]
        run.show({"job": job.id, "state": job.state, "files": files}, lambda: render.saved(saved))
        if job.state != "succeeded":
            run.err.print(f"Job {job.id} is {job.state}, not succeeded: do not take these files for its results.")
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def experts(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One expert, in full")] = None,
    dataset: DatasetOption = None,
    prefix: PrefixOption = None,
    experts_dir: ExpertsDirOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the checkpoints under a prefix, or show one of them with its passport."""
    folder = own_folder(experts_dir, "checkpoints")
    with session(ctx.obj, server, as_json) as run:
        if name is not None:
            one = run.client.expert(name, dataset=dataset, prefix=prefix, experts_dir=folder)
            run.show(one, lambda: render_experts.passport(one))
            return
        found = run.client.experts(dataset=dataset, prefix=prefix, experts_dir=folder)
        run.show(found, lambda: render_experts.listing(found, run.out))


app.command()(doctor)
app.command()(gc)
app.add_typer(cli_splits.app, name="splits")
app.add_typer(cli_rows.app, name="rows")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"relogit {version('relogit')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit")
    ] = False,
) -> None: ...


def main(argv: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> NoReturn:
    """Run a command and exit with its `ExitCode`.

    Args:
        argv: the words behind `relogit`; the process's own by default.
        transport: what carries the requests instead of the network, for tests.
    """
    execute(app, sys.argv[1:] if argv is None else argv, transport)
