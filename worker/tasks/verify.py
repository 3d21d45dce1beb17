"""Verify a recompute job as a whole, once all its units have ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.domain.checks import Check, JobReport, skipped, verdict_of
from app.domain.errors import RequestError
from app.domain.fault_points import reach
from app.domain.jobs import Artifact, Claim, Job, Unit, UnitState
from app.files.artifacts import artifact_path
from worker.context import Context
from worker.outputs.artifacts import read_rows
from worker.verify.criteria import check_overrides
from worker.verify.lists import check_overlap
from worker.verify.similarity import (
    check_data_between_units,
    check_duplicates,
    check_targets_between_experts,
    sample_rows,
)


def verify(claim: Claim, context: Context) -> None:
    """Check the units against each other and record the verdict."""
    job = claim.job
    done = [(unit, unit.artifact) for unit in job.units if unit.artifact is not None]
    checks = (
        *compare(done),
        *_check_similarity(done, context),
        *_check_overlaps(job, done, context),
        *override_checks(
            Dataset.model_validate(job.recompute.declaration),
            job.recompute.dataset,
            Folder(job.recompute.experts_dir, context.settings.checkpoints_dir / job.recompute.experts_dir),
            context.catalog,
        ),
    )
    complete = all(unit.state is UnitState.SUCCEEDED for unit in job.units)
    reach("verify.verdict")
    context.jobs.finish_job(claim, JobReport(verdict_of(checks, complete=complete), checks))


Done = Sequence[tuple[Unit, Artifact]]


def compare(done: Done) -> list[Check]:
    """Compare targets within splits, images and labels within bases."""
    targets: dict[str, dict[str, str]] = {}
    data: dict[str, dict[str, str]] = {}
    for unit, artifact in done:
        targets.setdefault(unit.split, {})[unit.expert] = artifact.targets_sha256
        data.setdefault(artifact.base, {})[f"{unit.expert}/{unit.split}"] = artifact.data_sha256
    return [
        *(check_targets_between_experts(split, digests) for split, digests in targets.items()),
        *(check_data_between_units(base, digests) for base, digests in data.items()),
    ]


def _check_similarity(done: Done, context: Context) -> list[Check]:
    """Check for experts with the same outputs on some rows."""
    samples: dict[str, dict[str, NDArray[np.float32]]] = {}
    for unit, artifact in done:
        path = artifact_path(context.settings.objects_dir, artifact.sha256)
        samples.setdefault(unit.split, {})[unit.expert] = read_rows(path, artifact.sha256, sample_rows(unit.total))
    return [check_duplicates(split, rows) for split, rows in samples.items()]


def override_checks(dataset: Dataset, name: str, experts: Folder | None, catalog: Catalog) -> list[Check]:
    """Check a data set's overrides, if it declares any.

    Checkpoints are those of the data set's own folder and of `experts`, if given.
    """
    if not dataset.overrides:
        return []
    return [check_overrides(name, len(dataset.overrides), catalog.unused_overrides(dataset, experts))]


def _check_overlaps(job: Job, done: Done, context: Context) -> list[Check]:
    """Check computed, unchanged index lists for shared samples."""
    request = job.recompute
    dataset = Dataset.model_validate(request.declaration)
    lists: dict[str, dict[str, NDArray[np.int64]]] = {}
    try:
        folder = context.catalog.splits_folder(dataset, request.splits_dir)
        for unit, artifact in done:
            split = context.catalog.read_split(dataset, folder, unit.split)
            if split.sha256 == unit.split_sha256:
                lists.setdefault(artifact.base, {})[unit.split] = split.indices
    except RequestError as error:
        return [skipped("overlap", "warning", f"An index list cannot be read any more. {error.message}")]
    return [check for base, splits in lists.items() for check in check_overlap(base, splits)]
