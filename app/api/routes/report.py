"""A job's results for people: analyses as JSON, and the report as one page."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.api.dependencies import ServicesDep
from app.api.html import file_policy, page_answer
from app.api.parameters import MAX_WAIT_S, JobId
from app.api.report_pages import make_report
from app.api.results import analyse_job
from app.api.verdict_schemas import AnalysisView
from app.domain.analyses import AnalysisPart
from app.domain.errors import NotFound
from app.domain.jobs import Job
from app.report.report_files import Report

router = APIRouter(prefix="/jobs/{job_id}", tags=["verifications"])


@router.get("/analysis")
async def analysis(
    job_id: JobId,
    services: ServicesDep,
    part: Annotated[
        AnalysisPart,
        Query(
            description="Intervals, curves and figures; causes of a failure; all experts of a split as an ensemble; "
            "or mean and standard deviation over seeds."
        ),
    ] = "statistics",
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for what is not known yet, 60 at most.")] = 10.0,
) -> AnalysisView:
    """Analyse the results of a job, file by file, split by split or over seeds.

    A worker analyses files on the first request; `complete` tells whether all answers are there. The `state` of
    each result is `ready`, `pending`, `failed` (with `error`), or `none`: nothing to analyse. An ensemble needs two
    experts. Experts count as seeds if their names differ in a seed alone, as `ce_seed1` and `ce_seed2` do.
    """
    return AnalysisView.of(job_id, await analyse_job(services, job_id, part, min(wait, MAX_WAIT_S)))


@router.get("/report", response_class=HTMLResponse)
async def report(
    job_id: JobId,
    services: ServicesDep,
    saved: Annotated[bool, Query(description="A page to be saved: without links to other addresses.")] = False,
) -> Response:
    """Show verdict, failed checks, figures and charts on one page.

    Of a gating it also shows the combination, of a rejector its rules, of an evaluation its methods. The page has no
    scripts and can be read, printed or mailed. It waits ten seconds at most for intervals and causes; until they are
    there, and while the job runs, a header tells the browser to look again. A saved copy stays as it is. The report
    of a run is that of its last step that is done.
    """
    job = await run_sync(services.jobs.get, job_id)
    if job.request.kind == "run":
        return RedirectResponse(f"/jobs/{_reported(job)}/report", status_code=307)
    shown = await make_report(services, job)
    again = {} if shown.again_s is None else {"Refresh": str(shown.again_s), "Retry-After": str(shown.again_s)}
    built = await run_sync(Report.of, shown.template, shown.page)
    html = await run_sync(built.html, None if saved else "report/", "report/bundle")
    return page_answer(html, file_policy(html), {} if saved else again)


def _reported(run: Job) -> str:
    """Return the id of the job whose report is a run's.

    Raises:
        NotFound: `nothing-to-report`, no step with a job is done yet.
    """
    for step in reversed(run.steps):
        if step.done and step.jobs:
            return step.jobs[-1]
    raise NotFound("nothing-to-report", f"No step of the run {run.id} has a result to report on yet.")
