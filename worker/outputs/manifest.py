"""The manifest of an artifact: the checkpoint, split, pixels and environment that its rows come from."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from app import VERSION
from app.catalog.split_lists import Split
from app.domain.checks import Check
from app.domain.jobs import Claim, Progress
from app.domain.numerics import RowSource
from app.domain.requests import RecomputeRequest
from app.domain.times import rfc3339
from worker.datasets.pools import Pool
from worker.device import device_name
from worker.experts.loading import Passport
from worker.outputs.artifacts import Draft
from worker.verify.manifest_checks import OPEN

SCHEMA = 2
DTYPES = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Types of weights and activations; logits are always float32."""


@dataclass(frozen=True)
class Origin:
    """Where a unit's rows come from."""

    claim: Claim
    passport: Passport
    source: RowSource
    """What the rows depend on."""
    pool: Pool
    split: Split
    device: torch.device
    batch: int
    """Images of the last physical batch."""
    progress: Progress
    checks: Mapping[str, Check]
    """The checks of how the rows were computed, by id."""
    started_at: float
    """Seconds since the epoch."""


def manifest(origin: Origin, draft: Draft, shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe an artifact of logits [N, C] as JSON.

    Everything but `job`, `rows` and `times` is the same whenever the same rows are computed again.
    """
    request, finished_at = origin.claim.job.recompute, time.time()
    divisor = origin.passport.temperature if request.calibration == "checkpoint" else None
    return {
        "schema": SCHEMA,
        "job": origin.claim.job.id,
        "expert": origin.claim.expert,
        "split": {
            "name": origin.split.name,
            "sha256": origin.split.sha256,
            "size": int(origin.split.indices.size),
            "folder": request.splits_dir,
        },
        "file": {"sha256": draft.sha256, "bytes": draft.size, "logits": list(shape)},
        "checkpoint": origin.passport.to_dict() | {"folder": request.experts_dir},
        "dataset": {
            "name": request.dataset,
            "base": origin.pool.base,
            "images": list(origin.pool.images.shape),
            "classes": origin.pool.classes,
            "sha256": origin.pool.sha256,
        },
        "transform": {"scale": "1/255", **origin.source.transform},
        "calibration": {"mode": request.calibration, "divided_by": divisor},
        "compute": _compute(origin, request),
        "rows": _rows(origin, request),
        # Tensors and pixels cannot settle these checks, so later verifications show them as well.
        "open": [check.to_dict() for id_, check in origin.checks.items() if id_ in OPEN],
        "versions": {
            "relogit": VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "cuda": torch.version.cuda,
        },
        "times": {
            "started_at": rfc3339(origin.started_at),
            "finished_at": rfc3339(finished_at),
            "seconds": round(finished_at - origin.started_at, 3),
        },
    }


def _compute(origin: Origin, request: RecomputeRequest) -> dict[str, Any]:
    numerics = origin.source.numerics
    return {
        "device": device_name(origin.device),
        **asdict(numerics),
        "dtype": DTYPES[request.precision],
        "tf32": request.precision == "tf32",
        "batch": {"asked": request.batch_size, "used": origin.batch, "same_bits_for": numerics.batch},
    }


def _rows(origin: Origin, request: RecomputeRequest) -> dict[str, Any]:
    return {
        "key": origin.source.key,
        "reused": origin.progress.reused,
        "computed": origin.progress.computed,
        "compared": not request.reuse,
        "notes": list(origin.progress.notes),
        "plain_forward": origin.checks["plain-forward"].measured,
    }
