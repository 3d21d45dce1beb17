"""Jobs: submitted, planned, watched, cancelled and deleted, and their verification."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

from app.api.dependencies import ServicesDep
from app.api.parameters import MAX_WAIT_S, JobId, Traceparent, Wait
from app.api.planning import environments, plan_recompute
from app.api.results import verify_job
from app.api.schemas import JobList, JobView, PlanView
from app.api.verdict_schemas import JobReportView
from app.api.waiting import await_change
from app.domain.fault_points import reach
from app.domain.jobs import JobState
from app.domain.requests import Kind
from app.retention.retention import delete_job
from app.submission.bodies import RecomputeBody
from app.submission.recompute import plan

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("", status_code=202)
def submit(body: RecomputeBody, services: ServicesDep, trace: Traceparent, response: Response) -> JobView:
    """Check a recompute job and queue it.

    If anything in it is wrong, nothing is queued.
    """
    request, units = plan(body, services.catalog, services.inspections, environments(services))
    job = services.jobs.submit(request, units, body.options(trace))
    reach("submit.recorded")
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobView.of(job)


@router.post("/plan")
async def plan_job(body: RecomputeBody, services: ServicesDep) -> PlanView:
    """Show what a job would reuse, compute and write.

    Problems are what would make it fail. Nothing is queued. Files that no worker has inspected yet are inspected
    first, for ten seconds at most.
    """

    return PlanView.of(await plan_recompute(services, body))


@router.get("")
def list_jobs(
    services: ServicesDep,
    state: Annotated[list[JobState], Query()] = [],  # noqa: B006 — FastAPI copies it
    kind: Annotated[Kind | None, Query()] = None,
    before: Annotated[str | None, Query(description="Id of a job; only older ones are listed.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobList:
    """List jobs, the newest first."""
    jobs = services.jobs.jobs(states=state, kind=kind, before=before, limit=limit)
    return JobList(jobs=[JobView.of(job) for job in jobs])


@router.get("/{job_id}")
async def get_job(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> JobView:
    """Show a job, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until the job changes or ends.
    """
    return JobView.of(await await_change(services, job_id, wait))


@router.post("/{job_id}/cancel", status_code=202)
def cancel(job_id: JobId, services: ServicesDep) -> JobView:
    """Stop a job and keep what is done.

    Queued units stop at once, the running one at the next batch.
    """
    return JobView.of(services.jobs.cancel(job_id))


@router.delete("/{job_id}", status_code=204)
def delete(job_id: JobId, services: ServicesDep) -> None:
    """Delete an ended job and its own files, immutable or uploaded.

    Files under `outputs/<output_dir>` stay.
    """
    delete_job(job_id, services.storage)


@router.get("/{job_id}/verification", response_model_exclude_unset=True)
async def verification(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> JobReportView:
    """Show the checks of each unit and of the job as a whole, and whether its files are unchanged.

    Once the job has ended, also what an audit of its splits warns of; `?wait=SECONDS` (60 at most) waits for the
    worker that makes the audit.
    """
    job = await run_sync(services.jobs.get, job_id)
    return JobReportView.of(job_id, await verify_job(services, job, min(wait, MAX_WAIT_S)))
