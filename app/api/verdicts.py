"""The report of a job: what is on record, and the checks of what is on disk now."""

from __future__ import annotations

from dataclasses import replace

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.api.waiting import await_inspections
from app.domain.checks import NO_METRICS, JobReport, ReportVerdict, Result, ResultReport, verdict_of
from app.domain.jobs import Job, Unit
from app.report.published_files import file_checks
from app.report.split_warnings import audit_request, audit_warnings


async def verify_job(services: Services, job: Job, patience_s: float) -> JobReport:
    """Return the report of a job, in any state, with all of its results.

    Once the job has ended, an audit of its splits adds warnings; it is awaited for `patience_s`.
    """
    report = await run_sync(_report_now, services, job)
    request = await run_sync(audit_request, job, services.catalog) if job.state.ended else None
    if request is None:
        return report
    [audit] = await await_inspections(services, [request], patience_s)
    return replace(report, checks=(*report.checks, *audit_warnings(job, audit, report.results or ())))


def _report_now(services: Services, job: Job) -> JobReport:
    """Return the recorded report with checks of the files that units wrote.

    A job that passed when it ended has failed if one of its files was changed since.
    """
    recorded = job.verification or JobReport("skipped" if job.state.ended else "pending")
    results = recorded.results or tuple(_unit_result(services, job, unit) for unit in job.units)
    verdict = recorded.verdict
    if verdict == "passed" and any(result.verdict == "failed" for result in results):
        verdict = "failed"
    return replace(recorded, verdict=verdict, results=results)


def _unit_result(services: Services, job: Job, unit: Unit) -> Result:
    recorded = unit.report.checks if unit.report else ()
    checks = (*recorded, *file_checks(services.settings, job, unit))
    verdict: ReportVerdict = verdict_of(checks, complete=unit.error is None)
    if verdict == "passed" and unit.report is None:
        verdict = "skipped" if unit.state.ended else "pending"
    metrics = unit.report.metrics if unit.report else NO_METRICS
    return Result(unit.expert, unit.split, ResultReport(verdict, checks, metrics), unit.error)
