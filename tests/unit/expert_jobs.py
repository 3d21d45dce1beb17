"""An installation with verified logits of three experts, and the worker that combines them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.combine_requests import GatingRequest
from app.domain.job_kinds import TASKS, Task
from app.domain.jobs import Artifact, Claim, Job, JobOptions, JobState, UnitPlan
from app.domain.outcomes import GatingOutcome
from app.files.artifacts import artifact_path
from app.files.uploads import Uploads
from app.store.database import Database
from app.store.jobs import JobStore
from app.submission.bodies import VerificationBody
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody
from app.submission.gating import plan_gating
from app.submission.rejection import plan_evaluation, plan_rejector
from app.submission.verification import plan_verification
from tests.computing import worker_context
from tests.fakes import DONE, PASSED, REPORT, Home, job_request
from worker import loop
from worker.context import Context

CLASSES = 3
LISTS = {"tunev": range(150), "val": range(150, 306), "test": range(306, 540)}
"""Split → indices into the base `test`, whose label is the index modulo 3; no two are equally long."""
COUNTS = [60, 30, 3]
EXPERTS = ("ce", "bal", "adj")


def expert_logits(expert: str, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """[N, C] of an expert that is right on many rows, and favours a class of its own."""
    favourite = EXPERTS.index(expert) % CLASSES
    rng = np.random.default_rng([favourite, len(labels)])
    logits = rng.normal(0, 1.5, (len(labels), CLASSES))
    logits[np.arange(len(labels)), labels] += 1.5
    logits[:, favourite] += 0.7
    return logits.astype(np.float32)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@dataclass(frozen=True)
class ExpertJobs:
    """Submits jobs as the API does, and does them as a worker does."""

    home: Home
    context: Context

    @classmethod
    def make(cls, home: Home, database: Database, lists: Mapping[str, Any] = LISTS) -> ExpertJobs:
        home.write_npz("test", 600)
        for name, indices in lists.items():
            home.write_split(name, list(indices))
        home.settings.internal_dir.mkdir(parents=True, exist_ok=True)
        site = cls(home, worker_context(home.settings, database))
        site.write_counts(COUNTS)
        return site

    @property
    def store(self) -> JobStore:
        return self.context.jobs

    @property
    def outputs(self) -> Path:
        return self.home.settings.outputs_dir

    def write_counts(self, counts: list[int]) -> Path:
        path = self.home.data / "digits_splits" / "train_class_counts.json"
        path.write_text(json.dumps(counts))
        return path

    def content(self, expert: str, split: str, **changes: Any) -> bytes:
        """The file of an expert's logits of a split."""
        labels = np.asarray(self.indices(split)) % CLASSES
        logits = expert_logits(expert, labels)
        arrays = {"logits": logits, "targets": labels, "predictions": logits.argmax(axis=1)} | changes
        return npz(**arrays)

    def indices(self, split: str) -> list[int]:
        return list(json.loads(self.list_path(split).read_text()))

    def list_path(self, split: str) -> Path:
        return self.home.data / "digits_splits" / f"{split}_indices.json"

    def recomputed(
        self,
        experts: tuple[str, ...] = EXPERTS,
        splits: tuple[str, ...] = tuple(LISTS),
        contents: Mapping[str, bytes] | None = None,
    ) -> str:
        """Id of a recompute job that succeeded; `contents` are other files, by expert_split."""
        contents = contents or {}
        digests = {split: sha256(self.list_path(split).read_bytes()).hexdigest() for split in splits}
        units = [UnitPlan(e, s, len(self.indices(s)), digests[s]) for e in experts for s in splits]
        job = self.store.submit(job_request(experts, splits), units)
        # The declaration as a real request has it.
        declaration = self.home.catalog().dataset("digits").model_dump(mode="json")
        with self.store._database.transaction() as db:
            db.execute(
                "UPDATE jobs SET request = json_set(request, '$.declaration', json(?)) WHERE id = ?",
                (json.dumps(declaration), job.id),
            )
        while (claim := self.claim(job.id)) is not None:
            if claim.task == "verify":
                self.store.finish_job(claim, PASSED)
                break
            for unit in claim.open_units:
                content = contents.get(f"{unit.expert}_{unit.split}") or self.content(unit.expert, unit.split)
                artifact = self.publish(content)
                self.store.start_unit(claim, unit.split)
                self.store.finish_unit(claim, unit.split, artifact, REPORT, DONE, is_there=lambda: True)
            self.store.end_task(claim)
        return job.id

    def publish(self, content: bytes) -> Artifact:
        digest = sha256(content).hexdigest()
        path = artifact_path(self.home.settings.objects_dir, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Artifact(digest, len(content), "b" * 64, "c" * 64, "d" * 64, "test", {})

    def claim(self, job_id: str, tasks: tuple[Task, ...] = tuple(TASKS)) -> Claim | None:
        """The next claim, which has to be that job's."""
        claim = self.store.claim("w", tasks=tasks)
        assert claim is None or claim.job.id == job_id
        return claim

    def gating(self, **body: Any) -> Job:
        """A gating that was accepted."""
        request, units = plan_gating(GatingBody.model_validate(body), self.home.catalog(), self.store)
        return self.store.submit(request, units)

    def plan(self, **body: Any) -> GatingRequest:
        return plan_gating(GatingBody.model_validate(body), self.home.catalog(), self.store)[0]

    def rejector(self, **body: Any) -> Job:
        return self.store.submit(plan_rejector(RejectorBody.model_validate(body), self.store))

    def evaluation(self, **body: Any) -> Job:
        request = plan_evaluation(EvaluationBody.model_validate(body), self.home.catalog(), self.store)
        return self.store.submit(request)

    def verification(self, **body: Any) -> Job:
        """A verification that was carried out."""
        body = {"dataset": "digits", **body}
        request = plan_verification(
            VerificationBody.model_validate(body), self.home.catalog(), Uploads(self.home.settings.uploads_dir)
        )
        return self.done(self.store.submit(request, terms=JobOptions()))

    def done(self, job: Job, state: JobState = JobState.SUCCEEDED) -> Job:
        """The job after a worker has done all of it."""
        while (claim := self.store.claim("w")) is not None:
            loop._run(claim, self.context)
        ended = self.store.get(job.id)
        problems = [unit.error for unit in ended.units] + [ended.verification and ended.verification.error]
        assert ended.state is state, problems
        return ended

    def fitted(self, **body: Any) -> Job:
        """A gating that succeeded; with `uniform` alone, unless the body says otherwise."""
        return self.done(self.gating(**{"method": "uniform", **body}))

    def failure(self, job: Job) -> str:
        """The code that a job fails with: of its units, which fail alike, or of its only task."""
        ended = self.done(job, JobState.FAILED)
        if ended.units:
            [code] = {(unit.error or {}).get("code") for unit in ended.units}
            return str(code)
        assert ended.verification is not None
        assert ended.verification.error is not None
        return str(ended.verification.error["code"])


def outcome_of(job: Job) -> GatingOutcome:
    assert isinstance(job.outcome, GatingOutcome)
    return job.outcome


def verdicts_of(job: Job) -> dict[str, str]:
    """Check id → verdict, of the job's own checks; a failed one counts where several have the id."""
    assert job.verification is not None
    verdicts: dict[str, str] = {}
    for check in job.verification.checks:
        if verdicts.get(check.id) != "failed":
            verdicts[check.id] = check.verdict
    return verdicts


def digests_of(*folders: Path) -> dict[str, str]:
    """sha256 by path of all files but manifests, which name their job and time."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [path for path in paths if not path.name.endswith("_logits.json")]
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in kept}
