"""`relogit log mlflow`: a job's figures in a tracker of experiments."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from relogit.cli.combinations import without_logits
from relogit.cli.command import command
from relogit.cli.options import JobArgument
from relogit.cli.session import Session
from relogit.export.mlflow_runs import EXPERIMENT, log_mlflow
from relogit.render.exports import logged_lines

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def log() -> None:
    """Log a job's figures to a tracker of experiments."""


@app.command()
@command
def mlflow(
    run: Session,
    job_id: JobArgument = None,
    *,
    experiment: Annotated[str, typer.Option("--experiment", metavar="NAME", help="Created if missing")] = EXPERIMENT,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", metavar="URI", help="Of MLflow [default: MLFLOW_TRACKING_URI]")
    ] = None,
) -> None:
    """Log a verified job to MLflow, with a nested run for each expert.

    Metrics are named <split>/<figure>, as val/accuracy. A job that the experiment has already is not logged again;
    the command then names its run.
    """
    job = run.find(job_id)
    if job.verifies_files or job.job_kind == "run":
        what = "verifies files" if job.verifies_files else "is a run; its steps have the logits"
        raise typer.BadParameter(f"Job {job.id} {what}. `relogit log mlflow` takes a job of its own logits.")
    if reason := without_logits(run, job):
        raise typer.BadParameter(reason)
    logged = log_mlflow(job, experiment=experiment, tracking_uri=tracking_uri)
    run.show({"job": job.id, **asdict(logged)}, lambda: logged_lines(job.id, logged))
