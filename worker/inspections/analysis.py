"""Inspections of files of logits: intervals, curves and figures, causes of a bad accuracy, and ensembles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.folders import Folder
from app.catalog.split_lists import Split
from app.domain.errors import JobError, RequestError, TransientError
from app.domain.standards import Standards
from app.store.inspection_requests.analysis import (
    AnalysisRequest,
    CausesRequest,
    EnsembleRequest,
    StatisticsRequest,
)
from worker.analyses.ensemble import ExpertLogits, analyse_ensemble
from worker.analyses.result import analyse_result
from worker.datasets.class_counts import read_long_tail
from worker.datasets.pools import Pools
from worker.outputs.logit_reader import StoredLogits, read_stored, read_targets, with_targets
from worker.verify.causes import Candidate, search
from worker.verify.ground_truth import Truth
from worker.verify.metrics.rows import RowScores
from worker.verify.report import scores_of, verify_unit
from worker.verify.scale import scale_of


class Analyst:
    """Analyses files of logits. Lives as long as the worker."""

    def __init__(self, catalog: Catalog, pools: Pools) -> None:
        self._catalog, self._pools = catalog, pools

    def statistics(self, request: StatisticsRequest) -> dict[str, Any]:
        """Compute 95 % intervals, risk-coverage curves, reliability diagrams and further figures.

        A file of probabilities in place of logits lacks what a second softmax would make wrong, with `reasons`.

        Raises:
            TransientError: the file or the split changed since the request.
            JobError: `no-ground`, the file allows no metric.
            RequestError: the labels or the split cannot be read.
        """
        folder, split = self._split(request)
        truth = self._truth(request, folder, split, Standards(head_threshold=request.head_threshold))
        arrays = _read(request.path, request.sha256, truth).arrays
        scores = _scores(arrays, truth)  # says what is wrong with the arrays, if anything is
        return analyse_result(arrays["logits"], scores, truth, scale_of(arrays["logits"]))

    def ensemble(self, request: EnsembleRequest) -> dict[str, Any]:
        """Compute the figures of all experts of a split together.

        Raises as `statistics`.
        """
        folder, split = self._split(request)
        truth = self._truth(request, folder, split, Standards(head_threshold=request.head_threshold))

        def experts() -> Iterator[ExpertLogits]:
            for name, path, sha256 in zip(request.experts, request.paths, request.sha256s, strict=True):
                arrays = _read(path, sha256, truth).arrays
                scores = _scores(arrays, truth)
                yield ExpertLogits(name, arrays["logits"], scale_of(arrays["logits"]).kind, scores.predictions)

        return analyse_ensemble(experts(), truth).to_dict()

    def causes(self, request: CausesRequest) -> dict[str, Any]:
        """Search a base, list or order that the predictions fit.

        Where the file has targets other than the labels of its split, these targets are searched for instead.
        Raises as `statistics`.
        """
        folder, split = self._split(request)
        truth = self._truth(request, folder, split, Standards())
        stored = _read(request.path, request.sha256, truth)
        if (file := request.targets) is not None:
            targets = read_targets(Path(file.path), len(truth.labels))
            _check_unchanged(file.path, targets.sha256, file.sha256)
            stored = with_targets(stored, targets)
        values, prefix = _searched(stored.arrays, truth)
        untried: list[tuple[str, str]] = []
        candidates = [*self._other_bases(request, split, untried)]
        candidates += self._other_lists(request, folder, split, untried)
        own = Candidate(truth.base, request.split, truth.indices, truth.labels)
        # Several lists can name the same missing base.
        result = search(values, truth.classes, own, candidates, list(dict.fromkeys(untried))).to_dict()
        return result | {"message": prefix + result["message"]}

    def _split(self, request: AnalysisRequest | EnsembleRequest) -> tuple[Folder, Split]:
        folder = self._catalog.splits_folder(request.dataset, request.splits_dir)
        split = self._catalog.read_split(request.dataset, folder, request.split)
        if split.sha256 != request.split_sha256:
            raise TransientError("split-changed", f"The list {split.name!r} was changed after the verification.")
        return folder, split

    def _truth(
        self, request: AnalysisRequest | EnsembleRequest, folder: Folder, split: Split, standards: Standards
    ) -> Truth:
        classes = self._catalog.bases.classes(request.dataset)
        labels = self._pools.labels(request.dataset, split.base)
        long_tail = read_long_tail(self._catalog, self._pools, request.dataset, folder)
        return Truth.of(split, labels, classes, long_tail, standards)

    def _other_bases(
        self, request: CausesRequest, split: Split, untried: list[tuple[str, str]]
    ) -> Iterator[Candidate]:
        """Yield candidates over other bases; add unusable bases to `untried`."""
        for base in self._catalog.bases.names(request.dataset):
            if base == split.base:
                continue
            try:
                labels = self._pools.labels(request.dataset, base)
            except RequestError as error:
                untried.append((base, error.message.rstrip(".")))
                continue
            if split.indices.max() < len(labels):
                yield Candidate(base, split.name, split.indices, labels[split.indices])
            else:
                reach = f"it has {len(labels)} images, and the list goes up to {split.indices.max()}"
                untried.append((base, reach))

    def _other_lists(
        self, request: CausesRequest, folder: Folder, split: Split, untried: list[tuple[str, str]]
    ) -> Iterator[Candidate]:
        """Yield lists of equal length; add unreadable ones to `untried`."""
        for name in self._catalog.split_names(folder):
            if name == split.name:
                continue
            try:
                other = self._catalog.read_split(request.dataset, folder, name)
                if other.indices.size == split.indices.size:
                    labels = self._pools.labels(request.dataset, other.base)
                    yield Candidate(other.base, name, other.indices, labels[other.indices])
            except RequestError as error:
                untried.append((name, error.message.rstrip(".")))


def _read(path: str, sha256: str, truth: Truth) -> StoredLogits:
    stored = read_stored(Path(path), len(truth.labels), truth.classes)
    _check_unchanged(path, stored.sha256, sha256)
    return stored


def _check_unchanged(path: str, sha256: str, verified_sha256: str) -> None:
    if sha256 != verified_sha256:
        raise TransientError("file-changed", f"{path} was changed after it was verified.")


def _searched(arrays: Mapping[str, NDArray[Any]], truth: Truth) -> tuple[NDArray[np.int64], str]:
    """Return the searched classes [N], and the message's prefix."""
    targets = arrays.get("targets")
    if targets is None or targets.dtype.kind not in "iu" or np.array_equal(targets, truth.labels):
        return _scores(arrays, truth).predictions, ""
    values = np.asarray(targets, np.int64)
    if values.shape != truth.labels.shape or values.min() < 0 or values.max() >= truth.classes:
        raise JobError("no-ground", "The file's targets are not the split's rows, or no classes.")
    return values, "Of the file's own targets: "


def _scores(arrays: Mapping[str, NDArray[Any]], truth: Truth) -> RowScores:
    report = verify_unit(arrays, truth)
    broken = {check.id for check in report.checks if check.fatal} & {"shapes", "finite"}
    if broken or "logits" not in arrays or arrays["logits"].dtype.kind != "f":
        raise JobError("no-ground", "The logits are not those of the split's rows and classes, or not finite.")
    return scores_of(arrays, truth)
