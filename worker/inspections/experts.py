"""Inspections of checkpoint files: passports, and what they say about the normalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.catalog.bases import file_id
from app.catalog.catalog import Catalog
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from worker.datasets.pools import Pools
from worker.experts.loading import Assumptions, load_expert
from worker.inspections.changes import check_same
from worker.inspections.normalisation import NormalisationInspector


def inspect_passport(request: PassportRequest) -> dict[str, Any]:
    """Load an expert and return its passport.

    Raises:
        JobError: the file is no checkpoint that relogit can read.
        TransientError: `file-changed`.
    """
    path = Path(request.file[0])
    try:
        return load_expert(path, Assumptions(**request.assumptions)).passport.to_dict()
    finally:
        # Also after an error: an error of another file must not be kept under this request.
        check_same(file_id(path), request.file)


class DeclarationInspector:
    """Holds declared normalisations against checkpoints. Lives as long as the worker.

    Args:
        catalog: what is on disk.
        pools: the decoded bases.
        normalisation: judges a loaded network.
    """

    def __init__(self, catalog: Catalog, pools: Pools, normalisation: NormalisationInspector) -> None:
        self._catalog, self._pools, self._normalisation = catalog, pools, normalisation

    def inspect(self, request: NormalisationRequest) -> dict[str, Any]:
        """Load an expert and judge its declared mean and std; see `NormalisationInspector.inspect`.

        Raises:
            JobError: the file is no checkpoint that relogit can read.
            RequestError: the base cannot be read.
            TransientError: `file-changed`.
        """
        path = Path(request.file[0])
        expert = load_expert(path, Assumptions(**request.assumptions))
        pool = self._pools.get(request.dataset, request.base)
        evidence = self._normalisation.inspect(expert.network, pool, request.transform, request.others)
        check_same(self._catalog.bases.identity(request.dataset, request.base), request.files)
        check_same(file_id(path), request.file)
        return evidence
