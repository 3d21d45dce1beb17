"""Recompute one expert's splits: the checkpoint is loaded once, rows that splits share are computed once."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog import Split, check_classes, check_temperature
from app.datasets import Dataset
from app.errors import JobError
from app.facts import Question
from app.jobs import Artifact, Claim, Unit
from app.objects import object_path
from app.questions import passport_question
from worker.artifacts import Logits, publish, read_object, write_object
from worker.context import Cancelled, Context, Stopped
from worker.experts import Assumptions
from worker.infer import Batching, Pass, forward_rows
from worker.long_tail import read_long_tail
from worker.manifest import Origin, manifest
from worker.pools import Pool
from worker.rows import Rows
from worker.verify.report import Truth, UnitReport, verify_unit

PROGRESS_EVERY_S = 0.2


class VerificationFailed(JobError):
    """A unit's file was written, but a check failed; it is not shown under `outputs/`."""

    def __init__(self, report: UnitReport) -> None:
        failed = [check for check in report.checks if check.verdict == "failed" and check.level == "error"]
        super().__init__(
            "verification-failed",
            " ".join(f"{check.id}: {check.message}" for check in failed),
            checks=[check.id for check in failed],
        )
        self.report = report


class Recompute:
    """One claim's work. Made once for a claim, then asked for one unit after the other.

    Raises:
        RequestError: on construction, the checkpoint or the data set does not fit.
        JobError: on construction, the checkpoint cannot be loaded.
    """

    def __init__(self, claim: Claim, context: Context) -> None:
        self._claim = claim
        self._context = context
        request, catalog = claim.job.request, context.catalog
        self._dataset = Dataset.model_validate(request.declaration)
        self._splits_folder = catalog.splits_folder(self._dataset, request.splits_dir)
        experts_folder = catalog.experts_at(request.experts_dir)
        path = catalog.checkpoint(experts_folder, request.checkpoint_prefix, claim.expert)
        question = passport_question(path, self._dataset, claim.expert)
        override = self._dataset.override(claim.expert)
        try:
            resident = context.residents.get(path, Assumptions(**override.assumptions()))
        except JobError as error:
            self._tell(question, path, error)  # the next request that names it is refused at once
            raise
        self._passport = resident.passport
        self._tell(question, path, self._passport.to_dict())
        self._check_unchanged(path.name)
        check_classes(path.name, self._passport.classes, request.dataset, catalog.bases.classes(self._dataset))
        self._divisor: np.float32 | None = None
        if request.calibration == "checkpoint":
            self._divisor = np.float32(check_temperature(path.name, self._passport.temperature))
        self._forward = Pass(
            resident.network, self._dataset.transform(claim.expert), self._passport.classes, context.device
        )
        self._batching = Batching.of(request.batch_size, context.device)
        self._long_tail = read_long_tail(catalog, context.pools, self._dataset, self._splits_folder)
        self._rows: dict[str, Rows] = {}
        self._pools: dict[str, Pool] = {}

    def run(self, unit: Unit) -> None:
        """Compute, write, read back, verify, show and record one unit.

        Raises:
            VerificationFailed: a check failed.
            Stopped, Cancelled: at the edge of a batch.
        """
        claim, context = self._claim, self._context
        started_at = time.time()
        context.jobs.start_unit(claim, unit.split)
        split = context.catalog.read_split(self._dataset, self._splits_folder, unit.split)
        if split.sha256 != unit.split_sha256:
            raise JobError(
                "split-changed",
                f"The index file of split {unit.split!r} was changed after the job was accepted. Submit it again.",
            )
        pool = self._pool(split.base)
        content = Logits(self._logits(unit, split, pool), pool.labels[split.indices])
        sha256, size = write_object(context.settings.objects_dir, content)
        path = object_path(context.settings.objects_dir, sha256)
        arrays = read_object(path, sha256)
        truth = Truth(
            labels=pool.labels[split.indices],
            classes=pool.classes,
            train_counts=self._long_tail.counts,
            weights=self._long_tail.weights,
            counts_reason=self._long_tail.counts_reason,
            weights_reason=self._long_tail.weights_reason,
        )
        report = verify_unit(arrays, truth)
        if report.verdict != "passed":
            raise VerificationFailed(report)
        origin = Origin(
            claim=claim,
            passport=self._passport,
            transform=self._forward.transform,
            pool=pool,
            split=split,
            device=context.device,
            batch_size=self._batching.size,
            notes=tuple(self._batching.notes),
            started_at=started_at,
        )
        described = manifest(origin, content, sha256, size)
        # Only who still holds the claim may show a file; a worker that was thought dead may wake up here.
        context.jobs.hold(claim)
        folder = context.settings.outputs_dir / claim.job.request.output_dir / claim.expert
        lock = context.settings.internal_dir / "publish.lock"
        publish(path, folder / f"{unit.split}_logits.npz", described, lock)
        targets_sha256 = hashlib.sha256(arrays["targets"].astype("<i8").tobytes()).hexdigest()
        artifact = Artifact(sha256, size, targets_sha256, self._passport.sha256, pool.sha256, pool.base, described)
        notes = [*unit.notes, *self._batching.notes]
        context.jobs.finish_unit(claim, unit.split, artifact, report.to_dict(), notes=notes, is_there=path.exists)

    def _pool(self, base: str) -> Pool:
        # Taken once: rows, targets and manifest of all splits come from the same images.
        if base not in self._pools:
            pool = self._context.pools.get(self._dataset, base)
            before = self._claim.data_sha256(base)
            if before is not None and before != pool.sha256:
                raise JobError(
                    "data-changed",
                    f"The images or labels of base {base!r} were changed while the job ran: its first units were "
                    f"computed on data of sha256 {before}, now it is {pool.sha256}. Submit the job again.",
                )
            self._pools[base] = pool
        return self._pools[base]

    def _logits(self, unit: Unit, split: Split, pool: Pool) -> NDArray[np.float32]:
        if split.base not in self._rows:
            compute = partial(forward_rows, self._forward, pool.images, batching=self._batching)
            self._rows[split.base] = Rows(compute, len(pool.images), pool.classes)
        rows = self._rows[split.base]
        before, started, reported = rows.count(split.indices), time.monotonic(), 0.0
        for done in rows.fill(split.indices):
            now = time.monotonic()
            if self._context.stopping():
                raise Stopped
            if now - reported < PROGRESS_EVERY_S:
                continue
            rate, reported = (done - before) / max(now - started, 1e-9), now
            notes = [*unit.notes, *self._batching.notes]
            if not self._context.jobs.progress(self._claim, unit.split, done=done, rate=rate, notes=notes):
                raise Cancelled
        logits = rows.take(split.indices)
        return logits if self._divisor is None else logits / self._divisor

    def _tell(self, question: Question, path: Path, answer: dict[str, Any] | JobError) -> None:
        # Only what is true of the file as it was when the question was put, and will be tomorrow.
        lasting = not isinstance(answer, JobError) or answer.code != "checkpoint-missing"
        if lasting and path.exists() and passport_question(path, self._dataset, self._claim.expert) == question:
            self._context.facts.record(question, answer)

    def _check_unchanged(self, file: str) -> None:
        # Without this, a job resumed after somebody replaced the file would mix two checkpoints.
        before = self._claim.checkpoint_sha256
        if before is not None and before != self._passport.sha256:
            raise JobError(
                "checkpoint-changed",
                f"{file} was changed while the job ran: its first units were computed with sha256 {before}, the file "
                f"now has {self._passport.sha256}. Submit the job again.",
            )
