"""Combinations of experts: fitted on verified logits, and applied to every split."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.combine_schemas import CombinePlanView, GatingList, GatingView
from app.api.dependencies import Services, ServicesDep
from app.api.parameters import JobId, Traceparent, Wait
from app.api.waiting import await_change
from app.domain.combine_requests import GatingRequest
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.submission.combine_bodies import GatingBody
from app.submission.gating import plan_gating
from app.workflows.plans import plan_new_gating

router = APIRouter(prefix="/gatings", tags=["combinations"])


@router.post("", status_code=202)
def submit(body: GatingBody, services: ServicesDep, trace: Traceparent, response: Response) -> GatingView:
    """Check a request to combine experts and queue it.

    It needs no forward pass: verified logits are combined, and the result is verified like those of an expert.
    """
    request, units = plan_gating(body, services.catalog, services.jobs)
    job = services.jobs.submit(request, units, body.options(trace), check=lambda: check_upload(request, services))
    response.headers["Location"] = f"/gatings/{job.id}"
    reach("submit.recorded")
    return GatingView.of(job)


@router.post("/plan")
def plan(body: GatingBody, services: ServicesDep) -> CombinePlanView:
    """Show what a request would do, and all that is wrong with it.

    Nothing is queued. `kept` names a job that has the same result already.
    """
    return CombinePlanView.of(plan_new_gating(body, services.workflows))


def check_upload(request: GatingRequest, services: Services) -> None:
    """Check that an upload that will be combined is still there.

    Raises:
        NotFound: `upload-not-found`.
    """
    if request.logits.upload is not None:
        services.uploads.folder(request.logits.upload)


@router.get("")
def list_gatings(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> GatingList:
    """List gatings, the newest first."""
    jobs = services.jobs.jobs(kind=GatingRequest.kind, limit=limit)
    return GatingList(gatings=[GatingView.of(job) for job in jobs])


@router.get("/{job_id}")
async def get_gating(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> GatingView:
    """Show one, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until it changes or ends.
    """
    job = await await_change(services, job_id, wait)
    if not isinstance(job.request, GatingRequest):
        raise NotFound("gating-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    return GatingView.of(job)
