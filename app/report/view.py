"""The report page: a value with all that the template shows, and its HTML, one file without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.analyses import AnalysedResult, Intervals, JobAnalysis, Statistics
from app.domain.checks import JobReport, ReportVerdict, Result
from app.domain.combine_requests import GatingRequest
from app.domain.ensembles import Ensemble
from app.domain.jobs import Job, JobState, Unit
from app.domain.outcomes import GatingOutcome
from app.domain.requests import LogitsRequest, VerificationRequest
from app.report.combination import Combination, combination
from app.report.figures import Figure, missing, shown_figures
from app.report.findings import Finding, Place, failures, passed, places, skipped
from app.report.split_picture import ClassGroups, ShownSet, SplitSet, split_set
from app.report.split_results import Parts, Split, result_splits
from app.report.words import count, time_fact

HEADLINES: Mapping[ReportVerdict, str] = {
    "passed": "Passed",
    "failed": "Failed",
    "skipped": "Not verified",
    "pending": "Not finished",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """What the page is made of."""

    job: Job
    """One whose results are logits."""
    report: JobReport
    """With all results."""
    statistics: JobAnalysis = field(default_factory=lambda: JobAnalysis("statistics"))
    """Empty while the job runs."""
    causes: JobAnalysis = field(default_factory=lambda: JobAnalysis("causes"))
    """Empty while the job runs."""
    ensembles: JobAnalysis = field(default_factory=lambda: JobAnalysis("ensemble"))
    """Of all experts of each split; empty while the job runs."""
    digests: Mapping[Place, str] = field(default_factory=dict)
    """sha256 of the files that were verified, by expert and split."""
    splits: ShownSet | None = None
    """The job's set of splits; None where it cannot be read."""

    @property
    def request(self) -> LogitsRequest:
        """The job's request."""
        request = self.job.request
        assert isinstance(request, LogitsRequest)
        return request

    @property
    def groups(self) -> ClassGroups | None:
        """The class groups, where the train samples are known."""
        return self.splits.groups if self.splits else None

    @property
    def pending(self) -> bool:
        """Whether an analysis is still to come."""
        return not (self.statistics.complete and self.causes.complete and self.ensembles.complete)


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    kicker: str
    """What the page is of."""
    title: str
    verdict: str
    headline: str
    sentence: str
    facts: Sequence[tuple[str, str]]
    units: Sequence[Unit]
    """Of a job that runs."""
    failures: Sequence[Finding]
    figures: Sequence[Figure]
    threshold: int
    missing: Sequence[tuple[str, str]]
    splits: Sequence[Split]
    split_set: SplitSet | None
    interval_method: str | None
    notes: Sequence[str]
    """About intervals and curves that are pending or failed."""
    skipped: Sequence[Finding]
    passed: tuple[int, Sequence[str]]
    combination: Combination | None = None
    """Of a gating, once it is fitted."""


def page(sources: Sources) -> Page:
    """Build the page of a job about logits.

    The job may be in any state.
    """
    job, report, request = sources.job, sources.report, sources.request
    results = report.results or ()
    analysed = sources.statistics.by_place()
    statistics = {
        place: Statistics.from_dict(result.analysis)
        for place, result in analysed.items()
        if result.state == "ready" and result.analysis is not None
    }
    verdict = report.verdict if job.state.ended else "pending"
    ensembles = _ensembles(sources.ensembles)
    adjusted = [
        replace(check, message=f"On {split}: {check.message}")
        for split, ensemble in ensembles.items()
        for check in ensemble.findings
    ]
    findings = failures(replace(report, checks=(*report.checks, *adjusted)), _causes(sources.causes))
    threshold = request.standards.head_threshold
    analysed_parts = Parts(statistics, ensembles, sources.digests, sources.groups, threshold)
    intervals = next((item.intervals for item in statistics.values()), None)
    return Page(
        kicker="gating" if isinstance(request, GatingRequest) else "verification",
        title=f"{HEADLINES[verdict]}: {request.dataset}, {_subject(request)}",
        verdict=verdict,
        headline=HEADLINES[verdict],
        sentence=_sentence(job, verdict, results, findings),
        facts=_facts(job, request),
        units=() if job.state.ended else job.units,
        failures=findings,
        figures=shown_figures(results),
        threshold=threshold,
        missing=missing(results),
        splits=result_splits(results if job.state.ended else (), analysed_parts),
        split_set=split_set(sources.splits),
        interval_method=_interval_method(intervals) if intervals else None,
        notes=_notes(analysed, results),
        skipped=skipped(report),
        passed=passed(report),
        combination=combination(job.outcome) if isinstance(job.outcome, GatingOutcome) else None,
    )


def _ensembles(analysis: JobAnalysis) -> dict[str, Ensemble]:
    """Return what is known of all experts together, by split."""
    return {
        result.split: Ensemble.from_dict(result.analysis)
        for result in analysis.results
        if result.state == "ready" and result.analysis is not None
    }


def _causes(analysis: JobAnalysis) -> dict[Place, str]:
    """Return the messages about causes by expert and split."""
    pending = {"message": "Causes are being looked for; reload in a moment."}
    sources = ((r.place, pending if r.state == "pending" else r.analysis or r.error) for r in analysis.results)
    return {place: str(source["message"]) for place, source in sources if source}


def _subject(request: LogitsRequest) -> str:
    if isinstance(request, VerificationRequest):
        return request.path or "uploaded files"
    return request.output_dir


def _sentence(job: Job, verdict: ReportVerdict, results: Sequence[Result], findings: Sequence[Finding]) -> str:
    if verdict == "pending":
        return _progress(job)
    if verdict == "skipped":
        ended = "was cancelled" if job.state is JobState.CANCELLED else "ended"
        return f"The job {ended} before its results could be verified."
    warnings = sum(finding.level != "error" for finding in findings)
    more = f" {count(warnings, 'warning')}." if warnings else " No warnings."
    failed = sum(result.verdict == "failed" for result in results)
    if verdict == "passed":
        whole = "The result" if len(results) == 1 else f"All {len(results)} results"
        return f"{whole} passed every check that could be made.{more}"
    if failed:
        whole = "The result" if len(results) == 1 else f"{failed} of {len(results)} results"
        return f"{whole} failed: not to be used as {'it stands' if failed == 1 else 'they stand'}.{more}"
    return f"A check across the results failed.{more}"


def _progress(job: Job) -> str:
    if not job.units:
        return f"The verification is {job.state}. This page looks again by itself."
    done, total = sum(unit.done for unit in job.units), sum(unit.total for unit in job.units)
    share = done / total if total else 0.0
    ended = sum(unit.state.ended for unit in job.units)
    return (
        f"The job is {job.state}: {done:,} of {total:,} rows ({share:.0%}), {ended} of "
        f"{count(len(job.units), 'result')} done. This page looks again by itself."
    )


def _facts(job: Job, request: LogitsRequest) -> list[tuple[str, str]]:
    facts = [("Data set", request.dataset), ("Splits folder", request.splits_dir)]
    if isinstance(request, VerificationRequest):
        facts.append(("Files", request.path or f"{count(len(request.files), 'file')}, uploaded"))
    elif isinstance(request, GatingRequest):
        facts += [("Experts", ", ".join(request.experts)), ("Output folder", request.output_dir)]
    else:
        checkpoints = f"{request.experts_dir}, prefix {request.checkpoint_prefix!r}, {request.precision}"
        facts += [("Checkpoints", checkpoints), ("Output folder", request.output_dir)]
    standards = request.standards
    facts.append(("Head classes", f"more than {standards.head_threshold} train samples"))
    for name, floor in standards.floors.items():
        facts.append(("Floor", f"{name.replace('_', ' ')} {floor:.2%}"))
    facts.append(("Job", job.id))
    facts.append(time_fact(job))
    return facts


def _interval_method(intervals: Intervals) -> str:
    drawn = f"{intervals.resamples:,} resamples, seed {intervals.seed}"
    return f"{intervals.level:.0%} intervals: {intervals.method}, {drawn}."


def _notes(analysed: Mapping[Place, AnalysedResult], results: Sequence[Result]) -> list[str]:
    everywhere = [result.place for result in results]
    notes = []
    if pending := [place for place, result in analysed.items() if result.state == "pending"]:
        where = places(pending, everywhere)
        notes.append(f"Intervals and curves are still being computed for {where}. Reload in a moment.")
    by_reason: dict[str, list[Place]] = {}
    for place, result in analysed.items():
        if result.error is not None:
            by_reason.setdefault(result.error["message"], []).append(place)
    notes += [f"No intervals and curves for {places(pairs, everywhere)}: {why}" for why, pairs in by_reason.items()]
    return notes
