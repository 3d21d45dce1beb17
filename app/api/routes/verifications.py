"""Verifications of files of logits, whichever program wrote them."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.dependencies import ServicesDep
from app.api.parameters import JobId, Traceparent, Wait
from app.api.verdict_schemas import VerificationList, VerificationView
from app.api.waiting import await_change
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.domain.requests import VerificationRequest
from app.submission.bodies import VerificationBody
from app.submission.verification import plan_verification

router = APIRouter(prefix="/verifications", tags=["verifications"])


@router.post("", status_code=202, response_model_exclude_unset=True)
def submit(body: VerificationBody, services: ServicesDep, trace: Traceparent, response: Response) -> VerificationView:
    """Check a request to verify files and queue it.

    It is a job like any other; no checkpoint is needed.
    """
    request = plan_verification(body, services.catalog, services.uploads)
    root = partial(services.uploads.root_of, request, services.settings.outputs_dir)
    job = services.jobs.submit(request, terms=body.options(trace), check=root)
    response.headers["Location"] = f"/verifications/{job.id}"
    reach("submit.recorded")
    return VerificationView.of(job)


@router.get("", response_model_exclude_unset=True)
def list_verifications(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> VerificationList:
    """List verifications, the newest first."""
    jobs = services.jobs.jobs(kind=VerificationRequest.kind, limit=limit)
    return VerificationList(verifications=[VerificationView.of(job) for job in jobs])


@router.get("/{job_id}", response_model_exclude_unset=True)
async def get_verification(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> VerificationView:
    """Show a verification, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until it changes or ends. A verification that was carried
    out has `succeeded`; `verdict` says whether the files may be trusted.
    """
    job = await await_change(services, job_id, wait)
    if not isinstance(job.request, VerificationRequest):
        raise NotFound("verification-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    return VerificationView.of(job)
