"""The live page: what is going on, and each job, for people with a browser."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.api.dependencies import Services, ServicesDep
from app.api.html import DOCS_POLICY, page_answer
from app.api.matrix_views import SettingDep, show_matrix
from app.api.parameters import JobId
from app.api.readiness import Readiness, check_readiness
from app.domain.jobs import JobState
from app.domain.requests import Kind
from app.pages.job_page import job_page
from app.pages.job_rows import job_rows
from app.pages.templating import render

LATEST, IN_PAGE = 8, 50
OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(services: ServicesDep, setting: SettingDep, figure: str = "accuracy") -> Response:
    """Show whether jobs can be done, those that run, and the matrix of experts by splits."""
    matrix = show_matrix(services, setting, figure)
    return page_answer(render("overview.html", **_live(services), matrix=matrix))


@router.get("/ui/live")
def live(services: ServicesDep) -> Response:
    """Show the part of the overview that changes while jobs run."""
    return page_answer(render("live.html", **_live(services)))


def _live(services: Services) -> dict[str, object]:
    return {
        "status": status_lines(check_readiness(services)),
        "open": job_rows(services.jobs.jobs(states=OPEN, limit=IN_PAGE)),
        "latest": job_rows(services.jobs.jobs(states=ENDED, limit=LATEST)),
    }


@router.get("/ui/jobs")
def jobs(
    services: ServicesDep,
    state: Annotated[JobState | None, Query()] = None,
    kind: Annotated[Kind | None, Query()] = None,
    before: Annotated[str | None, Query()] = None,
) -> Response:
    """Show the jobs, the newest first."""
    states = () if state is None else (state,)
    rows = job_rows(services.jobs.jobs(states=states, kind=kind, before=before, limit=IN_PAGE + 1))
    more = rows[IN_PAGE - 1].id if len(rows) > IN_PAGE else None
    return page_answer(
        render(
            "jobs.html", jobs=rows[:IN_PAGE], more=more, state=state, kind=kind, before=before, states=list(JobState)
        )
    )


@router.get("/ui/jobs/{job_id}")
def job(job_id: JobId, services: ServicesDep, request: Request) -> Response:
    """Show one job as it is; the page looks again whenever it changes."""
    return page_answer(render("job.html", page=job_page(services.jobs.get(job_id), str(request.base_url))))


@router.get("/docs")
def docs() -> Response:
    """Show the OpenAPI document in Swagger UI."""
    return page_answer(render("swagger.html"), DOCS_POLICY)


@router.get("/redoc")
def redoc() -> Response:
    """Show the OpenAPI document in Redoc."""
    return page_answer(render("redoc.html"), DOCS_POLICY)


def status_lines(readiness: Readiness) -> list[str]:
    """Say what keeps jobs from being done; nothing if they can be."""
    return [check.detail for _, check in readiness.checks if not check.ok]
