"""`relogit evaluate`: compare combinations and rejectors on test rows."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from relogit.cli.combinations import (
    EndOptions,
    NoWaitOption,
    OverlapOption,
    checked_ids,
    end_of,
    newest_of,
    tell_newest,
)
from relogit.cli.command import command
from relogit.cli.options import DatasetOption, folder_option
from relogit.cli.plans import PlanOption, show_combine_plan
from relogit.cli.session import Session
from relogit.combination import EvaluationRequest


class EvaluationOptions(EndOptions, total=False):
    """The options of an evaluation, named like the fields of `EvaluationRequest`."""

    test: Annotated[str | None, typer.Option("--test", metavar="SPLIT", help="Rows to evaluate on [default: test]")]
    output_dir: Annotated[str | None, folder_option("--output-dir", "outputs")]
    allow_overlap: OverlapOption


@command
def evaluate(
    run: Session,
    *,
    gatings: Annotated[
        list[str] | None,
        typer.Option(
            "--gatings",
            "--gating",
            metavar="ID...",
            help="Gatings [default: the rejectors' or the newest]",
        ),
    ] = None,
    rejectors: Annotated[
        list[str] | None,
        typer.Option("--rejectors", metavar="ID...", help="Rejectors [default: the newest of each name]"),
    ] = None,
    dataset: DatasetOption = None,
    plan: PlanOption = False,
    no_wait: NoWaitOption = False,
    **options: Unpack[EvaluationOptions],
) -> None:
    """Compare experts, combinations and rejectors on test rows.

    Nothing is fitted on these rows. Every figure has a 95 % interval, and so has its difference from the uniform
    average of the experts with the score msp.

    Without ids and --dataset it takes the newest gating of all data sets, and names it.
    """
    newest = not gatings and not rejectors
    if newest and dataset is not None:
        gatings = [newest_of(run, "gating", dataset)]
    request = EvaluationRequest(
        gatings=checked_ids(run, gatings or (), dataset) or None,
        rejectors=checked_ids(run, rejectors or (), dataset) or None,
        **options,
    )
    if plan:
        show_combine_plan(run, "evaluation", run.client.plan_evaluation(**request))
        return
    health = run.client.ready()
    work = run.client.evaluate(**request)
    run.warn_unless_ready(health)
    if newest:
        tell_newest(run, work.data["request"]["gatings"][0])
    end_of(run, work, wait=not no_wait)
