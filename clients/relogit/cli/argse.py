"""`relogit argse`: fit a rule that accepts or rejects."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from relogit.cli.combinations import (
    CoveragesOption,
    EndOptions,
    MinGroupCoverageOption,
    NoWaitOption,
    end_of,
)
from relogit.cli.command import command
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
    score: Annotated[Score, typer.Option("--score", help="What rows are accepted by")] = "group",
    objective: Annotated[
        Objective, typer.Option("--objective", help="What the score group minimises: the largest or the mean error")
    ] = "worst",
    no_wait: NoWaitOption = False,
    **options: Unpack[RejectorOptions],
) -> None:
    """Fit a rule that rejects, for the worst class group by default.

    It decides over the combination of a gating; run `relogit gating` first. A rule is fitted for each coverage, on
    the rows that the combination was fitted and chosen by. `relogit evaluate` measures it on other rows.
    """
    request: RejectorRequest = {
        "gating": None if gating is None else run.find(gating).id,
        "score": score,
        "objective": objective if score == "group" else None,
        **options,
    }
    health = run.client.ready()
    work = run.client.rejector(**request)
    run.warn_unless_ready(health)
    end_of(run, work, wait=not no_wait)
