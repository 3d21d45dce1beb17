"""Inspections of a set of splits: its lists, their labels and images, and what describes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.long_tail import class_groups
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT
from app.catalog.split_sets import DESCRIPTION_FILE, Description, read_description
from app.domain.errors import RelogitError, RequestError, TransientError
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest
from worker.datasets.class_counts import read_declared, read_long_tail
from worker.datasets.pools import Pools
from worker.splits.audit import AuditedList, audit
from worker.splits.description import check_dataset
from worker.splits.duplicate_images import image_digests

NOT_COMPARED = "The pictures were not compared; `relogit splits check` does that."


@dataclass
class _Lists:
    """The lists of a set as they were read."""

    usable: list[AuditedList] = field(default_factory=list)
    problems: dict[str, RelogitError] = field(default_factory=dict)
    """Name of an unusable list → why."""
    digests: dict[str, str] = field(default_factory=dict)
    """Name of a list that was parsed → sha256 of its file."""
    labels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Base → its labels."""


class Auditor:
    """Audits sets of splits. Lives as long as the worker."""

    def __init__(self, catalog: Catalog, pools: Pools) -> None:
        self._catalog, self._pools = catalog, pools

    def audit(self, request: AuditRequest) -> dict[str, Any]:
        """Audit a set: its report, `described`, and the lists' `sha256`.

        Raises:
            RequestError: the folder or its `splits.json` cannot be read.
            TransientError: `file-changed`, a list changed since the request.
        """
        dataset = request.dataset
        folder = self._catalog.splits_folder(dataset, request.splits_dir)
        description = read_description(folder.path) or Description()
        lists = self._read_lists(dataset, folder, description)
        images = {
            base: self._image_digests(dataset, base) if request.pictures else NOT_COMPARED
            for base in {audited.base for audited in lists.usable}
        }
        classes, declared = self._catalog.bases.classes(dataset), read_declared(folder)
        report = audit(lists.usable, lists.problems, classes, images, declared, description.lists)
        sources = description.dataset.labels_sha256 if description.dataset else {}
        for base in sources.keys() & self._catalog.bases.names(dataset) - lists.labels.keys():
            with suppress(RequestError):  # labels that cannot be read are not compared
                lists.labels[base] = self._pools.labels(dataset, base)
        of_dataset = check_dataset(description.dataset, request.names, lists.labels)
        answer = replace(report, checks=(*report.checks, of_dataset)).to_dict()
        digests = self._checked_digests(folder, lists.digests, request.lists)
        return answer | {"described": bool(description.lists), "sha256": digests}

    def groups(self, request: GroupsRequest) -> dict[str, Any]:
        """Group classes by train counts; `groups` is null without these.

        Raises:
            RequestError: the folder is missing.
        """
        dataset, threshold = request.dataset, request.head_threshold
        folder = self._catalog.splits_folder(dataset, request.splits_dir)
        counts = read_long_tail(self._catalog, self._pools, dataset, folder).counts
        if counts is None or counts.shape != (self._catalog.bases.classes(dataset),):
            return {"groups": None}
        groups = {name: np.flatnonzero(mask).tolist() for name, mask in class_groups(counts, threshold).items()}
        declared = (folder.path / COUNTS_FILE).exists()
        source = COUNTS_FILE if declared else f"the list {TRAIN_SPLIT!r}"
        return {"groups": {"source": source, "head_threshold": threshold, "train_counts": counts.tolist(), **groups}}

    def _read_lists(self, dataset: Dataset, folder: Folder, description: Description) -> _Lists:
        lists = _Lists()
        for name in self._catalog.split_names(folder):
            try:
                split = self._catalog.read_split(dataset, folder, name)
                lists.digests[name] = split.sha256
                if split.base not in lists.labels:
                    lists.labels[split.base] = self._pools.labels(dataset, split.base)
                labels = lists.labels[split.base][split.indices]
                lists.usable.append(AuditedList(name, split.base, split.indices, labels))
            except RequestError as error:
                lists.problems[name] = self._explained(dataset, description, name, error)
        return lists

    def _checked_digests(
        self, folder: Folder, parsed: Mapping[str, str], requested: Mapping[str, str | None]
    ) -> dict[str, str]:
        # An unusable list has no digest from its parsing; that of its file has to be the requested one.
        digests = {}
        for name in self._catalog.split_names(folder):
            with suppress(OSError):
                content = self._catalog.split_path(folder, name).read_bytes()
                digests[name] = hashlib.sha256(content).hexdigest()
        digests |= parsed
        if digests != {name: sha256 for name, sha256 in requested.items() if sha256 is not None}:
            raise TransientError("file-changed", f"A list in {folder.name} changed after the audit was requested.")
        return digests

    def _explained(self, dataset: Dataset, description: Description, name: str, error: RequestError) -> RequestError:
        """Replace a missing base's error if the base is undeclared."""
        entry, bases = (description.lists or {}).get(name), self._catalog.bases.names(dataset)
        if error.code != "data-missing" or entry is None or entry.base in bases:
            return error
        known = ", ".join(bases)
        message = f"{name!r} points into the base {entry.base!r}, as {DESCRIPTION_FILE} says; there are only {known}."
        return RequestError("base-unknown", message)

    def _image_digests(self, dataset: Dataset, base: str) -> NDArray[np.void] | str:
        try:
            return image_digests(self._pools.get(dataset, base).images)
        except RequestError as error:
            return error.message
