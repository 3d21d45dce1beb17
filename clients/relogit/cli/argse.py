"""`relogit argse`: fit a rule that accepts or rejects."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from relogit.cli.combinations import (
    CoveragesOption,
    EndOptions,
    MinGroupCoverageOption,
    NoWaitOption,
    checked_ids,
    end_of,
    newest_of,
    tell_newest,
)
from relogit.cli.command import command
from relogit.cli.options import DatasetOption
from relogit.cli.plans import PlanOption, show_combine_plan
from relogit.cli.session import Session
from relogit.combination import Objective, RejectorRequest, Score


class RejectorOptions(EndOptions, total=False):
    """The options of a rejector, named like the fields of `RejectorRequest`."""

    coverages: CoveragesOption
    min_group_coverage: MinGroupCoverageOption


@command
def argse(
    run: Session,
    *,
    gating: Annotated[
        str | None,
        typer.Option("--gating", metavar="ID", help="Gating that it decides over [default: the newest]"),
    ] = None,
    dataset: DatasetOption = None,
    score: Annotated[Score, typer.Option("--score", help="What rows are accepted by")] = "group",
    objective: Annotated[
        Objective, typer.Option("--objective", help="What the score group minimises: the largest or the mean error")
    ] = "worst",
    plan: PlanOption = False,
    no_wait: NoWaitOption = False,
    **options: Unpack[RejectorOptions],
) -> None:
    """Fit a rule that rejects, for the worst class group by default.

    It decides over the combination of a gating; run `relogit gating` first. A rule is fitted for each coverage, on
    the rows that the combination was fitted and chosen by. `relogit evaluate` measures it on other rows.

    Without --gating and --dataset it takes the newest gating of all data sets, and names it.
    """
    request: RejectorRequest = {
        "gating": _gating(run, gating, dataset),
        "score": score,
        "objective": objective if score == "group" else None,
        **options,
    }
    if plan:
        show_combine_plan(run, "rejector", run.client.plan_rejector(**request))
        return
    health = run.client.ready()
    work = run.client.rejector(**request)
    run.warn_unless_ready(health)
    if gating is None:
        tell_newest(run, work.data["request"]["gating"])
    end_of(run, work, wait=not no_wait)


def _gating(run: Session, gating: str | None, dataset: str | None) -> str | None:
    """Return the id of the gating to decide over; None leaves it to the server."""
    if gating is None:
        return None if dataset is None else newest_of(run, "gating", dataset)
    return checked_ids(run, [gating], dataset)[0]
