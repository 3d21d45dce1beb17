"""Paired comparisons of logits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.combine_schemas import CombinePlanView
from app.api.comparison_schemas import ComparisonList, ComparisonView
from app.api.dependencies import ServicesDep
from app.api.parameters import JobId, Traceparent, Wait
from app.api.waiting import await_change
from app.domain.compare_requests import ComparisonRequest
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.submission.comparison import plan_comparison
from app.submission.comparison_bodies import ComparisonBody
from app.workflows.plans import plan_new_comparison

router = APIRouter(prefix="/comparisons", tags=["comparisons"])


@router.post("", status_code=202)
def submit(body: ComparisonBody, services: ServicesDep, trace: Traceparent, response: Response) -> ComparisonView:
    """Check a request to compare logits of the same samples, and queue it.

    It needs no forward pass. Without `b`, all pairs of the experts of `a` are compared. Files to compare with are
    verified first (`POST /verifications`); those that fail are compared nevertheless if they hold finite logits of
    the right shape, and the result repeats what is wrong with them.
    """
    request = plan_comparison(body, services.catalog, services.jobs)
    job = services.jobs.submit(request, terms=body.options(trace))
    response.headers["Location"] = f"/comparisons/{job.id}"
    reach("submit.recorded")
    return ComparisonView.of(job)


@router.post("/plan")
def plan(body: ComparisonBody, services: ServicesDep) -> CombinePlanView:
    """Show what a request would do, and all that is wrong with it.

    Nothing is queued. `kept` names a job that has the same result already.
    """
    return CombinePlanView.of(plan_new_comparison(body, services.workflows))


@router.get("")
def list_comparisons(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> ComparisonList:
    """List comparisons, the newest first."""
    jobs = services.jobs.jobs(kind=ComparisonRequest.kind, limit=limit)
    return ComparisonList(comparisons=[ComparisonView.of(job) for job in jobs])


@router.get("/{job_id}")
async def get_comparison(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> ComparisonView:
    """Show one, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until it changes or ends.
    """
    job = await await_change(services, job_id, wait)
    if not isinstance(job.request, ComparisonRequest):
        raise NotFound("comparison-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    return ComparisonView.of(job)
