"""`relogit recompute`: a job from its submission to its verified end, or the plan of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from relogit.cli.argv import batch_size_of, floors_of, own_folder
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
from relogit.cli.rows import SECONDS, amount_of
from relogit.cli.session import ExitCode, Session, session
from relogit.client import JobRequest
from relogit.job import Job
from relogit.render import checks as render_checks
from relogit.render import plan as render_plan
from relogit.render import tables as render


class Calibration(StrEnum):
    """What is done with a checkpoint's stored temperature."""

    NONE = "none"
    CHECKPOINT = "checkpoint"


class Precision(StrEnum):
    """What the network computes in."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


# typer reads a command's options from the parameters of its function; hence there are so many.
def recompute(
    ctx: typer.Context,
    experts: Annotated[
        list[str] | None, typer.Option("--experts", metavar="E...", help="Experts [default: all under the prefix]")
    ] = None,
    checkpoint_prefix: PrefixOption = None,
    splits: Annotated[
        list[str] | None, typer.Option("--splits", metavar="S...", help="Splits [default: val test tunev]")
    ] = None,
    batch_size: Annotated[str | None, typer.Option("--batch-size", help="Images in a batch at most, or auto")] = None,
    output_dir: Annotated[
        str | None, typer.Option("--output-dir", help="Folder below the server's outputs; 'outputs/' is dropped")
    ] = None,
    experts_dir: ExpertsDirOption = None,
    splits_dir: SplitsDirOption = None,
    dataset: DatasetOption = None,
    calibration: Annotated[
        Calibration | None, typer.Option("--calibration", help="checkpoint: divide by the stored temperature")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option("--precision", help="What to compute in; fp32, the default, is exact")
    ] = None,
    no_reuse: Annotated[
        bool, typer.Option("--no-reuse", help="Compute all rows again and compare them with those kept")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="PLACE", help="Set of weights in files with several, as state_dict_ema"),
    ] = None,
    floor: FloorOption = None,
    head_threshold: HeadThresholdOption = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", help="Stop the job, as failed, unless it ends within 30min, 2h, 1d")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what the job would reuse, compute and write, and what is wrong")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the job is queued")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute logits, watch the job and show its verified results.

    What is left out is the server's default. Lists are written as in `--experts A B C`.
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
        deadline_s=None if deadline is None else amount_of(deadline, SECONDS, "--deadline", "2h"),
    )
    with session(ctx.obj, server, as_json) as run:
        if plan:
            _show_plan(run, request)
            return
        health = run.client.ready()
        job = run.client.submit(**request)
        run.warn_unless_ready(health)
        if no_wait:
            run.show(job.data, lambda: [f"Job {job.id} is queued. To watch it: {run.command('wait', job.id)}"])
            return
        to_the_end(run, job)


def to_the_end(run: Session, job: Job) -> None:
    """Watch a job and show its results.

    Raises:
        typer.Exit: 1 unless it succeeded and is verified.
    """
    run.follow(job)
    found = job.verification()
    run.show(
        job.data,
        lambda: [
            *render.failure_lines(job.data),
            *render_checks.failed_check_lines(found),
            render_checks.results(found),
            *render_checks.reason_lines(found),
            *render.reuse_lines(job.data),
            render_checks.end(job.data, found),
        ],
    )
    if job.state != "succeeded" or found["verdict"] != "passed":
        raise typer.Exit(ExitCode.FAILED)


def _show_plan(run: Session, request: JobRequest) -> None:
    plan = run.client.plan(**request)
    run.show(plan, lambda: render_plan.lines(plan))
    if not run.json:
        for line in render_plan.problem_lines(plan):
            run.err.print(line)
    if not plan["ok"]:
        raise typer.Exit(ExitCode.REFUSED)
