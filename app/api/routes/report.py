"""A job's report as one page for people: `GET /jobs/{id}/report`."""

from __future__ import annotations

import asyncio
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.dependencies import Services, Used
from app.api.parameters import JobId
from app.api.routes.analysis import analyse
from app.api.routes.jobs import verify_job
from app.api.schemas import JobView
from app.api.set_views import show_set
from app.api.waiting import PATIENCE_S
from app.catalog.datasets import Dataset
from app.domain.errors import RequestError
from app.domain.jobs import Job
from app.report.page import render
from app.report.split_warnings import changed_lists
from app.report.view import Sources

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page holds all it needs; whatever slipped into it could load and run nothing."""

RUNNING_AGAIN_S, PENDING_AGAIN_S = 3, 10
"""When a browser is to look again."""

router = APIRouter(prefix="/jobs/{job_id}", tags=["verifications"])


@router.get("/report", response_class=HTMLResponse)
async def report(job_id: JobId, used: Used) -> HTMLResponse:
    """Verdict, failed checks, figures and pictures on one page without scripts, to be read, printed or mailed.

    It waits ten seconds at most for intervals and causes; until they are there, and while the job runs, the browser
    is told to look again. A saved copy stays as it is: that is told by a header, not by the page.
    """
    job = await run_sync(used.jobs.get, job_id)
    found, splits = await asyncio.gather(verify_job(used, job, PATIENCE_S), _splits(used, job))
    if splits:
        now = {one["name"]: one["sha256"] for one in splits["splits"]}
        splits["changed"] = changed_lists(job, found["results"], now)
    again: int | None
    view = JobView.of(job).model_dump(mode="json")
    if not job.state.ended:
        sources, again = Sources(view, found, splits=splits), RUNNING_AGAIN_S
    else:
        statistics, causes = await asyncio.gather(
            analyse(used, job_id, "statistics", PATIENCE_S), analyse(used, job_id, "causes", PATIENCE_S)
        )
        sources = Sources(view, found, statistics, causes, _digests(job, found), splits)
        again = PENDING_AGAIN_S if sources.pending else None
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    if again is not None:
        headers |= {"Refresh": str(again), "Retry-After": str(again)}
    return HTMLResponse(await run_sync(render, sources), headers=headers)


async def _splits(used: Services, job: Job) -> dict[str, Any]:
    """The set of splits that the job takes, as it is now; empty where it cannot be looked at."""
    request = job.logits_request
    if request is None:
        return {}
    dataset = Dataset.model_validate(request.declaration)
    try:
        shown = await show_set(used, request.dataset, dataset, request.splits_dir, request.standards.head_threshold)
        return shown.model_dump(mode="json")
    except RequestError:
        return {}


def _digests(job: Job, found: dict[str, Any]) -> dict[tuple[str, str], str]:
    digests = {(unit.expert, unit.split): unit.artifact.sha256 for unit in job.units if unit.artifact}
    files = {(r["expert"], r["split"]): r["file"]["sha256"] for r in found["results"] if r.get("file")}
    return digests | files
