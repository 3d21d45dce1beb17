"""Requests to compare the experts of an installation's jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.domain.combine_requests import InputFile, InputList, LogitsInput
from app.domain.compare_requests import ComparedSide, ComparisonRequest
from app.domain.comparisons import ComparisonOutcome
from app.domain.jobs import Job
from app.domain.requests import VerificationRequest
from tests.unit.expert_jobs import LISTS, ExpertJobs
from worker.tasks.expert_logits import counts_sha256


def side_of(site: ExpertJobs, job_id: str, expert: str, label: str | None = None) -> ComparedSide:
    """One expert of a job, with all its splits."""
    job = site.store.get(job_id)
    request = job.logits_request
    assert request is not None
    files, lists, path, upload = [], [], None, None
    if isinstance(request, VerificationRequest):
        assert job.verification is not None
        path, upload = request.path, request.upload
        for result in job.verification.results or ():
            if result.expert == expert and result.source is not None and result.source.file is not None:
                files.append(InputFile(expert, result.split, result.source.file.sha256, result.source.file.name))
                digest = str(result.source.split_sha256)
                rows = len(site.indices(result.split))
                lists.append(InputList(result.split, str(result.source.base), digest, rows))
    for unit in job.units:
        if unit.expert == expert and unit.artifact is not None:
            files.append(InputFile(expert, unit.split, unit.artifact.sha256))
            lists.append(InputList(unit.split, unit.artifact.base, unit.split_sha256, unit.total))
    return ComparedSide(
        label=label or expert,
        expert=expert,
        dataset=request.dataset,
        splits_dir=request.splits_dir,
        logits=LogitsInput(job_id, tuple(files), path, upload),
        lists=tuple(lists),
        declaration=request.declaration,
    )


def comparison_request(
    site: ExpertJobs, sides: list[ComparedSide], pairs: list[tuple[str, str]], **changes: Any
) -> ComparisonRequest:
    """A request over all splits of the sides, as the API makes it."""
    first = sides[0]
    folder = site.home.catalog().splits_folder(site.home.catalog().dataset("digits"), first.splits_dir)
    request = ComparisonRequest(
        dataset=first.dataset,
        splits_dir=first.splits_dir,
        name="compared",
        output_dir="comparisons",
        sides=tuple(sides),
        pairs=tuple(pairs),
        splits=tuple(split for split in LISTS if any(split in side.splits for side in sides)),
        declaration=first.declaration,
        counts_sha256=counts_sha256(folder, site.context),
    )
    return replace(request, **changes)


def compared(site: ExpertJobs, request: ComparisonRequest) -> tuple[Job, ComparisonOutcome]:
    """The job and its outcome after a worker has done it."""
    job = site.done(site.store.submit(request))
    assert isinstance(job.outcome, ComparisonOutcome)
    return job, job.outcome
