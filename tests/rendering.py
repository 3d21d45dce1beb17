"""Report pages as HTML, built and filled as the service does it."""

from __future__ import annotations

from app.domain.checks import JobReport
from app.domain.jobs import Job
from app.report.comparison_page import Pictures, comparison_page
from app.report.outcome_pages import evaluation_page, rejector_page
from app.report.report_files import Report
from app.report.view import Sources, page


def render(sources: Sources) -> str:
    return Report.of("report.html", page(sources)).html()


def render_rejector(job: Job, report: JobReport) -> str:
    return Report.of("rejector.html", rejector_page(job, report)).html()


def render_evaluation(job: Job, report: JobReport) -> str:
    return Report.of("evaluation.html", evaluation_page(job, report)).html()


def render_comparison(job: Job, report: JobReport, pictures: Pictures) -> str:
    return Report.of("comparison.html", comparison_page(job, report, pictures)).html()
