"""Read the sides of a comparison: logits, labels, lists and manifests."""

from __future__ import annotations

import numpy as np

from app.catalog.datasets import Dataset
from app.domain.compare_requests import ComparedSide, ComparisonRequest
from app.domain.errors import JobError, NotFound
from app.files.logit_files import MANIFEST_SUFFIX
from worker.compare.compare import ClassCounts, Side
from worker.compare.manifest_facts import Manifest
from worker.context import Context
from worker.datasets.class_counts import read_long_tail
from worker.outputs.input_files import input_path, read_input
from worker.tasks.expert_logits import counts_sha256, groups_of
from worker.verify.manifest_checks import read_manifest
from worker.verify.scale import scale_of


class ComparedSides:
    """Reads what a comparison compares. Lives as long as a task."""

    def __init__(self, request: ComparisonRequest, context: Context) -> None:
        self._request, self._context = request, context

    def dataset(self, label: str) -> Dataset:
        """Return a side's data set, as its job kept it."""
        return Dataset.model_validate(self._request.side(label).declaration)

    def side(self, label: str, split: str) -> Side:
        """Read a side's logits of a split.

        The labels are the data set's, whatever the file holds: a file with other targets may be compared to find out
        why.

        Raises:
            JobError: a file or list is gone, or is not the one that was verified.
            RequestError: the list or the labels cannot be read.
        """
        side, context = self._request.side(label), self._context
        dataset, known = self.dataset(label), side.list_of(split)
        catalog = context.catalog
        listed = catalog.read_split(dataset, catalog.splits_folder(dataset, side.splits_dir), split)
        if (listed.base, listed.sha256) != (known.base, known.sha256):
            message = (
                f"The index list of {split!r} was changed since the logits of {label} were made. Compare jobs over "
                "the list as it is now."
            )
            raise JobError("split-changed", message)
        labels = context.pools.labels(dataset, listed.base)[listed.indices]
        classes = catalog.bases.classes(dataset)
        arrays = read_input(side.logits, side.file_of(split), len(labels), classes, context.settings)
        logits = arrays["logits"]
        what = f"The logits of {label} for {split!r}"
        if logits.shape != (len(labels), classes) or logits.dtype.kind != "f" or not np.isfinite(logits).all():
            raise JobError("logits-changed", f"{what} are not the finite [{len(labels)}, {classes}] of the split.")
        if scale_of(logits).kind == "probabilities":
            message = f"{what} are probabilities; their softmax would be wrong. Store logits, and verify them."
            raise JobError("not-logits", message)
        return Side(label, logits, labels, listed.indices, listed.sha256, self._manifest(side, split))

    def classes(self) -> ClassCounts | None:
        """Read the train counts; None where the request knows none, or they are unusable.

        Raises:
            JobError: `train-counts-changed`.
        """
        request, context = self._request, self._context
        if request.counts_sha256 is None:
            return None
        dataset = Dataset.model_validate(request.declaration)
        folder = context.catalog.splits_folder(dataset, request.splits_dir)
        if counts_sha256(folder, context) != request.counts_sha256:
            raise JobError("train-counts-changed", "The train counts were changed since. Compare again.")
        counts = read_long_tail(context.catalog, context.pools, dataset, folder).counts
        if counts is None or counts.shape != (context.catalog.bases.classes(dataset),) or (counts < 0).any():
            return None
        return ClassCounts(counts, groups_of(counts, "head-tail", request.head_threshold))

    def _manifest(self, side: ComparedSide, split: str) -> Manifest | None:
        """Read the manifest of a side's file, if it has one that can be read."""
        file = side.file_of(split)
        if file.name is not None:
            path = input_path(side.logits, file.name, self._context.settings).with_suffix(MANIFEST_SUFFIX)
            try:
                return read_manifest(path)
            except ValueError:
                return None
        try:
            unit = self._context.jobs.get(side.logits.job).unit(side.expert, split)
        except NotFound:
            return None
        if unit is None or unit.artifact is None or unit.artifact.sha256 != file.sha256:
            return None
        return unit.artifact.manifest or None
