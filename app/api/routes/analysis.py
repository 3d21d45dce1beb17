"""What is computed of results when first asked for, and kept: intervals and curves, and causes of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query

from app.api.dependencies import Services, Used
from app.api.parameters import MAX_WAIT_S, JobId
from app.api.waiting import await_inspections
from app.catalog.datasets import Dataset
from app.domain.errors import NotFound, RelogitError, RequestError
from app.domain.jobs import Job
from app.domain.requests import LogitsRequest, RecomputeRequest
from app.files.artifacts import artifact_path
from app.files.disk import file_sha256
from app.store.inspection_requests.analysis import AnalysisPart, AnalysisSubject, analysis_request
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspections import Inspection

CAUSED = ("accuracy", "targets")
"""Checks whose failure has causes that can be looked for."""

router = APIRouter(prefix="/jobs/{job_id}", tags=["verifications"])


@dataclass(frozen=True, slots=True)
class _Result:
    """A result of a job, wherever it is recorded."""

    expert: str
    split: str
    path: Path
    sha256: str
    split_sha256: str
    checks: list[dict[str, Any]]
    metrics: dict[str, Any]
    targets: tuple[Path, str] | None = None
    """The file of its targets, where that is one of its own, and that file's sha256."""

    def has(self, part: AnalysisPart) -> bool:
        """Whether there is anything to analyse."""
        if part == "statistics":
            return self.metrics.get("accuracy") is not None
        return any(check["id"] in CAUSED and check["verdict"] == "failed" for check in self.checks)


@router.get("/analysis")
async def analysis(
    job_id: JobId,
    used: Used,
    part: Annotated[AnalysisPart, Query(description="Intervals and curves, or causes of a failure.")] = "statistics",
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for what is not known yet, 60 at most.")] = 10.0,
) -> dict[str, Any]:
    """A worker works it out when it is first asked for, file by file; `complete` says whether all is there.

    The `state` of each result is `ready`, `pending`, `failed` (with `error`), or `none`: nothing to analyse.
    """
    return await analyse(used, job_id, part, min(wait, MAX_WAIT_S))


async def analyse(used: Services, job_id: str, part: AnalysisPart, patience_s: float) -> dict[str, Any]:
    """What `GET /jobs/{id}/analysis` answers, as far as it is known within so many seconds."""

    def look_around() -> tuple[list[dict[str, Any]], list[InspectionRequest | None]]:
        entries: list[dict[str, Any]] = []
        questions: list[InspectionRequest | None] = []
        job = used.jobs.get(job_id)
        request = job.logits_request
        if request is None:
            raise NotFound(
                "nothing-to-analyse", f"Job {job_id} created splits; there are no logits in it to analyse."
            )
        for result in _results(used, job, request):
            entry: dict[str, Any] = {"expert": result.expert, "split": result.split}
            entry |= {"state": "none", "analysis": None, "error": None}
            question = None
            if result.has(part):
                try:
                    question = _question(used, request, result, part)
                except RelogitError as error:
                    entry |= {"state": "failed", "error": error.to_dict()}
            entries.append(entry)
            questions.append(question)
        return entries, questions

    entries, questions = await run_sync(look_around)
    asked = [question for question in questions if question is not None]
    inspections = iter(await await_inspections(used, asked, patience_s))
    for entry, question in zip(entries, questions, strict=True):
        if question is not None:
            entry |= _shown(next(inspections))
    complete = all(entry["state"] != "pending" for entry in entries)
    return {"job": job_id, "part": part, "complete": complete, "results": entries}


def _shown(fact: Inspection) -> dict[str, Any]:
    if fact.error is not None:
        return {"state": "failed", "error": fact.error}
    return {"state": "pending" if fact.answer is None else "ready", "analysis": fact.answer}


def _results(used: Services, job: Job, request: LogitsRequest) -> Iterator[_Result]:
    if isinstance(request, RecomputeRequest):
        for unit in job.units:
            if unit.artifact is not None and unit.report is not None:
                path = artifact_path(used.settings.objects_dir, unit.artifact.sha256)
                found = (unit.report["checks"], unit.report["metrics"])
                yield _Result(unit.expert, unit.split, path, unit.artifact.sha256, unit.split_sha256, *found)
        return
    try:
        root = used.uploads.root_of(request, used.settings.outputs_dir)
    except NotFound:  # deleted; what was found stays, and each of its files says that it is gone
        root = used.settings.uploads_dir / str(request.upload)
    for result in (job.verification or {}).get("results", []):
        if result["file"] is not None:
            file, named = result["file"], (result["expert"], result["split"])
            found = (result["checks"], result["metrics"])
            beside = result.get("targets_file")  # verifications of older versions have none
            targets = None if beside is None else (root / beside["name"], beside["sha256"])
            yield _Result(*named, root / file["name"], file["sha256"], result["split_sha256"], *found, targets)


def _question(used: Services, request: LogitsRequest, result: _Result, part: AnalysisPart) -> InspectionRequest:
    """The question to a worker; a `RequestError` where file or split are not what was verified."""
    dataset = Dataset.model_validate(request.declaration)
    folder = used.catalog.splits_folder(dataset, request.splits_dir)
    split = used.catalog.read_split(dataset, folder, result.split)
    if split.sha256 != result.split_sha256:
        raise RequestError("split-changed", f"The index list {split.name!r} was changed since. Verify again.")
    for path, sha256 in ((result.path, result.sha256), *([result.targets] if result.targets else [])):
        _check_unchanged(path, sha256)
    threshold = request.standards.head_threshold
    subject = AnalysisSubject(result.path, result.sha256, dataset, folder, split, threshold, result.targets)
    return analysis_request(part, subject, used.catalog)


def _check_unchanged(path: Path, sha256: str) -> None:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise RequestError("file-gone", f"{path.name} cannot be read: {error.strerror}.") from error
    if found != sha256:
        raise RequestError("file-changed", f"{path.name} was changed since it was verified. Verify again.")
