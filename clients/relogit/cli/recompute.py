"""`relogit recompute`: submit and watch a job, or plan it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from relogit.cli.argv import batch_size_of, floors_of, own_folder, seconds_of
from relogit.cli.options import (
    DatasetOption,
    ExpertsDirOption,
    FloorOption,
    HeadThresholdOption,
    JsonOption,
    PrefixOption,
    ServerOption,
    SplitsDirOption,
)
from relogit.cli.session import ExitCode, Session, session
from relogit.job import Job, JobRequest
from relogit.render.checks import end_verdict, failed_check_lines, reason_lines, results_table
from relogit.render.jobs import failure_lines, reuse_lines
from relogit.render.plan import plan_lines, plan_problem_lines


class Calibration(StrEnum):
    """The use of a checkpoint's stored temperature."""

    NONE = "none"
    CHECKPOINT = "checkpoint"


class Precision(StrEnum):
    """The precision of the network's computation."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


ExpertsOption = Annotated[
    list[str] | None, typer.Option("--experts", metavar="E...", help="Experts [default: all under the prefix]")
]
SplitsOption = Annotated[
    list[str] | None, typer.Option("--splits", metavar="S...", help="Splits [default: val test tunev]")
]
BatchSizeOption = Annotated[str | None, typer.Option("--batch-size", help="Images in a batch at most, or auto")]
OutputDirOption = Annotated[
    str | None, typer.Option("--output-dir", help="Folder below the server's outputs; 'outputs/' is dropped")
]
CalibrationOption = Annotated[
    Calibration | None, typer.Option("--calibration", help="checkpoint: divide by the stored temperature")
]
PrecisionOption = Annotated[
    Precision | None, typer.Option("--precision", help="Precision of the computation; fp32, the default, is exact")
]
NoReuseOption = Annotated[
    bool, typer.Option("--no-reuse", help="Compute all rows again and compare them with those kept")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="PLACE", help="Set of weights in files that hold several, such as state_dict_ema"
    ),
]
DeadlineOption = Annotated[
    str | None, typer.Option("--deadline", help="Stop the job, as failed, unless it ends within 30min, 2h, 1d")
]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Only show what the job would reuse, compute and write, and what is wrong")
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return as soon as the job is queued")]


# typer reads a command's options from the parameters of its function; hence there are so many.
def recompute(
    ctx: typer.Context,
    experts: ExpertsOption = None,
    checkpoint_prefix: PrefixOption = None,
    splits: SplitsOption = None,
    batch_size: BatchSizeOption = None,
    output_dir: OutputDirOption = None,
    experts_dir: ExpertsDirOption = None,
    splits_dir: SplitsDirOption = None,
    dataset: DatasetOption = None,
    calibration: CalibrationOption = None,
    precision: PrecisionOption = None,
    no_reuse: NoReuseOption = False,
    weights: WeightsOption = None,
    floor: FloorOption = None,
    head_threshold: HeadThresholdOption = None,
    deadline: DeadlineOption = None,
    plan: PlanOption = False,
    no_wait: NoWaitOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute logits, watch the job and show its verified results.

    The server has defaults for options that are left out. Lists are written as in `--experts A B C`.
    """
    request = JobRequest(
        dataset=dataset,
        experts=experts or None,
        checkpoint_prefix=checkpoint_prefix,
        splits=splits or None,
        batch_size=batch_size_of(batch_size),
        output_dir=own_folder(output_dir, "outputs"),
        experts_dir=own_folder(experts_dir, "checkpoints"),
        splits_dir=own_folder(splits_dir, "data"),
        calibration=calibration.value if calibration else None,
        precision=precision.value if precision else None,
        reuse=False if no_reuse else None,
        weights=weights,
        head_threshold=head_threshold,
        floors=floors_of(floor),
        deadline_s=seconds_of(deadline, "--deadline", "2h"),
    )
    with session(ctx.obj, server, as_json) as run:
        _show_plan(run, request) if plan else _submit(run, request, wait=not no_wait)


def show_end(run: Session, job: Job) -> None:
    """Watch a job and show its results.

    Raises:
        typer.Exit: 1 unless it succeeded and is verified.
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
    )
    if job.state != "succeeded" or verification["verdict"] != "passed":
        raise typer.Exit(ExitCode.FAILED)


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
    run.show(plan, lambda: plan_lines(plan))
    if not run.json:
        for line in plan_problem_lines(plan):
            run.err.print(line)
    if not plan["ok"]:
        raise typer.Exit(ExitCode.REFUSED)
