"""Runs of the whole workflow: from splits to an evaluation as one request."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

from app.api.dependencies import Services, ServicesDep
from app.api.parameters import MAX_WAIT_S, JobId, Traceparent, Wait
from app.api.run_schemas import RunList, RunPlanView, RunView
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.domain.run_requests import RunRequest
from app.workflows.bodies import RunBody
from app.workflows.planning import plan_run
from app.workflows.plans import plan_new_run

router = APIRouter(prefix="/runs", tags=["runs"])


@router.post("", status_code=202)
def submit(body: RunBody, services: ServicesDep, trace: Traceparent, response: Response) -> RunView:
    """Check a request for the whole workflow and begin it.

    The steps are: create the splits if they are not there, recompute, verify, combine, reject, evaluate. Each is a
    job of its own; a step whose result is already right is kept, and says why.
    """
    site = services.workflows
    request = plan_run(body, site.catalog, site.inspections, site.compute_environments())
    job = services.jobs.submit(request, terms=body.options(trace))
    response.headers["Location"] = f"/runs/{job.id}"
    reach("submit.recorded")
    return RunView.of(job)


@router.post("/plan")
def plan(body: RunBody, services: ServicesDep) -> RunPlanView:
    """Show which steps of a run would be kept, and all that is wrong with its request.

    Nothing is queued. What follows the first step that is not kept depends on its result.
    """
    return RunPlanView.of(plan_new_run(body, services.workflows))


@router.get("")
def list_runs(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> RunList:
    """List runs, the newest first."""
    return RunList(runs=[RunView.of(job) for job in services.jobs.jobs(kind=RunRequest.kind, limit=limit)])


@router.get("/{job_id}")
async def get_run(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> RunView:
    """Show a run with its steps, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until a step or its progress changes, or the run ends.
    """

    async def look() -> RunView:
        return await run_sync(_view, services, job_id)

    view = await look()
    if wait == 0 or view.state.ended:
        return view
    return await services.watcher.until(look, lambda now: now != view, min(wait, MAX_WAIT_S))


def _view(services: Services, job_id: str) -> RunView:
    job = services.jobs.get(job_id)
    if not isinstance(job.request, RunRequest):
        raise NotFound("run-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    current = [services.jobs.get(child) for step in job.steps if step.state == "running" for child in step.jobs]
    return RunView.of(job, current)
