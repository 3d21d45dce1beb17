"""What the report page is made of, made small, for any number of experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.domain.analyses import AnalysedResult, AnalysisState, JobAnalysis
from app.domain.checks import (
    NO_METRICS,
    Check,
    CheckVerdict,
    JobReport,
    Metrics,
    ReportVerdict,
    Result,
    ResultReport,
    StoredError,
    verdict_of,
)
from app.domain.jobs import Job, JobState
from app.domain.requests import VerificationRequest
from app.report.view import Sources

Record = dict[str, Any]

CLASSES = 4


def check(name: str, verdict: CheckVerdict, **more: Any) -> Check:
    """A check of level `error` that measured nothing, or as `more` has it."""
    empty: Record = {"level": "error", "measured": None, "expected": None, "message": f"{name} is {verdict}."}
    return Check(id=name, verdict=verdict, **(empty | more))


def metrics(reasons: dict[str, str] | None = None, **more: Any) -> Metrics:
    known = {"samples": 2000, "accuracy": 0.5, "balanced_accuracy": 0.4, "nll": 1.25, "ece": 0.125, "aurc": 0.0625}
    none = dict.fromkeys(("reweighted_accuracy", "head_accuracy", "tail_accuracy"))
    values = known | none | {"class_recalls": [1.0, 0.5, 0.0, None]} | more
    return Metrics(values, dict.fromkeys(none, "There are no train counts.") if reasons is None else reasons)


def result(
    expert: str,
    split: str = "val",
    checks: Sequence[Check] = (),
    *,
    verdict: ReportVerdict | None = None,
    error: StoredError | None = None,
    metrics: Metrics | None = metrics(),  # noqa: B008 — a value
) -> Result:
    report = ResultReport(verdict or verdict_of(checks), tuple(checks), metrics or NO_METRICS)
    return Result(expert, split, report, error)


def statistics(*, grouped: bool = False) -> Record:
    """A worker's answer, as JSON."""
    line = {"coverage": [0.25, 0.5, 1.0], "risk": [0.0, 0.1, 0.5]}
    others = ("balanced_risk_coverage", "worst_group_risk_coverage")
    return {
        "intervals": {
            "level": 0.95,
            "resamples": 1000,
            "seed": 0,
            "method": "percentile bootstrap, stratified by class",
            "figures": {"accuracy": [0.45, 0.55], "nll": [1.0, 1.5], "head_accuracy": None},
        },
        "curves": {"risk_coverage": line} | dict.fromkeys(others, line if grouped else None),
        "areas": {"risk_coverage": 0.0625} | dict.fromkeys(others, 0.1 if grouped else None),
        "reliability": [
            {"from": 0.0, "to": 0.5, "rows": 0, "confidence": None, "accuracy": None},
            {"from": 0.5, "to": 0.75, "rows": 500, "confidence": 0.6, "accuracy": 0.7},
            {"from": 0.75, "to": 1.0, "rows": 1500, "confidence": 0.9, "accuracy": 0.4},
        ],
    }


def analysed(
    results: Sequence[Result], state: AnalysisState = "ready", analysis: Any = None, error: Any = None
) -> JobAnalysis:
    """The same analysis for every result."""
    return JobAnalysis(
        "statistics", tuple(AnalysedResult(r.expert, r.split, state, analysis, error) for r in results)
    )


def verification_job(state: JobState = JobState.SUCCEEDED, name: str = "digits") -> Job:
    """A job that verifies files; it has no units."""
    request = VerificationRequest(name, f"{name}_splits", "old/logits", None, (), ())
    created, started, finished = 1795379812.252, 1795379812.271, 1795379813.564
    return Job("5944eeff", state, request, (), created, started, finished)


def sources(results: Sequence[Result], *, checks: Sequence[Check] = (), **more: Any) -> Sources:
    """A finished verification with these results, all of them analysed."""
    complete = all(item.verdict != "failed" for item in results)
    parts: Record = {
        "job": verification_job(),
        "report": JobReport(verdict_of((), complete=complete), tuple(checks), tuple(results)),
        "statistics": analysed(results, analysis=statistics()),
    }
    return Sources(**parts | more)
