"""What is computed of a file of logits when somebody first asks for it: intervals and curves, and causes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import Split
from app.domain.errors import JobError, RequestError, TransientError
from app.domain.requests import Standards
from worker.datasets.class_counts import read_long_tail
from worker.datasets.pools import Pools
from worker.outputs.logit_reader import read_stored, read_targets, with_targets
from worker.verify.causes import Candidate, search
from worker.verify.ground_truth import Truth
from worker.verify.metrics.rows import RowScores
from worker.verify.report import scores_of, verify_unit
from worker.verify.scale import scale_of
from worker.verify.summary_metrics import statistics


class Analyst:
    """Answers the questions that `analysis_question` puts. Lives as long as the worker."""

    def __init__(self, catalog: Catalog, pools: Pools) -> None:
        self._catalog, self._pools = catalog, pools

    def statistics(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Compute 95 % intervals of the figures, risk-coverage curves and the reliability diagram.

        Of probabilities in the place of logits there are only the intervals of accuracies, and `reasons`.

        Raises:
            TransientError: file or split are not what was asked about.
            JobError: `no-ground`, no figure can be computed of the file.
            RequestError: labels or split are not to be had.
        """
        arrays, truth = self._read(about)
        scores = _scores(arrays, truth)
        return statistics(scores, truth, scale_of(arrays["logits"]).reason)

    def causes(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """A base, a list or an order under which the predictions fit, of those that are to be had.

        Where the file's own targets are not the split's labels, it is they that are looked for.

        Raises:
            As `statistics`.
        """
        arrays, truth = self._read(about)
        targets = arrays.get("targets")
        if targets is not None and targets.dtype.kind in "iu" and not np.array_equal(targets, truth.labels):
            values, said = np.asarray(targets, np.int64), "Of the file's own targets: "
            if values.shape != truth.labels.shape or values.min() < 0 or values.max() >= truth.classes:
                raise JobError("no-ground", "The file's targets are not the split's rows, or no classes.")
        else:
            values, said = _scores(arrays, truth).predictions, ""
        others, untried = self._candidates(about)
        own = Candidate(truth.base, about["split"], truth.indices, truth.labels)
        found = search(values, truth.classes, own, others, untried).to_dict()
        return found | {"message": said + found["message"]}

    def _read(self, about: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], Truth]:
        dataset, folder, split = self._split(about)
        classes = self._catalog.bases.classes(dataset)
        labels = self._pools.labels(dataset, split.base)
        standards = Standards(head_threshold=about.get("head_threshold", Standards().head_threshold))
        truth = Truth.of(
            split, labels, classes, read_long_tail(self._catalog, self._pools, dataset, folder), standards
        )
        stored = read_stored(Path(about["path"]), len(truth.labels), classes)
        if stored.sha256 != about["sha256"]:
            raise TransientError("file-changed", f"{about['path']} was changed after it was verified.")
        if beside := about.get("targets"):
            targets = read_targets(Path(beside["path"]), len(truth.labels))
            if targets.sha256 != beside["sha256"]:
                raise TransientError("file-changed", f"{beside['path']} was changed after it was verified.")
            stored = with_targets(stored, targets)
        return stored.arrays, truth

    def _split(self, about: Mapping[str, Any]) -> tuple[Dataset, Folder, Split]:
        dataset = Dataset.model_validate(about["dataset"])
        folder = self._catalog.splits_folder(dataset, about["splits_dir"])
        split = self._catalog.read_split(dataset, folder, about["split"])
        if split.sha256 != about["split_sha256"]:
            raise TransientError("split-changed", f"The list {split.name!r} was changed after the verification.")
        return dataset, folder, split

    def _candidates(self, about: Mapping[str, Any]) -> tuple[list[Candidate], list[tuple[str, str]]]:
        """The same indices into other bases, and other lists of the same length; and what is not to be had."""
        dataset, folder, own = self._split(about)
        found: list[Candidate] = []
        untried: list[tuple[str, str]] = []
        for base in self._catalog.bases.names(dataset):
            if base == own.base:
                continue
            try:
                labels = self._pools.labels(dataset, base)
            except RequestError as error:
                untried.append((base, error.message.rstrip(".")))
                continue
            if own.indices.max() >= len(labels):
                untried.append((base, f"it has {len(labels)} images, and the list goes up to {own.indices.max()}"))
            else:
                found.append(Candidate(base, own.name, own.indices, labels[own.indices]))
        for name in self._catalog.split_names(folder):
            if name == own.name:
                continue
            try:
                split = self._catalog.read_split(dataset, folder, name)
                if split.indices.size == own.indices.size:
                    labels = self._pools.labels(dataset, split.base)
                    found.append(Candidate(split.base, name, split.indices, labels[split.indices]))
            except RequestError as error:
                untried.append((name, error.message.rstrip(".")))
        return found, list(dict.fromkeys(untried))  # a base that is not there is so for each list that points into it


def _scores(arrays: Mapping[str, NDArray[Any]], truth: Truth) -> RowScores:
    report = verify_unit(arrays, truth)
    broken = {check.id for check in report.checks if check.fatal} & {"shapes", "finite"}
    if broken or "logits" not in arrays or arrays["logits"].dtype.kind != "f":
        raise JobError("no-ground", "The logits are not those of the split's rows and classes, or not finite.")
    return scores_of(arrays, truth)
