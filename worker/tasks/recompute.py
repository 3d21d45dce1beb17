"""Recompute one expert's splits; the checkpoint is loaded once, and rows that splits share are computed once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.bases import CIFAR, FileId, file_id
from app.catalog.checkpoints import check_classes, check_precision_range, check_temperature
from app.catalog.datasets import Dataset
from app.catalog.split_lists import Split
from app.domain.checks import Check
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
from worker.inspections.handlers import pool_answer, same_identity
from worker.outputs.artifacts import Draft, Logits, drafted, publish, read_arrays, targets_sha256
from worker.outputs.manifest import Origin, manifest
from worker.tasks.failed_verification import VerificationFailed
from worker.timings import Timings
from worker.verify.consistency import check_kept_rows, check_precision
from worker.verify.ground_truth import Truth
from worker.verify.report import verify_unit

PROGRESS_EVERY_S, PROGRESS_AT_LEAST_EVERY_S = 0.2, 0.5
"""Between two reports of a unit, at its start and when it takes long: each takes milliseconds of the cores."""


class Recompute:
    """The work of one claim: constructed once for it, then run for each unit.

    Raises:
        RequestError: on construction, the checkpoint, the precision or the data set does not fit.
        JobError: on construction, the checkpoint cannot be loaded.
    """

    def __init__(self, claim: Claim, context: Context) -> None:
        self._timings, self._claim, self._context = Timings(), claim, context
        request, catalog = claim.job.recompute, context.catalog
        self._dataset = Dataset.model_validate(request.declaration)
        self._splits_folder = catalog.splits_folder(self._dataset, request.splits_dir)
        experts_folder = catalog.experts_at(request.experts_dir)
        path = catalog.checkpoint(experts_folder, request.checkpoint_prefix, claim.expert)
        self._dataset.check_override(path.stem, claim.expert)
        identity, question = file_id(path), PassportRequest.of(path, self._dataset, request.weights)
        assumptions = Assumptions(**self._dataset.assumptions(path.stem, request.weights))
        [known] = context.inspections.look_up([question])
        try:
            self._passport = context.model_cache.passport(path, assumptions, known.answer)
        except JobError as error:
            self._record_passport(question, path, error)  # the next request that names it is refused at once
            raise
        if known.answer != self._passport.to_dict():
            self._record_passport(question, path, self._passport.to_dict())
        self._check_unchanged(path.name, identity)
        check_classes(path.name, self._passport.classes, request.dataset, catalog.bases.classes(self._dataset))
        self._divisor: np.float32 | None = None
        if request.calibration == "checkpoint":
            self._divisor = np.float32(check_temperature(path.name, self._passport.temperature))
        check_precision_range(path.name, self._passport.largest_parameter, request.precision)
        names = {"expert": claim.expert, "file": path.name, "dataset": request.dataset}
        transform = self._dataset.transform(path.stem)
        self._expert = ExpertFile(path, assumptions, self._passport, transform, names)
        self._source = LogitSource(self._expert, request.batch_size, request.precision, request.reuse, context)
        self._exact = LogitSource(self._expert, request.batch_size, "fp32", True, context)
        self._origin = Origins(request, self._dataset, self._expert, context)
        self._plain = PlainSample(self._expert, context, request.reuse)
        self._long_tail = read_long_tail(catalog, context.pools, self._dataset, self._splits_folder)
        self._pools: dict[str, Pool] = {}
        self._cancellation = CancellationPoint(claim, context)
        self._timings.lap("load")

    def run(self, unit: Unit) -> Progress:
        """Compute, verify, publish and record a unit; return its progress.

        The written file is read back before it is verified.

        Raises:
            VerificationFailed: a check failed.
            Stopped, Cancelled: between two batches.
        """
        claim, context, timings = self._claim, self._context, self._timings
        started_at = time.time()
        if not context.jobs.start_unit(claim, unit.split):
            raise Cancelled
        split = self._read_split(unit)
        self._origin.refuse_contradicted(split.base, self._pool)
        pool = self._pool(split.base)
        timings.lap("decode")
        logits, progress = self._logits(unit, split, pool)
        timings.lap("rows")
        content = Logits(logits, pool.labels[split.indices])
        with drafted(context.settings.objects_dir, content) as draft:
            timings.lap("write")
            arrays = read_arrays(draft.path, draft.sha256)
            reach("artifact.verifying", claim.job.id, claim.expert, unit.split)
            more = [*self._origin.checks(split, pool, content), *self._row_checks(split, pool, progress)]
            standards = claim.job.recompute.standards
            truth = Truth.of(split, pool.labels, pool.classes, self._long_tail, standards)
            report = verify_unit(arrays, truth, more)
            if report.verdict != "passed":
                self._source.drop_differing(pool, split.indices)
                raise VerificationFailed(report)
            origin = self._origin_of(split, pool, progress, more, started_at)
            timings.lap("verify")
            described = manifest(origin, draft, content.logits.shape)
            path = self._publish(draft, split, described)
        timings.lap("publish")
        # Loading counts for the first unit.
        progress, self._timings = replace(progress, seconds=timings.seconds), Timings()
        artifact = Artifact(
            sha256=draft.sha256,
            size=draft.size,
            targets_sha256=targets_sha256(arrays["targets"]),
            checkpoint_sha256=self._passport.sha256,
            data_sha256=pool.sha256,
            base=pool.base,
            manifest=described,
        )
        context.jobs.finish_unit(claim, unit.split, artifact, report, progress, is_there=path.exists)
        return progress

    def _read_split(self, unit: Unit) -> Split:
        """Read a unit's index list, unchanged since acceptance."""
        split = self._context.catalog.read_split(self._dataset, self._splits_folder, unit.split)
        if split.sha256 != unit.split_sha256:
            message = (
                f"The index file of split {unit.split!r} was changed after the job was accepted. Submit it again."
            )
            raise JobError("split-changed", message)
        base = self._claim.job.recompute.grounds.bases.get(unit.split, split.base)
        if base != split.base:
            raise JobError(
                "split-changed",
                f"The split {unit.split!r} pointed into the base {base!r} when the job was accepted, and now points "
                f"into {split.base!r}: its splits.json was changed. Submit the job again.",
            )
        return split

    def _origin_of(
        self, split: Split, pool: Pool, progress: Progress, checks: Sequence[Check], started_at: float
    ) -> Origin:
        return Origin(
            claim=self._claim,
            passport=self._passport,
            source=self._source.source(pool),
            pool=pool,
            split=split,
            device=self._context.device,
            batch=self._source.batch,
            progress=progress,
            checks={check.id: check for check in checks},
            started_at=started_at,
        )

    def _publish(self, draft: Draft, split: Split, described: dict[str, Any]) -> Path:
        """Publish a verified file; return the job's own copy."""
        settings, claim = self._context.settings, self._claim
        # Another worker may have taken the claim while this one seemed dead: only the holder may publish.
        self._context.jobs.hold(claim)
        folder = settings.outputs_dir / claim.job.recompute.output_dir / claim.expert
        lock = settings.internal_dir / "publish.lock"
        return publish(draft, settings.objects_dir, folder / f"{split.name}_logits.npz", described, lock)

    def _pool(self, base: str) -> Pool:
        """Decode a base once, so that splits have equal images."""
        if base not in self._pools:
            pool = self._context.pools.get(self._dataset, base)
            identity = self._context.catalog.bases.identity(self._dataset, base)
            accepted = self._claim.job.recompute.grounds.data.get(base)
            # Decoding compares the md5 of CIFAR's files with the published one, whatever their times are.
            if accepted is not None and self._dataset.kind not in CIFAR and not same_identity(accepted, identity):
                message = f"The files of base {base!r} were written after the job was accepted. Submit the job again."
                raise JobError("data-changed", message)
            before = self._claim.data_sha256(base)
            if before is not None and before != pool.sha256:
                raise JobError(
                    "data-changed",
                    f"The images or labels of base {base!r} were changed while the job ran: its first units were "
                    f"computed on data of sha256 {before}, now it is {pool.sha256}. Submit the job again.",
                )
            self._pools[base] = pool
            self._record_pool(pool)
        return self._pools[base]

    def _logits(self, unit: Unit, split: Split, pool: Pool) -> tuple[NDArray[np.float32], Progress]:
        """Compute a split's rows [N, C] float32; report progress."""
        source, started, reported = self._source, time.monotonic(), 0.0
        progress = Progress(0, 0)
        for done, computed in source.fill(pool, split.indices):
            self._cancellation.check()
            now = time.monotonic()
            progress = Progress(
                reused=done - computed,
                computed=computed,
                rate=computed / max(now - started, 1e-9) if computed else None,
                notes=(*unit.notes, *source.all_notes(pool)),
            )
            pause = min(max(PROGRESS_EVERY_S, (now - started) / 10), PROGRESS_AT_LEAST_EVERY_S)
            if done < unit.total and now - reported >= pause:
                reported = now
                self._report(unit.split, progress)
        logits = source.take(pool, split.indices)
        return (logits if self._divisor is None else logits / self._divisor), progress

    def _report(self, split: str, progress: Progress) -> None:
        if not self._context.jobs.progress(self._claim, split, progress):
            raise Cancelled

    def _row_checks(self, split: Split, pool: Pool, progress: Progress) -> list[Check]:
        """Check how the rows were computed."""
        request, indices = self._claim.job.recompute, split.indices
        checks = [self._plain.check(self._source, pool, indices, progress.computed, request.precision)]
        if not request.reuse:
            checks.append(check_kept_rows(self._source.differing(pool, indices), indices))
        if request.precision != "fp32":
            checks.append(self._check_flips(request.precision, split, pool, progress))
        return checks

    def _check_flips(self, precision: Precision, split: Split, pool: Pool, progress: Progress) -> Check:
        """Compare rows with exact ones: kept ones, and a sample."""
        kept = self._exact.kept(pool, split.indices)
        missing = np.setdiff1d(split.indices, kept)
        sample = missing[:: -(-missing.size // SAMPLED)] if missing.size else missing
        compared = np.union1d(kept, sample)
        reported = time.monotonic()
        for _ in self._exact.fill(pool, compared):
            self._cancellation.check()
            if time.monotonic() - reported >= PROGRESS_EVERY_S:
                reported = time.monotonic()
                self._report(split.name, progress)
        exact, rows = self._exact.take(pool, compared), self._source.take(pool, compared)
        return check_precision(precision, rows, exact, compared, np.unique(split.indices).size)

    def _record_passport(self, question: PassportRequest, path: Path, answer: dict[str, Any] | JobError) -> None:
        """Keep what a checkpoint holds, unless it was changed meanwhile."""
        lasting = not isinstance(answer, JobError) or answer.code != "checkpoint-missing"
        if lasting and path.exists() and PassportRequest.of(path, self._dataset) == question:
            self._context.inspections.record(question, answer)

    def _record_pool(self, pool: Pool) -> None:
        """Keep the digest of a base's pixels for plans."""
        question, answer = PoolRequest.of(self._dataset, pool.base, self._context.catalog), pool_answer(pool)
        [known] = self._context.inspections.look_up([question])
        if known.answer != answer:
            self._context.inspections.record(question, answer)

    def _check_unchanged(self, file: str, identity: FileId) -> None:
        """Refuse a checkpoint changed since the job was accepted."""
        grounds, expert = self._claim.job.recompute.grounds, self._claim.expert
        accepted, content = grounds.checkpoints.get(expert), grounds.contents.get(expert)
        # A memory map changes content without moving times, and a copy moves times without changing content.
        changed = not same_identity(accepted, identity) if content is None else content != self._passport.sha256
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
