"""Read the recorded results of combinations and rejectors that a task builds on."""

from __future__ import annotations

from app.domain.combine_requests import GatingRequest, RejectorRequest
from app.domain.errors import JobError, NotFound
from app.domain.jobs import Job
from app.domain.outcomes import GatingOutcome, RejectorOutcome
from worker.context import Context


def fitted_gating(job_id: str, context: Context) -> tuple[GatingRequest, GatingOutcome]:
    """Return a combination's request and outcome.

    Raises:
        JobError: `gating-gone`.
    """
    job = _job(job_id, "gating", context)
    if not isinstance(job.request, GatingRequest) or not isinstance(job.outcome, GatingOutcome):
        raise JobError("gating-gone", f"Job {job_id} is no gating with a result.")
    return job.request, job.outcome


def fitted_rejector(job_id: str, context: Context) -> tuple[RejectorRequest, RejectorOutcome]:
    """Return a rejector's request and outcome.

    Raises:
        JobError: `rejector-gone`.
    """
    job = _job(job_id, "rejector", context)
    if not isinstance(job.request, RejectorRequest) or not isinstance(job.outcome, RejectorOutcome):
        raise JobError("rejector-gone", f"Job {job_id} is no rejector with a result.")
    return job.request, job.outcome


def _job(job_id: str, what: str, context: Context) -> Job:
    try:
        return context.jobs.get(job_id)
    except NotFound:
        message = f"The {what} {job_id} was deleted after this job was accepted. Submit both again."
        raise JobError(f"{what}-gone", message) from None
