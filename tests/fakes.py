"""Small stand-ins for what a job needs: a server's folders on disk, requests, plans and results.

No computing here: the artifacts are records of files that nobody wrote, which is all that the job store sees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from pydantic import BaseModel

from app.catalog.catalog import Catalog
from app.domain.checks import JobReport, Metrics, ResultReport
from app.domain.errors import RelogitError
from app.domain.jobs import Artifact, Claim, Job, Progress, UnitPlan
from app.domain.numerics import ComputeEnvironment
from app.domain.requests import RecomputeRequest
from app.settings import Settings
from app.store.jobs import JobStore
from app.submission.bodies import RecomputeBody

REPORT = ResultReport("passed", (), Metrics({"accuracy": 0.5}))
PASSED = JobReport("passed")
DONE = Progress(reused=3, computed=5)
"""Of the eight rows that a unit of `submit` has."""
ERROR: dict[str, Any] = {"code": "checkpoint-invalid", "message": "It does not fit.", "details": {}}

DIGITS = """
[digits]
kind = "npz"
root = "digits"
splits = "digits_splits"
experts = "experts/digits"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
[digits.bases]
train = "train"
"""
"""A data set of 3 classes, as `Home.make` lays it out."""


BODY = RecomputeBody(dataset="digits", splits=("val", "test"))
"""A request for `digits`, as it comes in."""

ARITHMETIC = ComputeEnvironment(
    device="cpu",
    model="Test",
    capability="none",
    engine="torch",
    engine_version="1",
    revision="1",
    precisions=("fp32", "bf16"),
)
"""Of a processor that does not exist."""


Body = TypeVar("Body", bound=BaseModel)


def changed(body: Body, **fields: Any) -> Body:
    """The body with other fields, even such as the API would refuse."""
    return body.model_copy(update=fields)


@dataclass(frozen=True)
class Home:
    """A server's data, checkpoint and outputs directories."""

    settings: Settings

    @classmethod
    def make(cls, root: Path) -> Home:
        """A complete data set `digits`: 6 test images, 9 train images, three splits, two experts."""
        home = cls(Settings(data_dir=root / "data", checkpoints_dir=root / "checkpoints", outputs_dir=root / "out"))
        for folder in (home.data / "digits", home.data / "digits_splits", home.experts):
            folder.mkdir(parents=True)
        home.declare(DIGITS)
        home.write_npz("test", 6)
        home.write_npz("train", 9)
        home.write_split("val", [0, 1, 2])
        home.write_split("test", [5, 3, 3, 4])
        home.write_split("train", [8, 0])
        home.write_checkpoint("best_ce.pth")
        home.write_checkpoint("best_bal.pt")
        return home

    @property
    def data(self) -> Path:
        return self.settings.data_dir

    @property
    def experts(self) -> Path:
        return self.settings.checkpoints_dir / "experts" / "digits"

    def catalog(self) -> Catalog:
        return Catalog(self.settings)

    def declare(self, text: str) -> None:
        (self.data / "datasets.toml").write_text(text, encoding="utf-8")

    def write_npz(self, base: str, size: int) -> Path:
        path = self.data / "digits" / f"{base}.npz"
        np.savez(path, images=np.zeros((size, 2, 2, 3), np.uint8), labels=np.arange(size) % 3)
        return path

    def write_split(self, name: str, content: object) -> Path:
        path = self.data / "digits_splits" / f"{name}_indices.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def write_checkpoint(self, name: str) -> Path:
        """A file that the catalog lists; only a worker would look into it."""
        path = self.experts / name
        path.write_bytes(b"weights")
        return path


@contextmanager
def refused(code: str, *fragments: str) -> Iterator[pytest.ExceptionInfo[RelogitError]]:
    """Expect an error of that code, with every fragment in its message."""
    with pytest.raises(RelogitError) as caught:
        yield caught
    assert caught.value.code == code
    missing = [fragment for fragment in fragments if fragment not in caught.value.message]
    assert not missing, f"{missing} not in {caught.value.message!r}"


def job_request(experts: Sequence[str] = ("ce", "bal"), splits: Sequence[str] = ("val", "test")) -> RecomputeRequest:
    """A request as intake would have accepted it."""
    return RecomputeRequest(
        dataset="digits",
        experts=tuple(experts),
        splits=tuple(splits),
        checkpoint_prefix="best_",
        experts_dir="experts/digits",
        splits_dir="digits_splits",
        output_dir="logits_fixed",
        batch_size=128,
        calibration="none",
    )


def submit(store: JobStore, experts: Sequence[str] = ("ce", "bal"), splits: Sequence[str] = ("val", "test")) -> Job:
    """A job of those pairs, eight rows each."""
    request = job_request(experts, splits)
    return store.submit(request, [UnitPlan(e, s, 8, f"sha-of-{s}") for e in experts for s in splits])


def artifact(sha256: str = "a" * 64) -> Artifact:
    """The record of a file."""
    return Artifact(sha256, 1234, "b" * 64, "c" * 64, "d" * 64, "test", {"made_by": "nobody"})


def take(store: JobStore, worker: str = "w") -> Claim:
    """The next claim, which has to be there."""
    claim = store.claim(worker)
    assert claim is not None
    return claim


def finish(store: JobStore, claim: Claim, sha256: str = "a" * 64) -> None:
    """Do everything that is left of a claim, well."""
    if claim.task == "verify":
        store.finish_job(claim, PASSED)
        return
    for unit in claim.open_units:
        store.start_unit(claim, unit.split)
        store.finish_unit(claim, unit.split, artifact(sha256), REPORT, DONE, is_there=lambda: True)
    store.end_task(claim)


def finish_all(store: JobStore) -> None:
    """Do all that is queued, well."""
    while (claim := store.claim("drain")) is not None:
        finish(store, claim)
