"""The manifest of combined logits: the files that they come from, and how they were combined."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.combine_requests import GatingRequest, InputFile, InputList
from app.domain.jobs import Claim
from app.domain.outcomes import GatingOutcome
from app.domain.times import rfc3339
from worker.outputs.artifacts import Draft
from worker.outputs.manifest import SCHEMA
from worker.verify.combining import LOGITS


@dataclass(frozen=True, slots=True)
class ParametersFile:
    """The published file of a combination's parameters."""

    folder: str | None
    """Below the checkpoint directory; None where that is read-only, so that an older file there tells nothing."""
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class MixtureFile:
    """The published file of a split's probabilities and expert weights."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class MixtureOrigin:
    """Where combined logits come from."""

    claim: Claim
    request: GatingRequest
    outcome: GatingOutcome
    parameters: ParametersFile
    mixture: MixtureFile
    rows: InputList
    inputs: tuple[InputFile, ...]
    data_sha256: str
    """Of the labels of the base, or of its images and labels where the inputs tell it."""
    started_at: float
    """Seconds since the epoch."""


def mixture_manifest(origin: MixtureOrigin, draft: Draft, shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe an artifact of combined logits [N, C] as JSON.

    The parameters stand in the checkpoint's place: a combination that was fitted again makes its files stale.
    Everything but `job` and `times` is the same whenever the same files are combined again.
    """
    request, outcome, finished_at = origin.request, origin.outcome, time.time()
    return {
        "schema": SCHEMA,
        "job": origin.claim.job.id,
        "expert": request.name,
        "split": {
            "name": origin.rows.split,
            "sha256": origin.rows.sha256,
            "size": origin.rows.rows,
            "folder": request.splits_dir,
        },
        "file": {"sha256": draft.sha256, "bytes": draft.size, "logits": list(shape)},
        "checkpoint": {
            "file": origin.parameters.name,
            "folder": origin.parameters.folder,
            "sha256": origin.parameters.sha256,
        },
        "dataset": {
            "name": request.dataset,
            "base": origin.rows.base,
            "classes": shape[1],
            "sha256": origin.data_sha256,
        },
        "combination": _combination(request, outcome),
        "mixture": {"file": origin.mixture.name, "sha256": origin.mixture.sha256},
        "derived_from": [
            {"expert": file.expert, "split": file.split, "sha256": file.sha256, "name": file.name}
            for file in origin.inputs
        ],
        "versions": dict(outcome.versions),
        "times": {
            "started_at": rfc3339(origin.started_at),
            "finished_at": rfc3339(finished_at),
            "seconds": round(finished_at - origin.started_at, 3),
        },
    }


def _combination(request: GatingRequest, outcome: GatingOutcome) -> dict[str, Any]:
    """Describe how the logits were combined."""
    imported = None if request.net_file is None else {"file": request.net_file, "sha256": request.net_sha256}
    return {
        "method": outcome.method,
        "experts": list(request.experts),
        "prior": request.prior,
        "divided_by": dict(request.divided_by),
        "logits": LOGITS,
        "imported": imported,
        "fitted_on": [asdict(rows) for rows in request.fitted_lists],
    }
