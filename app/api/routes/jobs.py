"""Jobs: submitted, watched, cancelled, deleted, and what their verification found."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Response

from app.api.dependencies import Services, Used
from app.api.schemas import JobList, JobView, PlanView
from app.api.tracing import Traceparent
from app.api.waiting import answers
from app.domain.fault_points import reach
from app.domain.jobs import Job, JobState, Unit
from app.domain.numerics import ComputeEnvironment
from app.domain.requests import Kind
from app.report.published_files import file_checks
from app.report.split_warnings import question_about, warnings_for
from app.retention.retention import delete_job
from app.store.inspections import InspectionRequest
from app.store.liveness import compute_environments
from app.submission.bodies import RecomputeBody
from app.submission.planner import Site, inspections_of, make_plan
from app.submission.recompute import plan

MAX_WAIT_S = 60.0

JobId = Annotated[str, Path(description="As the answer to its submission says.")]
Wait = Annotated[float, Query(ge=0, description="Seconds to hold the answer until something changes.")]

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("", status_code=202)
def submit(body: RecomputeBody, used: Used, trace: Traceparent, response: Response) -> JobView:
    """Check a recompute job and queue it. Nothing is queued if anything in it is wrong."""
    request, units = plan(body, used.catalog, used.inspections, _ways(used))
    job = used.jobs.submit(request, units, body.options(trace))
    reach("submit.recorded")
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobView.of(job)


@router.post("/plan")
async def plan_job(body: RecomputeBody, used: Used) -> PlanView:
    """What such a job would reuse, compute and write, and all that would make it fail. Nothing is queued.

    Workers are asked for what they have not found out yet, and waited for ten seconds.
    """

    def site() -> Site:
        return Site(used.catalog, used.inspections, used.rows, _ways(used))

    def look_around() -> list[InspectionRequest]:
        return inspections_of(site().examine(body), used.catalog, body.weights)

    await answers(used, await run_sync(look_around))
    return PlanView.of(await run_sync(lambda: make_plan(body, site())))


@router.get("")
def list_jobs(
    used: Used,
    state: Annotated[list[JobState], Query()] = [],  # noqa: B006 — FastAPI copies it
    kind: Annotated[Kind | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobList:
    """The newest jobs first."""
    return JobList(jobs=[JobView.of(job) for job in used.jobs.jobs(states=state, kind=kind, limit=limit)])


@router.get("/{job_id}")
async def get_job(job_id: JobId, used: Used, wait: Wait = 0.0) -> JobView:
    """One job; with `?wait=SECONDS` (60 at most), held until it changes or ends."""
    return JobView.of(await settled(used, job_id, wait))


async def settled(used: Services, job_id: str, wait_s: float) -> Job:
    """The job now, or as soon as it has changed or ended, but at most so long from now."""

    async def look() -> Job:
        return await run_sync(used.jobs.get, job_id)

    first = await look()
    if wait_s == 0 or first.state.ended:
        return first
    return await used.watcher.until(look, lambda now: now != first, min(wait_s, MAX_WAIT_S))


@router.post("/{job_id}/cancel", status_code=202)
def cancel(job_id: JobId, used: Used) -> JobView:
    """Stop a job: what is queued at once, what is running at the next batch. What is done is kept."""
    return JobView.of(used.jobs.cancel(job_id))


@router.delete("/{job_id}", status_code=204)
def delete(job_id: JobId, used: Used) -> None:
    """Forget an ended job and its own files, immutable or uploaded; those under `outputs/<output_dir>` stay."""
    delete_job(job_id, used.storage)


@router.get("/{job_id}/verification")
async def verification(job_id: JobId, used: Used, wait: Wait = 0.0) -> dict[str, Any]:
    """What was checked, for each unit and for the job as a whole, and whether the files are still as written.

    Once the job has ended, with what an audit of its splits warns of; `?wait=SECONDS` (60 at most) for a worker that
    is at it.
    """
    return await verify_job(used, await run_sync(used.jobs.get, job_id), min(wait, MAX_WAIT_S))


async def verify_job(used: Services, job: Job, patience_s: float) -> dict[str, Any]:
    """What `GET /jobs/{id}/verification` answers, with an audit that is known within so many seconds."""
    found = await run_sync(_recorded, used, job)
    question = await run_sync(question_about, job, used.catalog) if job.state.ended else None
    if question is None:
        return found
    [fact] = await answers(used, [question], patience_s)
    return found | {"checks": [*found["checks"], *warnings_for(job, fact, found["results"])]}


def _recorded(used: Services, job: Job) -> dict[str, Any]:
    results = (job.verification or {}).get("results") or [_result(used, job, unit) for unit in job.units]
    whole = job.verification or {"verdict": "skipped" if job.state.ended else "pending", "checks": []}
    spoilt = whole["verdict"] == "passed" and any(result["verdict"] == "failed" for result in results)
    return {"job": job.id, **whole, "verdict": "failed" if spoilt else whole["verdict"], "results": results}


def _ways(used: Used) -> list[ComputeEnvironment]:
    return compute_environments(used.jobs, used.settings.locks_dir)


def _result(used: Used, job: Job, unit: Unit) -> dict[str, Any]:
    report = unit.report or {"checks": [], "metrics": {}}
    checks = [*report["checks"], *file_checks(used.settings, job, unit)]
    if any(check["verdict"] == "failed" and check["level"] == "error" for check in checks) or unit.error:
        verdict = "failed"
    elif unit.report is not None:
        verdict = "passed"
    else:
        verdict = "skipped" if unit.state.ended else "pending"
    return {
        "expert": unit.expert,
        "split": unit.split,
        "verdict": verdict,
        "checks": checks,
        "metrics": report["metrics"],
        "error": unit.error,
    }
