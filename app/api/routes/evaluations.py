"""Evaluations of combinations and rejectors on test rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.combine_schemas import CombinePlanView, EvaluationList, EvaluationView
from app.api.dependencies import ServicesDep
from app.api.parameters import JobId, Traceparent, Wait
from app.api.waiting import await_change
from app.domain.combine_requests import EvaluationRequest
from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.submission.combine_bodies import EvaluationBody
from app.submission.rejection import plan_evaluation
from app.workflows.plans import plan_new_evaluation

router = APIRouter(prefix="/evaluations", tags=["combinations"])


@router.post("", status_code=202)
def submit(body: EvaluationBody, services: ServicesDep, trace: Traceparent, response: Response) -> EvaluationView:
    """Check a request for an evaluation and queue it.

    Nothing is fitted on the test rows; samples that were fitted on are refused.
    """
    request = plan_evaluation(body, services.catalog, services.jobs)
    job = services.jobs.submit(request, terms=body.options(trace))
    response.headers["Location"] = f"/evaluations/{job.id}"
    reach("submit.recorded")
    return EvaluationView.of(job)


@router.post("/plan")
def plan(body: EvaluationBody, services: ServicesDep) -> CombinePlanView:
    """Show what a request would do, and all that is wrong with it.

    Nothing is queued. `kept` names a job that has the same result already.
    """
    return CombinePlanView.of(plan_new_evaluation(body, services.workflows))


@router.get("")
def list_evaluations(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> EvaluationList:
    """List evaluations, the newest first."""
    jobs = services.jobs.jobs(kind=EvaluationRequest.kind, limit=limit)
    return EvaluationList(evaluations=[EvaluationView.of(job) for job in jobs])


@router.get("/{job_id}")
async def get_evaluation(job_id: JobId, services: ServicesDep, wait: Wait = 0.0) -> EvaluationView:
    """Show one, or hold the answer until it changes.

    With `?wait=SECONDS` (60 at most) the answer is held until it changes or ends.
    """
    job = await await_change(services, job_id, wait)
    if not isinstance(job.request, EvaluationRequest):
        raise NotFound("evaluation-not-found", f"Job {job_id} is a {job.request.kind}: GET /jobs/{job_id}.")
    return EvaluationView.of(job)
