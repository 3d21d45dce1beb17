"""What tests of verifying files share: right files of an installation, and what their verification records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.jobs import JobState
from app.domain.requests import VerificationRequest
from app.files.logit_files import find_logit_files
from app.store.database import Database
from tests.computing import worker_context
from tests.fakes import Home, take
from worker.context import Context
from worker.tasks.check import check_files

Results = dict[tuple[str, str], dict[str, Any]]

SPLITS = {"val": [0, 1, 2], "test": [5, 3, 3, 4]}
"""Of `Home.make`; labels are the index modulo 3."""


def arrays_of(split: str, seed: int = 0, classes: int = 3) -> dict[str, Any]:
    labels = np.array(SPLITS[split]) % 3
    logits = np.random.default_rng(seed).random((len(labels), classes), dtype=np.float32)
    logits[np.arange(len(labels)), labels] += 2
    return {"logits": logits, "targets": labels, "predictions": logits.argmax(axis=1)}


def write_logits(folder: Path, expert: str, split: str, **changes: Any) -> Path:
    path = folder / expert / f"{split}_logits.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(expert.encode())
    np.savez(path, **{**arrays_of(split, seed), **changes})
    return path


def manifest_of(home: Home, path: Path, **changes: Any) -> dict[str, Any]:
    """What a manifest says of a file of (ce, val) that was made with everything as it is now."""

    def digest(file: Path) -> str:
        return sha256(file.read_bytes()).hexdigest()

    checkpoint = {"folder": "experts/digits", "file": "best_ce.pth", "sha256": digest(home.experts / "best_ce.pth")}
    return {
        "expert": "ce",
        "split": {"name": "val", "sha256": digest(home.data / "digits_splits" / "val_indices.json")},
        "file": {"sha256": digest(path)},
        "checkpoint": checkpoint,
    } | changes


@dataclass(frozen=True)
class Outputs:
    """A folder of logits in an installation's outputs, and the worker that verifies it."""

    home: Home
    context: Context
    folder: Path

    @classmethod
    def make(cls, home: Home, database: Database) -> Outputs:
        folder = home.settings.outputs_dir / "logits_fixed"
        folder.mkdir(parents=True)
        return cls(home, worker_context(home.settings, database), folder)

    def write(self, expert: str, split: str, **changes: Any) -> Path:
        return write_logits(self.folder, expert, split, **changes)

    def request(self, folder: Path | None = None) -> VerificationRequest:
        """To verify what lies there now; without a folder, in the one of this value."""
        folder = folder or self.folder
        found = find_logit_files(folder, folder.name)
        return VerificationRequest(
            dataset="digits",
            splits_dir="digits_splits",
            path=folder.relative_to(self.home.settings.outputs_dir).as_posix(),
            upload=None,
            files=found.files,
            others=found.others,
            declaration=self.home.catalog().dataset("digits").model_dump(mode="json"),
        )

    def check(self, request: VerificationRequest | None = None) -> tuple[dict[str, Any], Results]:
        """What was recorded, whole and by unit, after what every record owes: an ended job, and strict JSON."""
        jobs = self.context.jobs
        job = jobs.submit(request or self.request())
        check_files(take(jobs), self.context)
        done = jobs.get(job.id)
        assert done.state is JobState.SUCCEEDED
        assert done.verification is not None
        report = done.verification.to_dict()
        json.dumps(report, allow_nan=False, ensure_ascii=False).encode()  # no lone surrogates either
        return report, {(result["expert"], result["split"]): result for result in report["results"]}


def failed_checks(result: dict[str, Any], level: str = "error") -> list[str]:
    return [check["id"] for check in result["checks"] if (check["verdict"], check["level"]) == ("failed", level)]


def sentence(result: dict[str, Any], check_id: str) -> str:
    (check,) = (check for check in result["checks"] if check["id"] == check_id)
    return str(check["message"])
