"""The charts and tables of a report as files, and the report as an archive."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field
from zipstream import ZipStream

from app.api.dependencies import Services, ServicesDep
from app.api.parameters import JobId
from app.api.report_pages import make_report
from app.api.results import verify_job
from app.api.schemas import JobView
from app.api.verdict_schemas import JobReportView
from app.api.waiting import PATIENCE_S
from app.domain.errors import NotFound
from app.report.report_files import FIGURE_TYPES, TABLE_TYPES, Report

router = APIRouter(prefix="/jobs/{job_id}/report", tags=["verifications"])

FileName = Annotated[str, Path(description="As `GET /jobs/{job_id}/report/files` lists it.")]


class ReportFile(BaseModel):
    """A chart or a table."""

    name: str
    title: str
    files: list[str] = Field(description="Addresses, relative to `/jobs/{job_id}/report/`.")


class ReportFiles(BaseModel):
    """What can be taken away of a report."""

    complete: bool = Field(description="Whether all analyses are there; ask again if not.")
    figures: list[ReportFile]
    tables: list[ReportFile]


@router.get("/files")
async def report_files(job_id: JobId, services: ServicesDep) -> ReportFiles:
    """List the charts and tables of a report."""
    report, complete = await _report(services, job_id)
    figures = [
        ReportFile(name=name, title=drawing.heading, files=[f"figures/{name}.{e}" for e in FIGURE_TYPES])
        for name, drawing in report.figures.items()
    ]
    tables = [
        ReportFile(name=name, title=table.caption, files=[f"tables/{name}.{e}" for e in TABLE_TYPES])
        for name, table in report.tables.items()
    ]
    return ReportFiles(complete=complete, figures=figures, tables=tables)


@router.get("/figures/{file}", response_class=Response)
async def figure(job_id: JobId, file: FileName, services: ServicesDep) -> Response:
    """Send a chart as SVG that stands alone, or its data as CSV."""
    report, _ = await _report(services, job_id)
    name, _, extension = file.rpartition(".")
    if name not in report.figures or extension not in FIGURE_TYPES:
        raise _no_file(file, [f"{name}.{e}" for name in report.figures for e in FIGURE_TYPES])
    return Response(report.figure(name, extension), media_type=FIGURE_TYPES[extension])


@router.get("/tables/{file}", response_class=Response)
async def table(job_id: JobId, file: FileName, services: ServicesDep) -> Response:
    """Send a table as LaTeX for booktabs, as Markdown, or as CSV."""
    report, _ = await _report(services, job_id)
    name, _, extension = file.rpartition(".")
    if name not in report.tables or extension not in TABLE_TYPES:
        raise _no_file(file, [f"{name}.{e}" for name in report.tables for e in TABLE_TYPES])
    return Response(report.table(name, extension), media_type=TABLE_TYPES[extension])


@router.get("/bundle", response_class=StreamingResponse)
async def bundle(job_id: JobId, services: ServicesDep) -> Response:
    """Send the report as a zip of a static folder: page, charts, tables, checks, and their digests."""
    report, _ = await _report(services, job_id)
    job = await run_sync(services.jobs.get, job_id)
    verdict = JobReportView.of(job_id, await verify_job(services, job, PATIENCE_S))
    record = {"job": JobView.of(job).model_dump(mode="json"), "verification": verdict.model_dump(mode="json")}
    files = await run_sync(report.bundle, record)
    archive = ZipStream()
    for path, data in files.items():
        archive.add(data, f"relogit-{job_id}/{path}")
    headers = {"Content-Disposition": f'attachment; filename="relogit-{job_id}-report.zip"'}
    return StreamingResponse(archive, media_type="application/zip", headers=headers)


async def _report(services: Services, job_id: str) -> tuple[Report, bool]:
    """Build a job's report; tell whether all analyses are in it."""
    job = await run_sync(services.jobs.get, job_id)
    shown = await make_report(services, job)
    return await run_sync(Report.of, shown.template, shown.page), shown.again_s is None


def _no_file(name: str, available: list[str]) -> NotFound:
    listed = ", ".join(available[:20]) or "nothing yet"
    return NotFound("no-such-file", f"The report has no file {name!r}. There are: {listed}.", available=available)
