"""A job's results for people: analyses as JSON, and the report as one page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.api.dependencies import Services, ServicesDep
from app.api.parameters import MAX_WAIT_S, JobId
from app.api.results import analyse_job, verify_job
from app.api.set_views import show_set
from app.api.split_schemas import SetView
from app.api.verdict_schemas import AnalysisView
from app.api.waiting import PATIENCE_S
from app.catalog.datasets import read_declaration
from app.domain.analyses import AnalysisPart
from app.domain.checks import JobReport
from app.domain.errors import NotFound, RequestError
from app.domain.jobs import Job
from app.domain.requests import LogitsRequest
from app.report.current_checks import changed_lists
from app.report.split_picture import ShownList, ShownSet
from app.report.view import Sources, render

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page holds all that it needs; nothing that might be injected into it can load or run anything."""

RUNNING_AGAIN_S, PENDING_AGAIN_S = 3, 10
"""When a browser is to look again."""

router = APIRouter(prefix="/jobs/{job_id}", tags=["verifications"])


@router.get("/analysis")
async def analysis(
    job_id: JobId,
    services: ServicesDep,
    part: Annotated[AnalysisPart, Query(description="Intervals and curves, or causes of a failure.")] = "statistics",
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for what is not known yet, 60 at most.")] = 10.0,
) -> AnalysisView:
    """Analyse the results of a job, file by file.

    A worker analyses a file on the first request; `complete` tells whether all answers are there. The `state` of
    each result is `ready`, `pending`, `failed` (with `error`), or `none`: nothing to analyse.
    """
    return AnalysisView.of(job_id, await analyse_job(services, job_id, part, min(wait, MAX_WAIT_S)))


@router.get("/report", response_class=HTMLResponse)
async def report(job_id: JobId, services: ServicesDep) -> Response:
    """Show verdict, failed checks, metrics and charts on one page.

    The page has no scripts and can be read, printed or mailed. It waits ten seconds at most for intervals and causes;
    until they are there, and while the job runs, a header tells the browser to look again. A saved copy stays as it
    is. The report of a run is that of its last step that is done.
    """
    job = await run_sync(services.jobs.get, job_id)
    if job.request.kind == "run":
        return RedirectResponse(f"/jobs/{_reported(job)}/report", status_code=307)
    request = job.logits_request
    if request is None:
        raise NotFound("nothing-to-report", f"Job {job_id} created splits; there are no logits in it to report on.")
    verdict, splits = await asyncio.gather(verify_job(services, job, PATIENCE_S), _splits(services, request))
    sources = Sources(job, verdict, splits=_shown_set(splits, job, verdict))
    again: int | None = RUNNING_AGAIN_S
    if job.state.ended:
        statistics, causes = await asyncio.gather(
            analyse_job(services, job_id, "statistics", PATIENCE_S),
            analyse_job(services, job_id, "causes", PATIENCE_S),
        )
        sources = replace(sources, statistics=statistics, causes=causes, digests=_digests(job, verdict))
        again = PENDING_AGAIN_S if sources.pending else None
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    if again is not None:
        headers |= {"Refresh": str(again), "Retry-After": str(again)}
    return HTMLResponse(await run_sync(render, sources), headers=headers)


def _reported(run: Job) -> str:
    """Return the id of the job whose report is a run's.

    Raises:
        NotFound: `nothing-to-report`, no step with a job is done yet.
    """
    for step in reversed(run.steps):
        if step.done and step.jobs:
            return step.jobs[-1]
    raise NotFound("nothing-to-report", f"No step of the run {run.id} has a result to report on yet.")


async def _splits(services: Services, request: LogitsRequest) -> SetView | None:
    """Read the job's set of splits as it is now, if possible."""
    threshold = request.standards.head_threshold
    try:
        dataset = read_declaration(request.declaration)
        return await show_set(services, request.dataset, dataset, request.splits_dir, threshold)
    except RequestError:
        return None


def _shown_set(view: SetView | None, job: Job, verdict: JobReport) -> ShownSet | None:
    if view is None:
        return None
    digests = {a_list.name: a_list.sha256 for a_list in view.splits}
    lists = []
    for item in view.splits:
        unread, problem = item.state == "unread", item.problem.message if item.problem else None
        lists.append(ShownList(item.name, item.base, item.size, item.class_counts, unread, problem))
    return ShownSet(view.name, lists, view.groups, changed_lists(job, verdict.results or (), digests))


def _digests(job: Job, verdict: JobReport) -> dict[tuple[str, str], str]:
    """Return sha256 of each verified file, by expert and split."""
    digests = {(unit.expert, unit.split): unit.artifact.sha256 for unit in job.units if unit.artifact}
    for result in verdict.results or ():
        if result.source is not None and result.source.file is not None:
            digests[result.place] = result.source.file.sha256
    return digests
