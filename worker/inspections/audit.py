"""Looks at a set of splits as it lies on disk: its lists, their labels and pictures, and what describes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT
from app.catalog.split_sets import DESCRIPTION_FILE, Description, read_description
from app.domain.errors import RelogitError, RequestError, TransientError
from worker.datasets.class_counts import read_declared, read_long_tail
from worker.datasets.pools import Pools
from worker.splits.audit import AuditedList, audit
from worker.splits.description import check_dataset
from worker.splits.duplicate_images import image_digests
from worker.verify.metrics.groups import class_groups


class Auditor:
    """Answers what `app.store.inspection_requests` asks about sets of splits. Lives as long as the worker."""

    def __init__(self, catalog: Catalog, pools: Pools) -> None:
        self._catalog, self._pools = catalog, pools

    def audit(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The report, as JSON, with the `sha256` of each list's file that could be read.

        Raises:
            RequestError: the folder or its `splits.json` cannot be read.
            TransientError: `file-changed`, a list is not what was asked about.
        """
        dataset = Dataset.model_validate(about["dataset"])
        folder = self._catalog.splits_folder(dataset, about["splits_dir"])
        description = read_description(folder.path) or Description()
        classes = self._catalog.bases.classes(dataset)
        labels: dict[str, NDArray[np.int64]] = {}
        lists: list[AuditedList] = []
        problems: dict[str, RelogitError] = {}
        read: dict[str, str] = {}
        for name in self._catalog.split_names(folder):
            try:
                split = self._catalog.read_split(dataset, folder, name)
                read[name] = split.sha256
                if split.base not in labels:
                    labels[split.base] = self._pools.labels(dataset, split.base)
                lists.append(AuditedList(name, split.base, split.indices, labels[split.base][split.indices]))
            except RequestError as error:
                problems[name] = self._explained(dataset, description, name, error)
        bases = {one.base for one in lists}
        not_looked = "The pictures were not compared; `relogit splits check` does that."
        digests = {base: self._digests(dataset, base) if about["pictures"] else not_looked for base in bases}
        report = audit(lists, problems, classes, digests, read_declared(folder), description.lists)
        drawn_from = description.dataset.labels_sha256 if description.dataset else {}
        for base in drawn_from.keys() & self._catalog.bases.names(dataset) - labels.keys():
            with suppress(RequestError):  # then they are not at hand, and not compared
                labels[base] = self._pools.labels(dataset, base)
        whole = check_dataset(description.dataset, about["names"], labels)
        found = replace(report, checks=(*report.checks, whole)).to_dict()
        return found | {"described": bool(description.lists), "sha256": self._as_asked(folder, read, about)}

    def groups(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Train counts and the groups that they make, null where there are none; see `groups_question`.

        Raises:
            RequestError: the folder is not there.
        """
        dataset, threshold = Dataset.model_validate(about["dataset"]), about["head_threshold"]
        folder = self._catalog.splits_folder(dataset, about["splits_dir"])
        counts = read_long_tail(self._catalog, self._pools, dataset, folder).counts
        if counts is None or counts.shape != (self._catalog.bases.classes(dataset),):
            return {"groups": None}
        groups = {name: np.flatnonzero(mask).tolist() for name, mask in class_groups(counts, threshold).items()}
        declared = (folder.path / COUNTS_FILE).exists()
        source = COUNTS_FILE if declared else f"the list {TRAIN_SPLIT!r}"
        return {"groups": {"source": source, "head_threshold": threshold, "train_counts": counts.tolist(), **groups}}

    def _as_asked(self, folder: Folder, read: Mapping[str, str], about: Mapping[str, Any]) -> dict[str, str]:
        # A list that cannot be used was read without a digest; that of its file now has to be the one asked about.
        digests = {**self._files(folder), **read}
        if digests != {name: sha256 for name, sha256 in about["lists"].items() if sha256 is not None}:
            raise TransientError("file-changed", f"A list in {folder.name} was changed after the question was asked.")
        return digests

    def _files(self, folder: Folder) -> dict[str, str]:
        digests = {}
        for name in self._catalog.split_names(folder):
            with suppress(OSError):
                data = self._catalog.split_path(folder, name).read_bytes()
                digests[name] = hashlib.sha256(data).hexdigest()
        return digests

    def _explained(self, dataset: Dataset, description: Description, name: str, error: RequestError) -> RequestError:
        """That a base has no files is the list's fault if it is a base that the data set does not have."""
        said, bases = (description.lists or {}).get(name), self._catalog.bases.names(dataset)
        if error.code != "data-missing" or said is None or said.base in bases:
            return error
        there = ", ".join(bases)
        message = f"{name!r} points into the base {said.base!r}, as {DESCRIPTION_FILE} says; there are only {there}."
        return RequestError("base-unknown", message)

    def _digests(self, dataset: Dataset, base: str) -> NDArray[np.void] | str:
        try:
            return image_digests(self._pools.get(dataset, base).images)
        except RequestError as error:
            return error.message
