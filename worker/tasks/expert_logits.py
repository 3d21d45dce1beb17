"""Read the verified logits of several experts for the rows of one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.long_tail import class_groups
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT, Split
from app.domain.combine_requests import GatingRequest, InputFile, InputList
from app.domain.combining import GroupScheme
from app.domain.errors import JobError
from app.files.disk import file_sha256
from worker.combine.prior import row_weights
from worker.combine.rows import ClassGroups, ExpertRows
from worker.context import Context
from worker.datasets.class_counts import LongTail, read_long_tail
from worker.outputs.input_files import read_input
from worker.verify.scale import scale_of

GROUPS: dict[GroupScheme, tuple[str, ...]] = {
    "head-tail": ("head", "tail"),
    "many-medium-few": ("many", "medium", "few"),
}


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of one split, of all experts.

    Attributes:
        split: their index list.
        rows: logits, labels and weights.
        base_labels: labels of the whole base.
    """

    split: Split
    rows: ExpertRows
    base_labels: NDArray[np.int64]


class ExpertLogits:
    """Reads what a gating combines. Lives as long as a task.

    Raises:
        RequestError: on construction, splits or labels cannot be read.
        JobError: on construction, `train-counts-changed` or `train-counts-unusable`.
    """

    def __init__(self, request: GatingRequest, context: Context) -> None:
        self.request, self._context = request, context
        catalog = context.catalog
        self.dataset = Dataset.model_validate(request.declaration)
        self._folder = catalog.splits_folder(self.dataset, request.splits_dir)
        self.classes = catalog.bases.classes(self.dataset)
        self.long_tail = read_long_tail(catalog, context.pools, self.dataset, self._folder)
        self.train_counts = self._train_counts(self.long_tail)
        self.checkpoints_dir = context.settings.checkpoints_dir
        self.groups = groups_of(self.train_counts, request.groups, request.head_threshold)

    def split(self, name: str) -> SplitRows:
        """Read the logits of all experts for a split.

        Raises:
            JobError: a file or list is not the one that was verified.
        """
        request = self.request
        split = self.read_list(request.list_of(name))
        labels = self._context.pools.labels(self.dataset, split.base)
        own = labels[split.indices]
        files = {file.expert: file for file in request.logits.files if file.split == name}
        logits = tuple(self._read(files[expert], own) for expert in request.experts)
        return SplitRows(split, ExpertRows(logits, own, row_weights(own, request.prior, self.train_counts)), labels)

    def fitted_lists(self) -> tuple[Split, ...]:
        """Read the lists that the combination, and combinations among its experts, were fitted on.

        Raises:
            JobError: `split-changed`.
        """
        return tuple(self.read_list(known) for known in self.request.fitted_lists)

    def lists_fitted_before(self) -> tuple[Split, ...]:
        """Read the lists that combinations among the experts were fitted on.

        Raises:
            JobError: `split-changed`.
        """
        return tuple(self.read_list(known) for known in self.request.fitted_before)

    def read_list(self, known: InputList) -> Split:
        """Read one of the request's index lists.

        Raises:
            JobError: `split-changed`.
        """
        split = self._context.catalog.read_split(self.dataset, self._folder, known.split)
        if (split.base, split.sha256) != (known.base, known.sha256):
            raise JobError(
                "split-changed", f"The index list of {known.split!r} was changed since. Combine the experts again."
            )
        return split

    def _read(self, file: InputFile, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read an expert's logits [N, C] float32, undivided."""
        what = f"The logits of ({file.expert}, {file.split})"
        arrays = read_input(self.request.logits, file, len(labels), self.classes, self._context.settings)
        logits = arrays["logits"]
        targets = arrays.get("targets")
        if logits.shape != (len(labels), self.classes) or not np.isfinite(logits).all():
            raise JobError(
                "logits-changed", f"{what} are not the finite [{len(labels)}, {self.classes}] of the split."
            )
        if targets is not None and not np.array_equal(targets, labels):
            raise JobError("logits-changed", f"{what} have other targets than the data set's labels.")
        if scale_of(logits).kind == "probabilities":
            message = f"{what} are probabilities; their softmax would be wrong. Store logits, and verify them."
            raise JobError("not-logits", message)
        raw = logits.astype(np.float32, copy=False)
        divisor = self.request.divided_by.get(file.expert)
        if divisor is None:
            return raw
        with np.errstate(over="ignore"):
            multiplied = raw * np.float32(divisor)
        if not np.isfinite(multiplied).all():
            raise JobError("divisor-too-large", f"{what}, multiplied by {divisor:g}, are beyond float32.")
        return multiplied

    def _train_counts(self, long_tail: LongTail) -> NDArray[np.int64]:
        if counts_sha256(self._folder, self._context) != self.request.counts_sha256:
            raise JobError("train-counts-changed", "The train counts were changed since. Combine the experts again.")
        counts = long_tail.counts
        if counts is None:
            raise JobError("train-counts-unusable", str(long_tail.counts_reason))
        if counts.shape != (self.classes,) or (counts < 0).any() or not counts.any():
            raise JobError(
                "train-counts-unusable",
                f"The train counts of {self._folder.name} are not {self.classes} counts of which one is positive.",
            )
        return counts


def groups_of(train_counts: NDArray[np.int64], scheme: GroupScheme, head_threshold: int) -> ClassGroups:
    """Group the classes by their train samples, [C]."""
    masks = class_groups(train_counts, head_threshold)
    names = GROUPS[scheme]
    return ClassGroups(names, np.argmax(np.stack([masks[name] for name in names]), axis=0).astype(np.int64))


def counts_sha256(folder: Folder, context: Context) -> str | None:
    """Hash the file that train counts come from, if readable."""
    path: Path = folder.path / COUNTS_FILE
    if not path.exists():
        path = context.catalog.split_path(folder, TRAIN_SPLIT)
    try:
        return file_sha256(path)
    except OSError:
        return None


def group_map(groups: ClassGroups) -> dict[str, tuple[int, ...]]:
    """Return the classes of each group."""
    return {name: tuple(np.flatnonzero(groups.of_class == k).tolist()) for k, name in enumerate(groups.names)}


def inputs_of(request: GatingRequest, splits: Sequence[str]) -> tuple[InputFile, ...]:
    """List the files of these splits."""
    return tuple(file for file in request.logits.files if file.split in splits)
