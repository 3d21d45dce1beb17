"""Verify files of logits that are there already, whoever made them. Only a sample of rows is ever computed anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import Split
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
from worker.verify.check import MAX_EVIDENCE, Check, error_check, skipped, warning_check
from worker.verify.criteria import check_overrides
from worker.verify.cross_expert import check_targets_between_experts
from worker.verify.ground_truth import Truth
from worker.verify.lists import check_overlap
from worker.verify.manifest_checks import Now, check_manifest, open_questions, read_manifest, unreadable_manifest
from worker.verify.provenance import Place, check_preparations, check_provenance, preparation
from worker.verify.report import UnitReport, verify_unit
from worker.verify.sample import CHECK_ID as SAMPLE_ID
from worker.verify.similarity import check_duplicates, sample_rows
from worker.verify.summary_metrics import no_figures


def check_files(claim: Claim, context: Context) -> None:
    """Check every file of a verification and record what was found.

    Raises:
        RelogitError: the verification cannot be carried out at all.
        Stopped, Cancelled: between two files, or two batches of images.
    """
    request = claim.job.request
    assert isinstance(request, VerificationRequest)
    edge = CancellationPoint(claim, context)
    checks, results = FileChecks(request, context, edge.check), []
    for unit, files in groupby(request.files, key=lambda file: (file.expert, file.split)):
        edge.check()
        reach("check.file")
        results.append(checks.result(*unit, list(files)))
    whole = checks.whole()
    failed = any(check.fatal for check in whole) or any(result["verdict"] == "failed" for result in results)
    found = {"verdict": "failed" if failed else "passed", "checks": [check.to_dict() for check in whole]}
    reach("check.verdict")
    context.jobs.finish_job(claim, found | {"results": results})


class FileChecks:
    """One verification's work. Made once for it, asked for one (expert, split) after the other, then for the whole.

    Raises:
        RelogitError: on construction, files or splits are gone since the request was accepted.
    """

    def __init__(self, request: VerificationRequest, context: Context, cross: Callable[[], None]) -> None:
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
        """Split → expert → some rows, for what is compared between experts."""
        self._preparations: dict[Place, dict[str, Any]] = {}
        """What the manifests state of how logits were made."""
        self._looked_at: dict[Place, bool] = {}
        """Whether it is on record, or was computed anew, where its rows come from."""
        self._resampler = Resampler(request, self._dataset, context, cross, self._digest)

    def result(self, expert: str, split_name: str, files: Sequence[LogitFile]) -> dict[str, Any]:
        """What was found in the file of a unit. Whatever is wrong with it is a failed check of it alone."""
        found: dict[str, Any] = {"expert": expert, "split": split_name, "error": None}
        found |= {"file": None, "targets_file": None}
        names = [file.name for file in files]
        if len(names) > 1:
            message = (
                f"{len(names)} files claim to be ({expert}, {split_name}): {', '.join(names)}. Keep one of them."
            )
            return found | _refused(error_check("one-file", False, len(names), 1, message, names[:MAX_EVIDENCE]))
        try:
            split, truth = self._truth(split_name)
        except RequestError as error:
            return found | _refused(error_check("split", False, error.code, "a split of the data set", error.message))
        found |= {"base": split.base, "split_sha256": split.sha256}
        return found | self._report(files[0], split, truth)

    def _report(self, file: LogitFile, split: Split, truth: Truth) -> dict[str, Any]:
        path, found = self._root / file.name, dict[str, Any]()
        try:
            stored = read_stored(path, len(truth.labels), truth.classes)
            found["file"] = {"name": file.name, "sha256": stored.sha256, "bytes": stored.size}
            if file.targets is not None:
                targets = read_targets(self._root / file.targets, len(truth.labels))
                found["targets_file"] = {"name": file.targets, "sha256": targets.sha256, "bytes": targets.size}
                stored = with_targets(stored, targets)
        except JobError as error:
            right = "an .npz with logits, targets and predictions, or a .pt with one tensor"
            return found | _refused(error_check("readable", False, error.code, right, error.message))
        report = verify_unit(stored.arrays, truth, self._origin_checks(path, file, stored, split), stored.form)
        self._remember(file, split, stored.arrays, report)
        return found | report.to_dict()

    def whole(self) -> list[Check]:
        """What no file can show alone."""
        others = list(self._request.others)
        unnamed = (
            f"{len(others)} files are neither named <expert>/<split>_logits, nor are they the targets beside a "
            "<split>_logits.pt, so they were not looked at."
        )
        message = unnamed if others else "All files with arrays are named <expert>/<split>_logits or <split>_targets."
        names = warning_check("names", not others, len(others), 0, message, others[:MAX_EVIDENCE])
        without = [split for split in self._samples if split not in self._targets]
        unknown = [place for place, known in self._looked_at.items() if not known]
        no_targets = "The files of {!r} have no targets of their own; those of the split are taken for all."
        declared, unused = self._dataset.overrides, self._unused_overrides()
        overrides = [check_overrides(self._request.dataset, len(declared), unused)] if declared else []
        return [
            names,
            *overrides,
            *(check_targets_between_experts(split, digests) for split, digests in self._targets.items()),
            *(skipped("targets-between-experts", "error", no_targets.format(split)) for split in without),
            *(check_duplicates(split, samples) for split, samples in self._samples.items()),
            *(check for base, lists in self._lists.items() for check in check_overlap(base, lists)),
            *check_preparations(self._preparations),
            *([check_provenance(len(self._looked_at), unknown)] if self._looked_at else []),
        ]

    def _unused_overrides(self) -> list[str]:
        catalog, name = self._context.catalog, self._request.experts_dir
        folder = None if name is None else Folder(name, catalog.settings.checkpoints_dir / name)
        return catalog.unused_overrides(self._dataset, folder)

    def _truth(self, name: str) -> tuple[Split, Truth]:
        catalog = self._context.catalog
        split = catalog.read_split(self._dataset, self._folder, name)
        if split.base not in self._labels:
            self._labels[split.base] = self._context.pools.labels(self._dataset, split.base)
        self._lists.setdefault(split.base, {})[name] = split.indices
        classes = catalog.bases.classes(self._dataset)
        return split, Truth.of(split, self._labels[split.base], classes, self._long_tail, self._request.standards)

    def _origin_checks(self, path: Path, file: LogitFile, stored: StoredLogits, split: Split) -> list[Check]:
        """Checks of where the rows come from: by the manifest, and by rows that are computed anew."""
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
        if self._request.recompute:
            checks.append(self._resampler.check(file, stored.arrays.get("logits"), split, manifest))
        return checks

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            try:
                self._digests[path] = file_sha256(path)
            except OSError:
                self._digests[path] = None
        return self._digests[path]

    def _remember(
        self, file: LogitFile, split: Split, arrays: Mapping[str, NDArray[Any]], report: UnitReport
    ) -> None:
        sound = {check.id for check in report.checks if check.verdict == "passed"}
        compared = any(check.id == SAMPLE_ID and check.verdict != "skipped" for check in report.checks)
        self._looked_at[file.expert, file.split] = compared or "manifest-file" in sound
        if {"shapes", "finite"} <= sound:
            rows = sample_rows(split.indices.size)
            self._samples.setdefault(split.name, {})[file.expert] = arrays["logits"][rows]
        if "shapes" in sound and "targets" in arrays and arrays["targets"].dtype.kind in "iu":
            digest = targets_sha256(arrays["targets"])
            self._targets.setdefault(split.name, {})[file.expert] = digest


def _refused(check: Check) -> dict[str, Any]:
    """The report on a file of which nothing more can be said."""
    return UnitReport("failed", (check,), no_figures(f"Not done, because of the check {check.id!r}.")).to_dict()
