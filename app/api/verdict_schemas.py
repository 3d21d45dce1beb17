"""Responses about checks: verifications of jobs and files, analyses, and audits of splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.schemas import ErrorView, JobSummary, summarise_job
from app.domain.analyses import AnalysisPart, AnalysisState, JobAnalysis
from app.domain.checks import CheckVerdict, JobReport, Level, ReportVerdict, Result, Verdict
from app.domain.jobs import Job


class CheckView(BaseModel):
    """The outcome of one check."""

    id: str = Field(description="Stable name of the check; scripts may rely on it.")
    level: Level = Field(description="Whether a failure fails the result (`error`) or is only reported.")
    verdict: CheckVerdict
    measured: Any = Field(description="Null when skipped.")
    expected: Any = Field(description="What the measurement was compared with; null when skipped.")
    message: str
    evidence: list[Any] = Field(description="The first offending rows or classes.")


class VerifiedFileView(BaseModel):
    """A file as it was when it was verified."""

    name: str
    sha256: str
    bytes: int


class ResultView(BaseModel):
    """One (expert, split) with its checks and metrics."""

    expert: str
    split: str
    verdict: ReportVerdict
    checks: list[CheckView]
    metrics: dict[str, float | int | list[float | None] | dict[str, str] | None] = Field(
        description="By name; under `reasons` why a value is null. Empty where nothing was verified."
    )
    error: ErrorView | None = Field(description="Why it could not be computed or verified.")
    file: VerifiedFileView | None = Field(None, description="Of a verification: the file, if it could be read.")
    targets_file: VerifiedFileView | None = Field(None, description="Of a verification: a file of targets alone.")
    base: str | None = Field(None, description="Of a verification: what the split points into.")
    split_sha256: str | None = Field(None, description="Of a verification: sha256 of the split's index file.")

    @classmethod
    def of(cls, result: Result) -> ResultView:
        """Build the view of a result."""
        return cls.model_validate(result.to_dict())


class JobReportView(BaseModel):
    """What was checked of a job, for each result and for the job as a whole."""

    job: str
    verdict: ReportVerdict
    checks: list[CheckView] = Field(description="Checks that no result can show alone.")
    error: ErrorView | None = Field(None, description="Why the job could not be verified.")
    splits: dict[str, Any] | None = Field(None, description="The set of splits that the job created.")
    results: list[ResultView]

    @classmethod
    def of(cls, job_id: str, report: JobReport) -> JobReportView:
        """Build the view of a job's report."""
        return cls.model_validate({"results": [], **report.to_dict(), "job": job_id})


class VerificationView(JobSummary):
    """A verification job with its checks and results in place of units."""

    checks: list[CheckView]
    results: list[ResultView]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> VerificationView:
        """Build the view of a verification job."""
        report, base = job.verification or JobReport("pending"), f"/jobs/{job.id}"
        links = {
            "self": f"/verifications/{job.id}",
            "analysis": f"{base}/analysis",
            "report": f"{base}/report",
            "cancel": f"{base}/cancel",
        }
        checks = [CheckView.model_validate(check.to_dict()) for check in report.checks]
        results = [ResultView.of(result) for result in report.results or ()]
        return cls(**summarise_job(job), checks=checks, results=results, links=links)


class VerificationList(BaseModel):
    """Verification jobs, the newest first."""

    verifications: list[VerificationView]


class AnalysedResultView(BaseModel):
    """One part of the analysis of one (expert, split)."""

    expert: str
    split: str
    state: AnalysisState
    analysis: dict[str, Any] | None = Field(
        description="Of `statistics`: intervals, curves, areas, reliability, reasons. Of `causes`: found, tried, "
        "untried, message."
    )
    error: ErrorView | None


class AnalysisView(BaseModel):
    """One part of the analysis of a job's results."""

    job: str
    part: AnalysisPart
    complete: bool = Field(description="Whether no result is pending.")
    results: list[AnalysedResultView]

    @classmethod
    def of(cls, job_id: str, analysis: JobAnalysis) -> AnalysisView:
        """Build the view of an analysis."""
        results = [AnalysedResultView.model_validate(result, from_attributes=True) for result in analysis.results]
        return cls(job=job_id, part=analysis.part, complete=analysis.complete, results=results)


class AuditView(BaseModel):
    """What is wrong with a set of splits, or misleads."""

    name: str
    dataset: str
    state: Literal["ready", "pending"] = Field(description="`pending` while a worker audits it.")
    verdict: Verdict | None = Field(description="Null while pending.")
    checks: list[CheckView] = Field(description="Of the lists together.")
    lists: dict[str, list[CheckView]] = Field(description="Of each list, by its name.")
    described: bool | None = Field(None, description="Whether a `splits.json` describes the lists.")
    sha256: dict[str, str] | None = Field(None, description="Of each list's file, by the list's name.")

    @classmethod
    def of(cls, name: str, dataset: str, answer: Mapping[str, Any] | None) -> AuditView:
        """Build the view of an audit; None is a pending one."""
        state = "pending" if answer is None else "ready"
        content = {"verdict": None, "checks": [], "lists": {}} if answer is None else answer
        return cls.model_validate({"name": name, "dataset": dataset, "state": state, **content})
