"""Responses about checks: verifications of jobs and files, analyses, and audits of splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import ErrorView, JobSummary, job_links, summarise_job
from app.domain.analyses import AnalysisPart, AnalysisState, JobAnalysis
from app.domain.checks import Check, JobReport, ReportVerdict, Verdict, VerifiedFile
from app.domain.jobs import Job


class ResultView(BaseModel):
    """One (expert, split) with its checks and metrics."""

    expert: str
    split: str
    verdict: ReportVerdict
    checks: list[Check]
    metrics: dict[str, float | int | list[float | None] | dict[str, str] | None] = Field(
        description="By name; under `reasons` why a value is null. Empty where nothing was verified."
    )
    error: ErrorView | None = Field(description="Why it could not be computed or verified.")
    file: VerifiedFile | None = Field(None, description="Of a verification: the file, if it could be read.")
    targets_file: VerifiedFile | None = Field(None, description="Of a verification: a file of targets alone.")
    base: str | None = Field(None, description="Of a verification: what the split points into.")
    split_sha256: str | None = Field(None, description="Of a verification: sha256 of the split's index file.")


class JobReportView(BaseModel):
    """What was checked of a job, for each result and for the job as a whole."""

    job: str
    verdict: ReportVerdict
    checks: list[Check] = Field(description="Checks that no result can show alone.")
    error: ErrorView | None = Field(None, description="Why the job could not be verified.")
    splits: dict[str, Any] | None = Field(None, description="The set of splits that the job created.")
    results: list[ResultView]

    @classmethod
    def of(cls, job_id: str, report: JobReport) -> JobReportView:
        """Build the view of a job's report."""
        return cls.model_validate({"results": [], **report.to_dict(), "job": job_id})


class VerificationView(JobSummary):
    """A verification job with its checks and results in place of units."""

    checks: list[Check]
    results: list[ResultView]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> VerificationView:
        """Build the view of a verification job."""
        report = job.verification or JobReport("pending")
        links = job_links(job.id, f"/verifications/{job.id}", ("analysis", "report", "cancel"))
        results = [result.to_dict() for result in report.results or ()]
        content = {"checks": report.checks, "results": results, "links": links}
        return cls.model_validate(summarise_job(job) | content)


class VerificationList(BaseModel):
    """Verification jobs, the newest first."""

    verifications: list[VerificationView]


class AnalysedResultView(BaseModel):
    """One part of the analysis of one (expert, split)."""

    model_config = ConfigDict(from_attributes=True)

    expert: str = Field(description="Of `seeds` the name that the experts share; empty of `ensemble`.")
    split: str
    state: AnalysisState
    analysis: dict[str, Any] | None = Field(
        description="Of `statistics`: intervals, curves, areas, reliability, calibration, scores, shifted_priors, "
        "confusion, reasons. Of `causes`: found, tried, untried, message. Of `ensemble`: experts, rows, single, "
        "uniform, oracle, pairs, findings, reasons. Of `seeds`: name, split, experts, figures."
    )
    error: ErrorView | None
    experts: list[str] = Field([], description="Of `ensemble` and `seeds`: all experts that it is of.")


class AnalysisView(BaseModel):
    """One part of the analysis of a job's results."""

    job: str
    part: AnalysisPart
    complete: bool = Field(description="Whether no result is pending.")
    results: list[AnalysedResultView]

    @classmethod
    def of(cls, job_id: str, analysis: JobAnalysis) -> AnalysisView:
        """Build the view of an analysis."""
        names = ("part", "complete", "results")
        return cls.model_validate({"job": job_id} | {name: getattr(analysis, name) for name in names})


class AuditView(BaseModel):
    """What is wrong with a set of splits, or misleads."""

    name: str
    dataset: str
    state: Literal["ready", "pending"] = Field(description="`pending` while a worker audits it.")
    verdict: Verdict | None = Field(description="Null while pending.")
    checks: list[Check] = Field(description="Of the lists together.")
    lists: dict[str, list[Check]] = Field(description="Of each list, by its name.")
    described: bool | None = Field(None, description="Whether a `splits.json` describes the lists.")
    sha256: dict[str, str] | None = Field(None, description="Of each list's file, by the list's name.")

    @classmethod
    def of(cls, name: str, dataset: str, answer: Mapping[str, Any] | None) -> AuditView:
        """Build an audit's view, pending if `answer` is None."""
        state = "pending" if answer is None else "ready"
        content = {"verdict": None, "checks": [], "lists": {}} if answer is None else answer
        return cls.model_validate({"name": name, "dataset": dataset, "state": state, **content})
