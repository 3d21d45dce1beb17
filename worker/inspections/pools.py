"""Inspections of bases and index lists: the digest of the pixels, and class counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.catalog.catalog import Catalog
from app.catalog.folders import Folder
from app.store.inspection_requests.splits import PoolRequest, SplitCountsRequest
from worker.datasets.pools import Pool, Pools
from worker.inspections.changes import check_same


class PoolInspector:
    """Reads bases and lists. Lives as long as the worker.

    Args:
        catalog: what is on disk.
        pools: the decoded bases.
    """

    def __init__(self, catalog: Catalog, pools: Pools) -> None:
        self._catalog, self._pools = catalog, pools

    def pool(self, request: PoolRequest) -> dict[str, Any]:
        """Decode a base and describe its pixels, as `pool_answer`.

        Raises:
            RequestError: the base cannot be read.
            TransientError: `file-changed`.
        """
        pool = self._pools.get(request.dataset, request.base)
        check_same(self._catalog.bases.identity(request.dataset, request.base), request.files)
        return pool_answer(pool)

    def split_counts(self, request: SplitCountsRequest) -> dict[str, Any]:
        """Count the samples of each class in an index list.

        Returns:
            `classes`, their number, and `class_counts`, one for each of them.

        Raises:
            RequestError: the list or its base cannot be read.
            TransientError: `file-changed`.
        """
        dataset, data_dir = request.dataset, self._catalog.settings.data_dir
        folder = Folder(request.splits_dir, data_dir / request.splits_dir)
        split = self._catalog.read_split(dataset, folder, request.split)
        check_same(split.sha256, request.sha256)
        classes = self._catalog.bases.classes(dataset)
        counts = np.bincount(self._pools.labels(dataset, split.base)[split.indices], minlength=classes)
        return {"classes": classes, "class_counts": counts.tolist()}


def pool_answer(pool: Pool) -> dict[str, Any]:
    """Describe a decoded base: `pixels_sha256`, the shape of its `images`, its `classes`."""
    return {"pixels_sha256": pool.pixels_sha256, "images": list(pool.images.shape), "classes": pool.classes}
