"""`relogit run`: the whole workflow, from splits to an evaluation."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

import typer

from relogit.cli.combinations import OverlapOption
from relogit.cli.command import command
from relogit.cli.options import CommonOptions, folder_option, time_option
from relogit.cli.plans import show_plan
from relogit.cli.session import Session
from relogit.combination import EvaluationRequest, GatingRequest, Method, Prior
from relogit.job import JobRequest
from relogit.render.run import computes, run_lines, run_plan_lines, steps_table
from relogit.render.tables import Record
from relogit.run import Run, RunRequest, Step


class RunOptions(CommonOptions, total=False):
    """The options of a run's recompute and gating steps."""

    experts: Annotated[
        list[str] | None, typer.Option("--experts", metavar="E...", help="Experts [default: all under the prefix]")
    ]
    output_dir: Annotated[str | None, folder_option("--output-dir", "outputs")]
    method: Annotated[
        Method | None,
        typer.Option("--method", help="Fit this one alone [default: uniform, linear, log-linear, net; the best]"),
    ]
    prior: Annotated[
        Prior | None,
        typer.Option("--prior", help="Weigh rows as listed, or as classes are common in train [default: listed]"),
    ]
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the gating network's training [default: 42]")]
    allow_overlap: OverlapOption


@command
def run(
    session: Session,
    *,
    until: Annotated[Step | None, typer.Option("--until", help="The last step [default: evaluation]")] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only show what the run would keep, and what is wrong; queue nothing"),
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the run is queued")] = False,
    deadline_s: Annotated[
        float | None, time_option("--deadline", "Stop the run, as failed, unless it ends within 30min, 2h, 1d")
    ] = None,
    **options: Unpack[RunOptions],
) -> None:
    """Go through the whole workflow and show the methods' figures.

    The steps: create the splits if they are not there, recompute the logits, verify them, combine the experts, fit
    the rejectors, evaluate. A step whose result is already right is kept, and says why. The server has defaults for
    options that are left out.
    """
    request = request_of(until, deadline_s, options)
    if plan:
        _show_plan(session, request)
        return
    health = session.client.ready()
    work = session.client.run(**request)
    session.warn_unless_ready(health)
    if no_wait:
        session.show(work.data, lambda: [f"Run {work.id} is queued. To watch it: {session.command('wait', work.id)}"])
    else:
        show_run_end(session, work)


def request_of(until: Step | None, deadline_s: float | None, options: RunOptions) -> RunRequest:
    """Sort the options into the parts of a run."""
    values: dict[str, Any] = dict(options)
    names = ("checkpoint_prefix", "experts_dir", "splits_dir", "head_threshold", "experts", "output_dir")
    recompute = JobRequest(**{name: values.get(name) for name in names})  # type: ignore[typeddict-item]
    overlap = values.get("allow_overlap")
    options_of_gating = {name: values.get(name) for name in ("method", "prior", "seed", "head_threshold")}
    gating = GatingRequest(**options_of_gating, allow_overlap=overlap)  # type: ignore[typeddict-item]
    return RunRequest(
        dataset=values.get("dataset"),
        until=until,
        recompute=recompute,
        gating=gating,
        evaluation=None if overlap is None else EvaluationRequest(allow_overlap=overlap),
        deadline_s=deadline_s,
    )


def show_run_end(session: Session, work: Run) -> None:
    """Watch a run and show what it resulted in.

    Exits with 1 unless it succeeded.
    """
    session.follow(work)
    _show(session, work, failed=work.state != "succeeded")


def show_run(session: Session, work: Run) -> None:
    """Show a run as it is now."""
    if not session.json:
        session.out.print(steps_table(work.steps))
    _show(session, work)


def _show(session: Session, work: Run, *, failed: bool = False) -> None:
    evaluation = work.evaluation().data if "evaluation" in work.data["links"] else None
    report = session.address(work.data["links"].get("report"))
    document = {**work.data, "evaluation": evaluation}
    session.show(document, lambda: run_lines(work.data, evaluation, report, session.out), failed=failed)


def _show_plan(session: Session, request: RunRequest) -> None:
    """Show which steps a run would keep, and what its recompute step would cost.

    Exits with 2 if there are problems.
    """
    plan = session.client.plan_run(**request)
    recompute = _recompute_plan(session, request) if plan["ok"] and computes(plan) else None
    document = {**plan, "recompute": recompute}
    if recompute is not None:
        document |= {"ok": recompute["ok"], "problems": recompute["problems"]}
    show_plan(session, document, lambda: run_plan_lines(document), subject="run")


def _recompute_plan(session: Session, request: RunRequest) -> Record:
    body = JobRequest(**{**(request.get("recompute") or {}), "dataset": request.get("dataset")})
    return session.client.plan(**body)
