"""The page of comparisons, for people with a browser."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.api.dependencies import Services, ServicesDep
from app.api.html import page_answer
from app.domain.compare_requests import ComparisonRequest
from app.pages.compared_jobs import ShownPlan, job_choices
from app.pages.job_rows import job_rows
from app.pages.templating import render
from app.submission.comparison_bodies import ComparisonBody, SideBody
from app.submission.resubmission import Submission
from app.workflows.plans import plan_new_comparison

SHOWN = 20

router = APIRouter(include_in_schema=False)

Side = Annotated[str, Query(description="`JOB` or `JOB:EXPERT`; empty for none.")]


@router.get("/ui/comparisons")
def comparisons(
    services: ServicesDep, a: Side = "", b: Side = "", split: Annotated[list[str] | None, Query()] = None
) -> Response:
    """Show the comparisons, and what a new one of two sides would do."""
    plan = _plan(services, a, b, [name for name in split or () if name]) if a else None
    return page_answer(
        render(
            "comparisons.html",
            jobs=job_rows(services.jobs.jobs(kind=ComparisonRequest.kind, limit=SHOWN)),
            choices=job_choices(services.jobs),
            a=a,
            b=b,
            chosen=split or [],
            plan=plan,
        )
    )


def _plan(services: Services, a: str, b: str, splits: list[str]) -> ShownPlan:
    """Plan the comparison of two sides."""
    sides: dict[str, Any] = {"a": _side(a)} | ({"b": _side(b)} if b else {})
    body = sides | ({"splits": splits} if splits else {})
    plan = plan_new_comparison(ComparisonBody.model_validate(body), services.workflows)
    if not isinstance(plan.request, ComparisonRequest):
        return ShownPlan([problem.message for problem in plan.problems])
    request = plan.request
    doubts = [f"{side.label}: {doubt}" for side in request.sides for doubt in side.doubts]
    return ShownPlan([], request.pairs, request.splits, doubts, plan.kept, Submission("/comparisons", body))


def _side(text: str) -> dict[str, str]:
    job, colon, expert = text.partition(":")
    return SideBody(job=job, expert=expert if colon else None).model_dump(exclude_none=True)
