"""Verify existing files of logits, whoever made them; at most a sample of rows is recomputed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import Split
from app.domain.checks import (
    MAX_EVIDENCE,
    Check,
    JobReport,
    Result,
    ResultReport,
    Source,
    VerifiedFile,
    error_check,
    skipped,
    verdict_of,
    warning_check,
)
from app.domain.errors import JobError, RequestError
from app.domain.fault_points import reach
from app.domain.jobs import Claim
from app.domain.requests import LogitFile, VerificationRequest
from app.files.disk import file_sha256
from app.files.logit_files import MANIFEST_SUFFIX
from app.files.uploads import Uploads
from worker.cancellation import CancellationPoint
from worker.context import Context
from worker.datasets.class_counts import read_long_tail
from worker.evidence.stored_sample import Resampler, checkpoint_path
from worker.outputs.artifacts import targets_sha256
from worker.outputs.logit_reader import StoredLogits, read_stored, read_targets, with_targets
from worker.tasks.verify import override_checks
from worker.verify.combining import expect_log_probabilities, is_combination
from worker.verify.ground_truth import Truth
from worker.verify.lists import check_overlap
from worker.verify.manifest_checks import Now, check_manifest, open_questions, read_manifest, unreadable_manifest
from worker.verify.provenance import Place, check_preparations, check_provenance, preparation
from worker.verify.report import verify_unit
from worker.verify.sample import CHECK_ID as SAMPLE_ID
from worker.verify.similarity import check_duplicates, check_targets_between_experts, sample_rows
from worker.verify.summary_metrics import no_figures


def check_files(claim: Claim, context: Context) -> None:
    """Check a verification's files and record the job's report.

    Raises:
        RelogitError: the verification cannot be carried out at all.
        Stopped, Cancelled: between two files, or two batches of images.
    """
    request = claim.job.request
    assert isinstance(request, VerificationRequest)
    cancellation = CancellationPoint(claim, context)
    file_checks, results = FileChecks(request, context, cancellation.check), []
    for place, files in groupby(request.files, key=lambda file: (file.expert, file.split)):
        cancellation.check()
        reach("check.file")
        results.append(file_checks.result(*place, list(files)))
    checks = tuple(file_checks.whole())
    complete = all(result.verdict == "passed" for result in results)
    reach("check.verdict")
    context.jobs.finish_job(claim, JobReport(verdict_of(checks, complete=complete), checks, tuple(results)))


class FileChecks:
    """The work of one verification: a report for each (expert, split), then checks of all of them together.

    Raises:
        RelogitError: on construction, files or splits are gone since the request was accepted.
    """

    def __init__(self, request: VerificationRequest, context: Context, check_point: Callable[[], None]) -> None:
        self._request, self._context = request, context
        catalog = context.catalog
        self._dataset = Dataset.model_validate(request.declaration)
        self._root = Uploads(context.settings.uploads_dir).root_of(request, context.settings.outputs_dir)
        self._folder = catalog.splits_folder(self._dataset, request.splits_dir)
        self._long_tail = read_long_tail(catalog, context.pools, self._dataset, self._folder)
        self._labels: dict[str, NDArray[np.int64]] = {}
        self._digests: dict[Path, str | None] = {}
        self._lists: dict[str, dict[str, NDArray[np.int64]]] = {}
        """Base → split → indices, of the splits that were checked."""
        self._targets: dict[str, dict[str, str]] = {}
        """Split → expert → sha256 of the targets."""
        self._samples: dict[str, dict[str, NDArray[Any]]] = {}
        """Split → expert → some rows, to be compared between experts."""
        self._preparations: dict[Place, dict[str, Any]] = {}
        """How the manifests say that logits were made."""
        self._provenance: dict[Place, bool] = {}
        """Whether a manifest or recomputed rows show where a result's rows come from."""
        self._resampler = Resampler(request, self._dataset, context, check_point, self._digest)

    def result(self, expert: str, split_name: str, files: Sequence[LogitFile]) -> Result:
        """Check one result's file; any defect fails a check."""
        names, source = [file.name for file in files], Source()
        if len(names) > 1:
            message = f"{len(names)} files claim to be ({expert}, {split_name}): {', '.join(names)}. Keep one."
            report = _refused(error_check("one-file", False, len(names), 1, message, names[:MAX_EVIDENCE]))
        else:
            try:
                split, truth = self._truth(split_name)
            except RequestError as error:
                report = _refused(error_check("split", False, error.code, "a split of the data set", error.message))
            else:
                report, source = self._report(files[0], split, truth)
        return Result(expert, split_name, report, source=source)

    def _report(self, file: LogitFile, split: Split, truth: Truth) -> tuple[ResultReport, Source]:
        """Check a file; the source names what was readable."""
        path, source = self._root / file.name, Source(None, None, split.base, split.sha256)
        try:
            stored = read_stored(path, len(truth.labels), truth.classes)
            source = replace(source, file=VerifiedFile(file.name, stored.sha256, stored.size))
            if file.targets is not None:
                targets = read_targets(self._root / file.targets, len(truth.labels))
                source = replace(source, targets_file=VerifiedFile(file.targets, targets.sha256, targets.size))
                stored = with_targets(stored, targets)
        except JobError as error:
            right = "an .npz with logits, targets and predictions, or a .pt with one tensor"
            return _refused(error_check("readable", False, error.code, right, error.message)), source
        manifest, checks = self._origin_checks(path, file, stored, split)
        report = verify_unit(stored.arrays, truth, checks, stored.form)
        if is_combination(manifest):
            report = expect_log_probabilities(report)
        self._remember(file, split, stored.arrays, report)
        return report, source

    def whole(self) -> list[Check]:
        """Check names, overrides, targets, similarity, overlaps and provenance across results."""
        others = list(self._request.others)
        message = "All files with arrays are named <expert>/<split>_logits or <split>_targets."
        if others:
            message = (
                f"{len(others)} files are neither named <expert>/<split>_logits, nor are they the targets beside "
                "a <split>_logits.pt, so they were not looked at."
            )
        names = warning_check("names", not others, len(others), 0, message, others[:MAX_EVIDENCE])
        without = [split for split in self._samples if split not in self._targets]
        unknown = [place for place, known in self._provenance.items() if not known]
        no_targets = "The files of {!r} have no targets of their own; those of the split are taken for all."
        catalog, folder_name = self._context.catalog, self._request.experts_dir
        folder = Folder(folder_name, catalog.settings.checkpoints_dir / folder_name) if folder_name else None
        return [
            names,
            *override_checks(self._dataset, self._request.dataset, folder, catalog),
            *(check_targets_between_experts(split, digests) for split, digests in self._targets.items()),
            *(skipped("targets-between-experts", "error", no_targets.format(split)) for split in without),
            *(check_duplicates(split, samples) for split, samples in self._samples.items()),
            *(check for base, lists in self._lists.items() for check in check_overlap(base, lists)),
            *check_preparations(self._preparations),
            *([check_provenance(len(self._provenance), unknown)] if self._provenance else []),
        ]

    def _truth(self, name: str) -> tuple[Split, Truth]:
        catalog = self._context.catalog
        split = catalog.read_split(self._dataset, self._folder, name)
        if split.base not in self._labels:
            self._labels[split.base] = self._context.pools.labels(self._dataset, split.base)
        self._lists.setdefault(split.base, {})[name] = split.indices
        classes = catalog.bases.classes(self._dataset)
        return split, Truth.of(split, self._labels[split.base], classes, self._long_tail, self._request.standards)

    def _origin_checks(
        self, path: Path, file: LogitFile, stored: StoredLogits, split: Split
    ) -> tuple[Mapping[str, Any] | None, list[Check]]:
        """Check the rows' origin by manifest and by recomputing; return both."""
        manifest: Mapping[str, Any] | None = None
        try:
            manifest = read_manifest(path.with_suffix(MANIFEST_SUFFIX))
        except ValueError as error:
            checks = unreadable_manifest(str(error))
        else:
            checkpoint = None
            if manifest is not None:
                self._preparations[file.expert, file.split] = preparation(manifest)
                named = checkpoint_path(self._context.settings.checkpoints_dir, manifest)
                checkpoint = None if named is None else self._digest(named)
            checks = check_manifest(manifest, Now(file.expert, file.split, stored.sha256, split.sha256, checkpoint))
            checks += open_questions(manifest or {})
        if self._request.recompute and is_combination(manifest):
            checks.append(
                skipped(SAMPLE_ID, "error", "A combination comes from no checkpoint; nothing was recomputed.")
            )
        elif self._request.recompute:
            checks.append(self._resampler.check(file, stored.arrays.get("logits"), split, manifest))
        return manifest, checks

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            try:
                self._digests[path] = file_sha256(path)
            except OSError:
                self._digests[path] = None
        return self._digests[path]

    def _remember(
        self, file: LogitFile, split: Split, arrays: Mapping[str, NDArray[Any]], report: ResultReport
    ) -> None:
        """Keep what `whole` compares between results."""
        sound = {check.id for check in report.checks if check.verdict == "passed"}
        compared = any(check.id == SAMPLE_ID and check.verdict != "skipped" for check in report.checks)
        self._provenance[file.expert, file.split] = compared or "manifest-file" in sound
        if {"shapes", "finite"} <= sound:
            rows = sample_rows(split.indices.size)
            self._samples.setdefault(split.name, {})[file.expert] = arrays["logits"][rows]
        if "shapes" in sound and "targets" in arrays and arrays["targets"].dtype.kind in "iu":
            digest = targets_sha256(arrays["targets"])
            self._targets.setdefault(split.name, {})[file.expert] = digest


def _refused(check: Check) -> ResultReport:
    """Build a report whose failed check rules out all others."""
    return ResultReport.of([check], no_figures(f"Not done, because of the check {check.id!r}."))
