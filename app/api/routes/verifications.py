"""Verifications of files, whoever made them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.dependencies import Used
from app.api.routes.jobs import JobId, Wait, settled
from app.api.schemas import JobView
from app.api.tracing import Traceparent
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.domain.jobs import Job
from app.domain.requests import VerificationRequest
from app.submission.bodies import VerificationBody
from app.submission.verification import plan_verification

router = APIRouter(prefix="/verifications", tags=["verifications"])


@router.post("", status_code=202)
def submit(body: VerificationBody, used: Used, trace: Traceparent, response: Response) -> dict[str, Any]:
    """Check a request to verify files and queue it. It is a job like any other; no checkpoint is needed."""
    request = plan_verification(body, used.catalog, used.uploads)
    root = partial(used.uploads.root_of, request, used.settings.outputs_dir)
    job = used.jobs.submit(request, terms=body.options(trace), check=root)
    response.headers["Location"] = f"/verifications/{job.id}"
    reach("submit.recorded")
    return _shown(job)


@router.get("")
def list_verifications(used: Used, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """The newest first."""
    return {"verifications": [_shown(job) for job in used.jobs.jobs(kind=VerificationRequest.kind, limit=limit)]}


@router.get("/{job_id}")
async def get_verification(job_id: JobId, used: Used, wait: Wait = 0.0) -> dict[str, Any]:
    """One of them; with `?wait=SECONDS` (60 at most), held until it changes or ends.

    It `succeeded` once it was carried out; whether the files may be trusted, `verdict` says.
    """
    job = await settled(used, job_id, wait)
    if not isinstance(job.request, VerificationRequest):
        raise NotFound("verification-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    return _shown(job)


def _shown(job: Job) -> dict[str, Any]:
    found = job.verification or {}
    view = JobView.of(job).model_dump(exclude={"units", "links"})
    here = f"/jobs/{job.id}"
    links = {
        "self": f"/verifications/{job.id}",
        "analysis": f"{here}/analysis",
        "report": f"{here}/report",
        "cancel": f"{here}/cancel",
    }
    return view | {"checks": found.get("checks", []), "results": found.get("results", []), "links": links}
