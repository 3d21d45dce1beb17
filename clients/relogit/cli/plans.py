"""`--plan`: show what a command would do, and what is wrong, and queue nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from relogit.cli.session import ExitCode, Session, remedy_lines
from relogit.render.combine_plan import combine_plan_lines
from relogit.render.plan import plan_problem_lines
from relogit.render.tables import Record

PlanOption = Annotated[
    bool, typer.Option("--plan", help="Only show what the job would do, and what is wrong; queue nothing")
]


def show_plan(
    run: Session, plan: Record, lines: Callable[[], Iterable[RenderableType]], *, subject: str = "job"
) -> None:
    """Show a plan, and its problems on standard error.

    Exits with 2 if there are any.
    """
    run.show(plan, lines)
    if not run.json:
        codes = {item["code"] for item in plan["problems"]}
        for line in (*plan_problem_lines(plan, subject), *remedy_lines(codes)):
            run.err.print(line)
    if not plan["ok"]:
        raise typer.Exit(ExitCode.REFUSED)


def show_combine_plan(run: Session, kind: str, plan: Record) -> None:
    """Show the plan of a gating, rejector or evaluation.

    Exits with 2 if there are problems.
    """
    show_plan(run, plan, lambda: combine_plan_lines(kind, plan, _names(run, plan["request"])), subject=kind)


def _names(run: Session, request: Record | None) -> dict[str, str]:
    """Return the names of the gatings and rejectors that a request names by id."""
    ids: Sequence[str] = []
    if request is not None and "gating" in request:
        ids = [request["gating"]]
    elif request is not None and "gatings" in request:
        ids = [*request["gatings"], *request["rejectors"]]
    return {job_id: run.client.job(job_id).data["request"]["name"] for job_id in ids}
