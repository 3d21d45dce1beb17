"""`relogit recompute`: submit and watch a job, or plan it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Unpack

import typer

from relogit.cli.argv import batch_size, floors_of
from relogit.cli.command import command
from relogit.cli.options import CommonOptions, FloorOption, folder_option, time_option
from relogit.cli.plans import show_plan
from relogit.cli.session import Session
from relogit.job import Job, JobRequest
from relogit.render.checks import end_verdict, failed_check_lines, reason_lines, results_table
from relogit.render.jobs import failure_lines, reuse_lines
from relogit.render.plan import plan_lines


class JobOptions(CommonOptions, total=False):
    """The options of a job, named like the fields of `JobRequest`."""

    experts: Annotated[
        list[str] | None, typer.Option("--experts", metavar="E...", help="Experts [default: all under the prefix]")
    ]
    splits: Annotated[
        list[str] | None, typer.Option("--splits", metavar="S...", help="Splits [default: val test tunev]")
    ]
    # typer knows no union of int and Literal, so the parser alone gives the type.
    batch_size: Annotated[
        Any,
        typer.Option("--batch-size", parser=batch_size, metavar="N|auto", help="Images in a batch at most, or auto"),
    ]
    output_dir: Annotated[str | None, folder_option("--output-dir", "outputs")]
    calibration: Annotated[
        Literal["none", "checkpoint"] | None,
        typer.Option("--calibration", help="checkpoint: divide by the stored temperature"),
    ]
    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"] | None,
        typer.Option("--precision", help="Precision of the computation; fp32, the default, is exact"),
    ]
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="PLACE", help="Set of weights in files that hold several, such as state_dict_ema"
        ),
    ]
    deadline_s: Annotated[
        float | None, time_option("--deadline", "Stop the job, as failed, unless it ends within 30min, 2h, 1d")
    ]


@command
def recompute(
    run: Session,
    *,
    floor: FloorOption = None,
    no_reuse: Annotated[
        bool, typer.Option("--no-reuse", help="Compute all rows again and compare them with those kept")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what the job would reuse, compute and write, and what is wrong")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the job is queued")] = False,
    **options: Unpack[JobOptions],
) -> None:
    """Recompute logits, watch the job and show its verified results.

    The server has defaults for options that are left out. Lists are written as in `--experts A B C`.
    """
    request = JobRequest(floors=floors_of(floor), reuse=False if no_reuse else None, **options)
    _show_plan(run, request) if plan else _submit(run, request, wait=not no_wait)


def show_end(run: Session, job: Job) -> None:
    """Watch a job and show its results.

    Exits with 1 unless the job is verified.
    """
    run.follow(job)
    verification = job.verification()
    run.show(
        job.data,
        lambda: [
            *failure_lines(job.data),
            *failed_check_lines(verification),
            results_table(verification),
            *reason_lines(verification),
            *reuse_lines(job.data),
            end_verdict(job.data, verification),
        ],
        failed=job.state != "succeeded" or verification["verdict"] != "passed",
    )


def _submit(run: Session, request: JobRequest, *, wait: bool) -> None:
    health = run.client.ready()
    job = run.client.submit(**request)
    run.warn_unless_ready(health)
    if wait:
        show_end(run, job)
    else:
        run.show(job.data, lambda: [f"Job {job.id} is queued. To watch it: {run.command('wait', job.id)}"])


def _show_plan(run: Session, request: JobRequest) -> None:
    plan = run.client.plan(**request)
    show_plan(run, plan, lambda: plan_lines(plan))
