"""Recompute one expert's splits: the checkpoint is loaded once, rows that splits share are computed once."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.bases import CIFAR, FileId, file_id
from app.catalog.checkpoints import check_classes, check_precision_range, check_temperature
from app.catalog.datasets import Dataset
from app.catalog.split_lists import Split
from app.domain.errors import JobError
from app.domain.fault_points import reach
from app.domain.jobs import Artifact, Claim, Progress, Unit
from app.domain.numerics import SAMPLED
from app.domain.requests import Precision
from app.store.inspection_requests.experts import PassportRequest
from app.store.inspection_requests.splits import PoolRequest
from worker.cancellation import CancellationPoint
from worker.compute.logit_source import ExpertFile, LogitSource
from worker.context import Cancelled, Context
from worker.datasets.class_counts import read_long_tail
from worker.datasets.pools import Pool
from worker.evidence.origins import Origins
from worker.evidence.plain_sample import PlainSample
from worker.experts.loading import Assumptions
from worker.inspections.pools import pool_answer
from worker.outputs.artifacts import Logits, drafted, publish, read_arrays, targets_sha256
from worker.outputs.manifest import Origin, manifest
from worker.timings import Timings
from worker.verify.check import Check
from worker.verify.consistency import check_kept_rows, check_precision
from worker.verify.ground_truth import Truth
from worker.verify.report import UnitReport, verify_unit

PROGRESS_EVERY_S, PROGRESS_AT_LEAST_EVERY_S = 0.2, 0.5
"""Between two reports of a unit, at its beginning and when it takes long: each costs the API and its clients some
milliseconds of the cores that compute."""


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
        RequestError: on construction, the checkpoint, the precision or the data set does not fit.
        JobError: on construction, the checkpoint cannot be loaded.
    """

    def __init__(self, claim: Claim, context: Context) -> None:
        self._laps = Timings()
        self._claim = claim
        self._context = context
        request, catalog = claim.job.recompute, context.catalog
        self._dataset = Dataset.model_validate(request.declaration)
        self._splits_folder = catalog.splits_folder(self._dataset, request.splits_dir)
        experts_folder = catalog.experts_at(request.experts_dir)
        path = catalog.checkpoint(experts_folder, request.checkpoint_prefix, claim.expert)
        self._dataset.check_override(path.stem, claim.expert)
        identity, question = file_id(path), PassportRequest.of(path, self._dataset, request.weights)
        assumptions = Assumptions(**self._dataset.assumptions(path.stem, request.weights))
        [fact] = context.inspections.look_up([question])
        try:
            self._passport = context.model_cache.passport(path, assumptions, fact.answer)
        except JobError as error:
            self._tell(question, path, error)  # the next request that names it is refused at once
            raise
        if fact.answer != self._passport.to_dict():
            self._tell(question, path, self._passport.to_dict())
        self._check_unchanged(path.name, identity)
        check_classes(path.name, self._passport.classes, request.dataset, catalog.bases.classes(self._dataset))
        self._divisor: np.float32 | None = None
        if request.calibration == "checkpoint":
            self._divisor = np.float32(check_temperature(path.name, self._passport.temperature))
        check_precision_range(path.name, self._passport.largest_parameter, request.precision)
        seen = {"expert": claim.expert, "file": path.name, "dataset": request.dataset}
        transform = self._dataset.transform(path.stem)
        self._expert = ExpertFile(path, assumptions, self._passport, transform, seen)
        self._supply = LogitSource(self._expert, request.batch_size, request.precision, request.reuse, context)
        self._exact = LogitSource(self._expert, request.batch_size, "fp32", True, context)
        self._origin = Origins(request, self._dataset, self._expert, context)
        self._plain = PlainSample(self._expert, context, request.reuse)
        self._long_tail = read_long_tail(catalog, context.pools, self._dataset, self._splits_folder)
        self._pools: dict[str, Pool] = {}
        self._edge = CancellationPoint(claim, context)
        self._laps.lap("load")

    def run(self, unit: Unit) -> Progress:
        """Compute, write, read back, verify, show and record one unit.

        Returns:
            Where it stands at its end.

        Raises:
            VerificationFailed: a check failed.
            Stopped, Cancelled: at the edge of a batch.
        """
        claim, context, laps = self._claim, self._context, self._laps
        started_at = time.time()
        if not context.jobs.start_unit(claim, unit.split):
            raise Cancelled
        split = context.catalog.read_split(self._dataset, self._splits_folder, unit.split)
        if split.sha256 != unit.split_sha256:
            raise JobError(
                "split-changed",
                f"The index file of split {unit.split!r} was changed after the job was accepted. Submit it again.",
            )
        base = claim.job.recompute.grounds.bases.get(unit.split, split.base)
        if base != split.base:
            raise JobError(
                "split-changed",
                f"The split {unit.split!r} pointed into the base {base!r} when the job was accepted, and now points "
                f"into {split.base!r}: its splits.json was changed. Submit the job again.",
            )
        self._origin.refuse_contradicted(split.base, self._pool)
        pool = self._pool(split.base)
        laps.lap("decode")
        logits, progress = self._logits(unit, split, pool)
        laps.lap("rows")
        content = Logits(logits, pool.labels[split.indices])
        with drafted(context.settings.objects_dir, content) as draft:
            laps.lap("write")
            arrays = read_arrays(draft.path, draft.sha256)
            reach("artifact.verifying", claim.job.id, claim.expert, unit.split)
            more = [*self._origin.checks(split, pool, content), *self._more_checks(split, pool, progress)]
            report = verify_unit(arrays, self._truth(split, pool), more)
            if report.verdict != "passed":
                self._supply.drop_differing(pool, split.indices)
                raise VerificationFailed(report)
            origin = Origin(
                claim=claim,
                passport=self._passport,
                source=self._supply.source(pool),
                pool=pool,
                split=split,
                device=context.device,
                batch=self._supply.batch,
                progress=progress,
                checks={check.id: check for check in more},
                started_at=started_at,
            )
            laps.lap("verify")
            described = manifest(origin, draft, content.logits.shape)
            # Only who still holds the claim may show a file; a worker that was thought dead may wake up here.
            context.jobs.hold(claim)
            folder = context.settings.outputs_dir / claim.job.recompute.output_dir / claim.expert
            lock = context.settings.internal_dir / "publish.lock"
            path = publish(draft, context.settings.objects_dir, folder / f"{unit.split}_logits.npz", described, lock)
        laps.lap("publish")
        progress, self._laps = replace(progress, seconds=laps.seconds), Timings()  # loading counts for the first unit
        artifact = Artifact(
            sha256=draft.sha256,
            size=draft.size,
            targets_sha256=targets_sha256(arrays["targets"]),
            checkpoint_sha256=self._passport.sha256,
            data_sha256=pool.sha256,
            base=pool.base,
            manifest=described,
        )
        context.jobs.finish_unit(claim, unit.split, artifact, report.to_dict(), progress, is_there=path.exists)
        return progress

    def _truth(self, split: Split, pool: Pool) -> Truth:
        standards = self._claim.job.recompute.standards
        return Truth.of(split, pool.labels, pool.classes, self._long_tail, standards)

    def _pool(self, base: str) -> Pool:
        # Taken once: rows, targets and manifest of all splits come from the same images.
        if base not in self._pools:
            pool = self._context.pools.get(self._dataset, base)
            identity = self._context.catalog.bases.identity(self._dataset, base)
            accepted = self._claim.job.recompute.grounds.data.get(base)
            # The published files of CIFAR are told by their content each time that they are decoded.
            if accepted is not None and self._dataset.kind not in CIFAR and not _same(accepted, identity):
                raise JobError(
                    "data-changed",
                    f"The files of base {base!r} were written after the job was accepted. Submit the job again.",
                )
            before = self._claim.data_sha256(base)
            if before is not None and before != pool.sha256:
                raise JobError(
                    "data-changed",
                    f"The images or labels of base {base!r} were changed while the job ran: its first units were "
                    f"computed on data of sha256 {before}, now it is {pool.sha256}. Submit the job again.",
                )
            self._pools[base] = pool
            self._tell_pool(pool)
        return self._pools[base]

    def _logits(self, unit: Unit, split: Split, pool: Pool) -> tuple[NDArray[np.float32], Progress]:
        supply, started, reported = self._supply, time.monotonic(), 0.0
        progress = Progress(0, 0)
        for there, computed in supply.fill(pool, split.indices):
            self._edge.check()
            now = time.monotonic()
            progress = Progress(
                reused=there - computed,
                computed=computed,
                rate=computed / max(now - started, 1e-9) if computed else None,
                notes=(*unit.notes, *supply.all_notes(pool)),
            )
            pause = min(max(PROGRESS_EVERY_S, (now - started) / 10), PROGRESS_AT_LEAST_EVERY_S)
            if there < unit.total and now - reported >= pause:
                reported = now
                if not self._context.jobs.progress(self._claim, unit.split, progress):
                    raise Cancelled
        logits = supply.take(pool, split.indices)
        return (logits if self._divisor is None else logits / self._divisor), progress

    def _more_checks(self, split: Split, pool: Pool, progress: Progress) -> list[Check]:
        request = self._claim.job.recompute
        computed = progress.computed
        more = [self._plain.check(self._supply, pool, split.indices, computed, request.precision)]
        if not request.reuse:
            more.append(check_kept_rows(self._supply.differing(pool, split.indices), split.indices))
        if request.precision != "fp32":
            more.append(self._check_flips(request.precision, split, pool, progress))
        return more

    def _check_flips(self, precision: Precision, split: Split, pool: Pool, progress: Progress) -> Check:
        kept = self._exact.kept(pool, split.indices)
        others = np.setdiff1d(split.indices, kept)
        sample = others[:: -(-others.size // SAMPLED)] if others.size else others
        compared = np.union1d(kept, sample)
        reported = time.monotonic()
        for _ in self._exact.fill(pool, compared):
            self._edge.check()
            if time.monotonic() - reported >= PROGRESS_EVERY_S:
                reported = time.monotonic()
                if not self._context.jobs.progress(self._claim, split.name, progress):
                    raise Cancelled
        exact, found = self._exact.take(pool, compared), self._supply.take(pool, compared)
        return check_precision(precision, found, exact, compared, np.unique(split.indices).size)

    def _tell(self, question: PassportRequest, path: Path, answer: dict[str, Any] | JobError) -> None:
        # Only what is true of the file as it was when the question was put, and will be tomorrow.
        lasting = not isinstance(answer, JobError) or answer.code != "checkpoint-missing"
        if lasting and path.exists() and PassportRequest.of(path, self._dataset) == question:
            self._context.inspections.record(question, answer)

    def _tell_pool(self, pool: Pool) -> None:
        # A plan goes by what is on record, and another release of a decoder may give other pixels.
        question, answer = PoolRequest.of(self._dataset, pool.base, self._context.catalog), pool_answer(pool)
        [fact] = self._context.inspections.look_up([question])
        if fact.answer != answer:
            self._context.inspections.record(question, answer)

    def _check_unchanged(self, file: str, identity: FileId) -> None:
        grounds, expert = self._claim.job.recompute.grounds, self._claim.expert
        accepted, content = grounds.checkpoints.get(expert), grounds.contents.get(expert)
        # A memory map changes content without moving times, and a copy moves times without changing content.
        changed = not _same(accepted, identity) if content is None else content != self._passport.sha256
        if accepted is not None and changed:
            raise JobError(
                "checkpoint-changed",
                f"{file} was written after the job was accepted, and its content is not known to be the same. "
                "Submit the job again.",
            )
        # Without this, a job resumed after the file was replaced would mix two checkpoints.
        before = self._claim.checkpoint_sha256
        if before is not None and before != self._passport.sha256:
            raise JobError(
                "checkpoint-changed",
                f"{file} was changed while the job ran: its first units were computed with sha256 {before}, the file "
                f"now has {self._passport.sha256}. Submit the job again.",
            )


def _same(accepted: object, now: object) -> bool:
    """Compare identities of files, of which one has been through JSON, which has no tuples."""
    return json.dumps(accepted) == json.dumps(now)
