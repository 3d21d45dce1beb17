"""Rejectors: rules that accept or reject the rows of a combination."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.combine_schemas import CombinePlanView, RejectorList, RejectorView
from app.api.dependencies import ServicesDep
from app.api.parameters import JobId, Traceparent, Wait
from app.api.waiting import await_change
from app.domain.combine_requests import RejectorRequest
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.submission.combine_bodies import RejectorBody
from app.submission.rejection import plan_rejector
from app.workflows.plans import plan_new_rejector

router = APIRouter(prefix="/rejectors", tags=["combinations"])


@router.post("", status_code=202)
def submit(body: RejectorBody, services: ServicesDep, trace: Traceparent, response: Response) -> RejectorView:
    """Check a request for a rejector and queue it.

    A rule is fitted for each target coverage, on the rows that the combination was fitted and chosen by.
    """
    job = services.jobs.submit(plan_rejector(body, services.jobs), terms=body.options(trace))
    response.headers["Location"] = f"/rejectors/{job.id}"
    reach("submit.recorded")
    return RejectorView.of(job)


@router.post("/plan")
def plan(body: RejectorBody, services: ServicesDep) -> CombinePlanView:
    """Show what a request would do, and all that is wrong with it.

    Nothing is queued. `kept` names a job that has the same result already.
    """
    return CombinePlanView.of(plan_new_rejector(body, services.workflows))


@router.get("")
def list_rejectors(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> RejectorList:
    """List rejectors, the newest first."""
    jobs = services.jobs.jobs(kind=RejectorRequest.kind, limit=limit)
    return RejectorList(rejectors=[RejectorView.of(job) for job in jobs])


@router.get("/{job_id}")
async def get_rejector(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> RejectorView:
    """Show one, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until it changes or ends.
    """
    job = await await_change(services, job_id, wait)
    if not isinstance(job.request, RejectorRequest):
        raise NotFound("rejector-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    return RejectorView.of(job)
