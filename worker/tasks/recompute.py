"""Recompute one expert's splits: the checkpoint is loaded once, rows that splits share are computed once."""

from __future__ import annotations

import hashlib
import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.catalog import Split, check_classes
from app.errors import JobError
from app.intake import check_temperature, passport_question
from app.jobs import Artifact, Claim, Unit
from app.objects import object_path
from worker.artifacts import Logits, publish, read_object, write_object
from worker.context import Cancelled, Context, Stopped
from worker.experts import Assumptions
from worker.infer import Batching, Pass, forward_rows
from worker.long_tail import read_long_tail
from worker.manifest import Origin, manifest
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
        self._dataset = catalog.dataset(request.dataset)
        self._splits_folder = catalog.splits_folder(self._dataset, request.splits_dir)
        experts_folder = catalog.experts_at(request.experts_dir)
        path = catalog.checkpoint(experts_folder, request.checkpoint_prefix, claim.expert)
        question = passport_question(path, self._dataset, claim.expert)
        override = self._dataset.override(claim.expert)
        try:
            resident = context.residents.get(path, Assumptions(override.option_a_padding, override.max_pool))
        except JobError as error:
            context.facts.record(question, error)  # the next request that names it is refused at once
            raise
        self._passport = resident.passport
        context.facts.record(question, self._passport.to_dict())
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
        pool = context.pools.get(self._dataset, split.base)
        content = Logits(self._logits(unit, split), pool.labels[split.indices])
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
        publish(path, folder / f"{unit.split}_logits.npz", described)
        targets_sha256 = hashlib.sha256(arrays["targets"].astype("<i8").tobytes()).hexdigest()
        artifact = Artifact(sha256, size, targets_sha256, self._passport.sha256, described)
        context.jobs.finish_unit(claim, unit.split, artifact, report.to_dict(), is_there=path.exists)

    def _logits(self, unit: Unit, split: Split) -> NDArray[np.float32]:
        pool = self._context.pools.get(self._dataset, split.base)
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
            notes = self._batching.notes
            if not self._context.jobs.progress(self._claim, unit.split, done=done, rate=rate, notes=notes):
                raise Cancelled
        logits = rows.take(split.indices)
        return logits if self._divisor is None else logits / self._divisor

    def _check_unchanged(self, file: str) -> None:
        # Without this, a job resumed after somebody replaced the file would mix two checkpoints.
        before = self._claim.checkpoint_sha256
        if before is not None and before != self._passport.sha256:
            raise JobError(
                "checkpoint-changed",
                f"{file} was changed while the job ran: its first units were computed with sha256 {before}, the file "
                f"now has {self._passport.sha256}. Submit the job again.",
            )
