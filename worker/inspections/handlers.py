"""The table of inspections: which function carries out each kind of request; and those of single files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.catalog.bases import file_id
from app.catalog.catalog import Catalog
from app.catalog.folders import Folder
from app.domain.errors import TransientError
from app.store.inspection_requests.analysis import CausesRequest, EnsembleRequest, StatisticsRequest
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest, PoolRequest, SplitCountsRequest
from worker.datasets.pools import Pool, Pools
from worker.experts.loading import Assumptions, load_expert
from worker.inspections.analysis import Analyst
from worker.inspections.audit import Auditor
from worker.inspections.normalisation import NormalisationInspector

Handlers = Mapping[type[InspectionRequest], Callable[[Any], dict[str, Any]]]
"""Kind of request → the function that takes such a request and returns its answer."""


def all_handlers(catalog: Catalog, pools: Pools, normalisation: NormalisationInspector) -> Handlers:
    """Make the handler of each kind of inspection."""
    files, analyst, auditor = (
        FileInspector(catalog, pools, normalisation),
        Analyst(catalog, pools),
        Auditor(catalog, pools),
    )
    return {
        PassportRequest: files.passport,
        NormalisationRequest: files.normalisation,
        PoolRequest: files.pool,
        SplitCountsRequest: files.split_counts,
        StatisticsRequest: analyst.statistics,
        CausesRequest: analyst.causes,
        EnsembleRequest: analyst.ensemble,
        AuditRequest: auditor.audit,
        GroupsRequest: auditor.groups,
    }


@dataclass(frozen=True)
class FileInspector:
    """Inspects single checkpoints, bases and lists. Lives as long as the worker.

    Every method raises a RelogitError where its file cannot be read, and a TransientError `file-changed` where it is
    not the requested one any more.
    """

    catalog: Catalog
    pools: Pools
    judge: NormalisationInspector

    def passport(self, request: PassportRequest) -> dict[str, Any]:
        """Load an expert and return its passport."""
        path = Path(request.file[0])
        try:
            return load_expert(path, Assumptions(**request.assumptions)).passport.to_dict()
        finally:
            # Also after an error: an error of another file must not be kept under this request.
            _check_same(file_id(path), request.file)

    def normalisation(self, request: NormalisationRequest) -> dict[str, Any]:
        """Load an expert and judge its declared mean and std."""
        path = Path(request.file[0])
        expert = load_expert(path, Assumptions(**request.assumptions))
        pool = self.pools.get(request.dataset, request.base)
        evidence = self.judge.inspect(expert.network, pool, request.transform, request.others)
        _check_same(self.catalog.bases.identity(request.dataset, request.base), request.files)
        _check_same(file_id(path), request.file)
        return evidence

    def pool(self, request: PoolRequest) -> dict[str, Any]:
        """Decode a base and describe its pixels, as `pool_answer`."""
        pool = self.pools.get(request.dataset, request.base)
        _check_same(self.catalog.bases.identity(request.dataset, request.base), request.files)
        return pool_answer(pool)

    def split_counts(self, request: SplitCountsRequest) -> dict[str, Any]:
        """Count samples by class in an index list.

        Returns `classes` and `class_counts`.
        """
        dataset, data_dir = request.dataset, self.catalog.settings.data_dir
        folder = Folder(request.splits_dir, data_dir / request.splits_dir)
        split = self.catalog.read_split(dataset, folder, request.split)
        _check_same(split.sha256, request.sha256)
        classes = self.catalog.bases.classes(dataset)
        counts = np.bincount(self.pools.labels(dataset, split.base)[split.indices], minlength=classes)
        return {"classes": classes, "class_counts": counts.tolist()}


def pool_answer(pool: Pool) -> dict[str, Any]:
    """Describe a decoded base: `pixels_sha256`, shape of `images`, `classes`."""
    return {"pixels_sha256": pool.pixels_sha256, "images": list(pool.images.shape), "classes": pool.classes}


def same_identity(first: object, second: object) -> bool:
    """Compare identities of files as JSON.

    Storing them turns tuples into lists.
    """
    return json.dumps(first) == json.dumps(second)


def _check_same(now: object, requested: object) -> None:
    if not same_identity(now, requested):
        raise TransientError("file-changed", "The file was changed after the inspection was requested.")
