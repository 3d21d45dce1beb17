"""Selected cells of the matrix as recompute jobs, and their plans in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import RequestError
from app.pages.job_rows import duration
from app.pages.matrix_cells import Setting
from app.report.words import count
from app.submission.bodies import RecomputeBody
from app.submission.plans import Plan


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job of a selection."""

    what: str
    cost: str
    problems: Sequence[str]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class SelectionPlan:
    """What the selected cells would cost."""

    jobs: Sequence[PlannedJob]
    bodies: Sequence[dict[str, Any]]
    """Of POST /jobs, one for each job."""

    @property
    def ok(self) -> bool:
        """Whether there is something to run, without problems."""
        return bool(self.jobs) and not any(job.problems for job in self.jobs)


def selected_bodies(setting: Setting, cells: Sequence[str]) -> list[RecomputeBody]:
    """Divide selected cells into jobs: one for all experts that are to have the same splits.

    `cells` are names as of `Cell.name`.

    Raises:
        RequestError: `invalid-value`, a name is none of a cell.
    """
    splits: dict[str, list[str]] = {}
    for cell in cells:
        expert, slash, split = cell.partition("/")
        if not (expert and slash and split):
            raise RequestError("invalid-value", f"{cell!r} is no cell; EXPERT/SPLIT would have been right.")
        splits.setdefault(expert, []).append(split)
    experts: dict[frozenset[str], list[str]] = {}
    for expert, own in splits.items():
        experts.setdefault(frozenset(own), []).append(expert)
    return [setting.body(experts=names, splits=list(dict.fromkeys(splits[names[0]]))) for names in experts.values()]


def show_plans(bodies: Sequence[RecomputeBody], plans: Sequence[Plan]) -> SelectionPlan:
    """Put the plans of a selection into words."""
    sent = [body.model_dump(mode="json", exclude_defaults=True) for body in bodies]
    return SelectionPlan([_planned(body, plan) for body, plan in zip(bodies, plans, strict=True)], sent)


def _planned(body: RecomputeBody, plan: Plan) -> PlannedJob:
    experts, totals = body.experts or (), plan.totals()
    what = f"{', '.join(experts)} on {', '.join(body.splits)}"
    problems = [error.message for error in plan.problems]
    warnings = [warning["detail"] for warning in plan.warnings]
    if problems:
        return PlannedJob(what, "", problems, warnings)
    computed, seconds, rows = totals["computed"], totals["seconds"], totals["total"]
    number = "an unknown number of" if computed is None else f"{computed:,.0f}"
    cost = f"{number} forward pass{'' if computed == 1 else 'es'}"
    time = "time unknown" if seconds is None else f"about {duration(seconds)}"
    return PlannedJob(what, f"{cost} for {count(int(rows or 0), 'row')}, {time}", problems, warnings)
