"""The manifest of an artifact: which checkpoint, split, pixels and arithmetic its rows come from."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from app import VERSION
from app.catalog import Split
from app.datasets import Transform
from app.jobs import Claim
from app.times import rfc3339
from worker.artifacts import Logits
from worker.device import device_name
from worker.experts import Passport
from worker.pools import Pool

SCHEMA = 1


@dataclass(frozen=True)
class Origin:
    """Where a unit's rows come from."""

    claim: Claim
    passport: Passport
    transform: Transform
    pool: Pool
    split: Split
    device: torch.device
    batch_size: int
    """Images a physical batch, as it was at the end."""
    notes: tuple[str, ...]
    started_at: float
    """Seconds since the epoch."""


def manifest(origin: Origin, content: Logits, sha256: str, size: int) -> dict[str, Any]:
    """JSON-able. Everything but `job` and `times` is the same whenever the same is computed again."""
    request = origin.claim.job.request
    finished_at = time.time()
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
        "file": {"sha256": sha256, "bytes": size, "logits": list(content.logits.shape)},
        "checkpoint": origin.passport.to_dict() | {"folder": request.experts_dir},
        "dataset": {
            "name": request.dataset,
            "base": origin.pool.base,
            "images": list(origin.pool.images.shape),
            "classes": origin.pool.classes,
            "sha256": origin.pool.sha256,
        },
        "transform": {"scale": "1/255", **origin.transform.model_dump(mode="json")},
        "calibration": {"mode": request.calibration, "divided_by": divisor},
        "compute": {
            "device": device_name(origin.device),
            "dtype": "float32",
            "tf32": False,
            "batch": {"asked": request.batch_size, "used": origin.batch_size},
            "notes": list(origin.notes),
        },
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
