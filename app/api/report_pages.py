"""The report page of each kind of job, and when to look at it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from anyio.to_thread import run_sync

from app.api.comparison_pictures import comparison_pictures
from app.api.dependencies import Services
from app.api.results import analyse_job, verify_job
from app.api.set_views import show_set, shown_set
from app.api.split_schemas import SetView
from app.api.waiting import PATIENCE_S
from app.catalog.datasets import read_declaration
from app.domain.analyses import AnalysisPart
from app.domain.checks import JobReport
from app.domain.errors import NotFound, RequestError
from app.domain.jobs import Job
from app.domain.requests import LogitsRequest
from app.report.comparison_page import comparison_page
from app.report.current_checks import changed_lists
from app.report.outcome_pages import evaluation_page, rejector_page
from app.report.split_picture import ShownSet
from app.report.view import Sources, page

RUNNING_AGAIN_S, PENDING_AGAIN_S = 3, 10
"""When a browser is to look again."""


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A page as it is now."""

    template: str
    page: object
    """All that the template shows."""
    again_s: int | None
    """Seconds until there may be more to see; None for a page that stays."""


PageOf = Callable[[Services, Job], Awaitable[ReportPage]]


async def _logits_page(services: Services, job: Job) -> ReportPage:
    """Show a job whose results are logits, with the combination of a gating."""
    request = job.logits_request
    assert request is not None
    verdict, splits = await asyncio.gather(verify_job(services, job, PATIENCE_S), _splits(services, request))
    sources = Sources(job, verdict, splits=_shown_set(splits, job, verdict))
    again: int | None = RUNNING_AGAIN_S
    if job.state.ended:
        parts: tuple[AnalysisPart, ...] = ("statistics", "causes", "ensemble")
        statistics, causes, ensembles = await asyncio.gather(
            *(analyse_job(services, job.id, part, PATIENCE_S) for part in parts)
        )
        sources = replace(sources, statistics=statistics, causes=causes, ensembles=ensembles)
        sources = replace(sources, digests=_digests(job, verdict))
        again = PENDING_AGAIN_S if sources.pending else None
    return ReportPage("report.html", await run_sync(page, sources), again)


def _outcome_page(template: str, build: Callable[[Job, JobReport], object]) -> PageOf:
    """Return the page of a job that has an outcome and no units."""

    async def outcome_page(services: Services, job: Job) -> ReportPage:
        report = await verify_job(services, job, PATIENCE_S)
        built = await run_sync(build, job, report)
        return ReportPage(template, built, None if job.state.ended else RUNNING_AGAIN_S)

    return outcome_page


async def _comparison_page(services: Services, job: Job) -> ReportPage:
    """Show a comparison with the pictures that it wrote."""
    report = await verify_job(services, job, PATIENCE_S)
    built = await run_sync(lambda: comparison_page(job, report, comparison_pictures(services, job)))
    return ReportPage("comparison.html", built, None if job.state.ended else RUNNING_AGAIN_S)


PAGES: Mapping[str, PageOf] = {
    "recompute": _logits_page,
    "verification": _logits_page,
    "gating": _logits_page,
    "rejector": _outcome_page("rejector.html", rejector_page),
    "evaluation": _outcome_page("evaluation.html", evaluation_page),
    "comparison": _comparison_page,
}
"""By `Request.kind`; other jobs have no page."""


async def make_report(services: Services, job: Job) -> ReportPage:
    """Build a job's page.

    Raises:
        NotFound: `nothing-to-report`, jobs of its kind have none.
    """
    page_of = PAGES.get(job.request.kind)
    if page_of is None:
        raise NotFound("nothing-to-report", f"Jobs of kind {job.request.kind!r} have no results to report on.")
    return await page_of(services, job)


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
    return shown_set(view, changed_lists(job, verdict.results or (), digests))


def _digests(job: Job, verdict: JobReport) -> dict[tuple[str, str], str]:
    """Return sha256 of each verified file, by expert and split."""
    digests = {(unit.expert, unit.split): unit.artifact.sha256 for unit in job.units if unit.artifact}
    for result in verdict.results or ():
        if result.source is not None and result.source.file is not None:
            digests[result.place] = result.source.file.sha256
    return digests
