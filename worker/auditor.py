"""Looks at a set of splits as it lies on disk: its lists, their labels and pictures, and what describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.catalog import COUNTS_FILE, TRAIN_SPLIT, Catalog, Split
from app.datasets import Dataset
from app.errors import RelogitError, RequestError
from app.split_sets import read_description
from worker.long_tail import read_declared, read_long_tail
from worker.pools import Pools
from worker.splits.audit import AuditedList, AuditReport, audit
from worker.splits.distribution import Balance, RowOrder
from worker.splits.pictures import image_digests
from worker.verify.metrics.groups import class_groups


class Auditor:
    """Answers what `app.questions` asks about sets of splits. Lives as long as the worker."""

    def __init__(self, catalog: Catalog, pools: Pools) -> None:
        self._catalog, self._pools = catalog, pools

    def audit(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The report, as JSON.

        Raises:
            RequestError: the folder or its `splits.json` cannot be read.
        """
        dataset = Dataset.model_validate(about["dataset"])
        folder = self._catalog.splits_folder(dataset, about["splits_dir"])
        described = _described_lists(read_description(folder.path))
        classes = self._catalog.bases.classes(dataset)
        lists: list[AuditedList] = []
        problems: dict[str, RelogitError] = {}
        for name in self._catalog.split_names(folder):
            try:
                split = self._catalog.read_split(dataset, folder, name)
                lists.append(self._list(dataset, split, described.get(name, {})))
            except RequestError as error:
                problems[name] = error
        bases = {one.base for one in lists}
        not_looked = "The pictures were not compared; `relogit splits check` does that."
        digests = {base: self._digests(dataset, base) if about["pictures"] else not_looked for base in bases}
        long_tail = read_declared(folder)
        report = audit(lists, problems, classes, digests, long_tail)
        return _without_parts(report, described).to_dict() | {"described": bool(described)}

    def groups(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Train counts and the groups that they make, null where there are none; see `app.questions.groups_question`.

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

    def _list(self, dataset: Dataset, split: Split, described: Mapping[str, Any]) -> AuditedList:
        labels = self._pools.labels(dataset, split.base)[split.indices]
        balance, order = described.get("balance"), described.get("row_order")
        return AuditedList(
            split.name,
            split.base,
            split.indices,
            labels,
            cast(Balance, balance) if balance in ("balanced", "long-tailed") else None,
            cast(RowOrder, order) if order in ("class-major", "ascending", "shuffled") else None,
        )

    def _digests(self, dataset: Dataset, base: str) -> NDArray[np.void] | str:
        try:
            return image_digests(self._pools.get(dataset, base).images)
        except RequestError as error:
            return error.message


def _described_lists(described: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    lists = described.get("lists", {})
    return {name: one for name, one in lists.items() if isinstance(one, dict)} if isinstance(lists, dict) else {}


def _without_parts(report: AuditReport, described: Mapping[str, Mapping[str, Any]]) -> AuditReport:
    """Without the overlap of a list and its own part: that `expert` is in `train` is what it is for."""
    parts = {frozenset((name, one["part_of"])) for name, one in described.items() if one.get("part_of")}
    checks = tuple(
        check
        for check in report.checks
        if not (check.id == "overlap" and check.measured and frozenset(check.measured["splits"]) in parts)
    )
    return AuditReport(report.verdict, checks, report.lists)
