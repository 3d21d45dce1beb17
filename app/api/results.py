"""A job's results: its report as of now, and analyses, which a worker computes on the first request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.api.waiting import await_inspections
from app.catalog.datasets import read_declaration
from app.domain.analyses import AnalysedResult, AnalysisPart, AnalysisState, JobAnalysis
from app.domain.checks import NO_METRICS, JobReport, ReportVerdict, Result, ResultReport, verdict_of
from app.domain.errors import NotFound, RelogitError, RequestError
from app.domain.jobs import Job, Unit
from app.domain.requests import LogitsRequest, VerificationRequest
from app.domain.seeds import summarise_seeds
from app.files.artifacts import artifact_path
from app.files.disk import file_sha256
from app.report.current_checks import audit_request, audit_warnings, file_checks
from app.store.inspection_requests.analysis import AnalysisSubject, analysis_request, ensemble_request
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspections import Inspection

WITH_CAUSES = ("accuracy", "targets")
"""Checks whose failure has causes that can be searched for."""


async def verify_job(services: Services, job: Job, patience_s: float) -> JobReport:
    """Return a job's report, in any state, with all results.

    Once the job has ended, an audit of its splits adds warnings; it is awaited for `patience_s`.
    """
    report = await run_sync(_report_now, services, job)
    request = await run_sync(audit_request, job, services.catalog) if job.state.ended else None
    if request is None:
        return report
    [audit] = await await_inspections(services, [request], patience_s)
    return replace(report, checks=(*report.checks, *audit_warnings(job, audit, report.results or ())))


def _report_now(services: Services, job: Job) -> JobReport:
    """Return the recorded report with checks of units' files.

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


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A result with a file, and what is on record of it."""

    expert: str
    split: str
    path: Path
    sha256: str
    """Of the file."""
    split_sha256: str | None
    report: ResultReport
    targets: tuple[Path, str] | None = None
    """The file of its targets, where that is one of its own, and that file's sha256."""

    def has(self, part: AnalysisPart) -> bool:
        """Tell whether there is anything to analyse."""
        if part in ("statistics", "ensemble"):
            return self.report.metrics.number("accuracy") is not None
        return any(check.id in WITH_CAUSES and check.verdict == "failed" for check in self.report.checks)


async def analyse_job(services: Services, job_id: str, part: AnalysisPart, patience_s: float) -> JobAnalysis:
    """Collect one part of a job's analysis, waiting `patience_s` for workers.

    Raises:
        NotFound: there is no such job, or it has no logits.
    """

    def read_results() -> list[_Prepared]:
        job = services.jobs.get(job_id)
        request = job.logits_request
        if request is None:
            raise NotFound(
                "nothing-to-analyse", f"Job {job_id} is a {job.request.kind}; it has no logits to analyse."
            )
        if part == "seeds":
            summaries = summarise_seeds(_report_now(services, job).results or ())
            return [
                (AnalysedResult(item.name, item.split, "ready", item.to_dict(), experts=item.experts), None)
                for item in summaries
            ]
        results = list(_results(services, job, request))
        if part == "ensemble":
            return _prepare_ensembles(services, request, results)
        return [_prepare(services, request, recorded, part) for recorded in results]

    results = await run_sync(read_results)
    requests = [request for _, request in results if request is not None]
    inspections = iter(await await_inspections(services, requests, patience_s))
    answered = (_answered(result, next(inspections)) if request else result for result, request in results)
    return JobAnalysis(part, tuple(answered))


_Prepared = tuple[AnalysedResult, InspectionRequest | None]
"""A result as far as it is known, and the request to a worker, if there is one."""


def _prepare_ensembles(services: Services, request: LogitsRequest, results: Sequence[_Recorded]) -> list[_Prepared]:
    """Prepare the ensemble of each split, over all results with metrics."""
    prepared: list[_Prepared] = []
    for split in dict.fromkeys(result.split for result in results):
        members = [result for result in results if result.split == split and result.has("ensemble")]
        ensemble = AnalysedResult("", split, experts=tuple(result.expert for result in members))
        if len(members) < 2:  # one expert makes no ensemble
            prepared.append((ensemble, None))
            continue
        try:
            subjects = {result.expert: _subject(services, request, result) for result in members}
            prepared.append((ensemble, ensemble_request(subjects, services.catalog)))
        except RelogitError as error:
            prepared.append((replace(ensemble, state="failed", error=error.to_dict()), None))
    return prepared


def _prepare(
    services: Services, request: LogitsRequest, recorded: _Recorded, part: Literal["statistics", "causes"]
) -> _Prepared:
    """Return a result without analysis, and its request if possible."""
    result = AnalysedResult(recorded.expert, recorded.split)
    try:
        if not recorded.has(part):
            return result, None
        return result, analysis_request(part, _subject(services, request, recorded), services.catalog)
    except RelogitError as error:
        return replace(result, state="failed", error=error.to_dict()), None


def _answered(result: AnalysedResult, inspection: Inspection) -> AnalysedResult:
    if inspection.error is not None:
        return replace(result, state="failed", error=inspection.error)
    state: AnalysisState = "pending" if inspection.answer is None else "ready"
    return replace(result, state=state, analysis=inspection.answer)


def _results(services: Services, job: Job, request: LogitsRequest) -> Iterator[_Recorded]:
    if not isinstance(request, VerificationRequest):
        for unit in job.units:
            if unit.artifact is not None and unit.report is not None:
                path = artifact_path(services.settings.objects_dir, unit.artifact.sha256)
                yield _Recorded(unit.expert, unit.split, path, unit.artifact.sha256, unit.split_sha256, unit.report)
        return
    try:
        root = services.uploads.root_of(request, services.settings.outputs_dir)
    except NotFound:  # a deleted upload: its results stay, and each of its files is reported as gone
        root = services.settings.uploads_dir / str(request.upload)
    for result in (job.verification and job.verification.results) or ():
        source = result.source
        if source is not None and source.file is not None:
            targets = source.targets_file
            yield _Recorded(
                *result.place,
                root / source.file.name,
                source.file.sha256,
                source.split_sha256,
                result.report,
                None if targets is None else (root / targets.name, targets.sha256),
            )


def _subject(services: Services, request: LogitsRequest, recorded: _Recorded) -> AnalysisSubject:
    """Return what is analysed.

    Raises:
        RequestError: the file or the split is not the one that was verified, or cannot be read.
    """
    dataset = read_declaration(request.declaration)
    folder = services.catalog.splits_folder(dataset, request.splits_dir)
    split = services.catalog.read_split(dataset, folder, recorded.split)
    if split.sha256 != recorded.split_sha256:
        raise RequestError("split-changed", f"The index list {split.name!r} was changed since. Verify again.")
    for path, sha256 in ((recorded.path, recorded.sha256), *([recorded.targets] if recorded.targets else [])):
        _check_unchanged(path, sha256)
    threshold = request.standards.head_threshold
    return AnalysisSubject(recorded.path, recorded.sha256, dataset, folder, split, threshold, recorded.targets)


def _check_unchanged(path: Path, sha256: str) -> None:
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise RequestError("file-gone", f"{path.name} cannot be read: {error.strerror}.") from error
    if digest != sha256:
        raise RequestError("file-changed", f"{path.name} was changed since it was verified. Verify again.")
