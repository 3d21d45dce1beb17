"""Inspections of checkpoint files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from app.catalog.bases import FileId, file_id
from app.catalog.catalog import Catalog
from app.catalog.datasets import DEFAULT_BASE, Dataset, Transform
from app.domain.revisions import NORMALISING, RECOGNITION, code_digest
from app.store.inspection_requests.request import BaseFiles, InspectionRequest


@dataclass(frozen=True)
class PassportRequest(InspectionRequest):
    """What network a checkpoint file holds, read as its data set declares."""

    kind = "passport"

    file: FileId
    assumptions: dict[str, Any]
    code: str

    @classmethod
    def of(cls, path: Path, dataset: Dataset, weights: str | None = None) -> Self:
        """Build the request for a checkpoint file.

        Without `weights`, it is for the declared set.

        Raises:
            OSError: the file is missing.
        """
        return cls(file_id(path), dataset.assumptions(path.stem, weights), code_digest(RECOGNITION))


@dataclass(frozen=True)
class NormalisationRequest(InspectionRequest):
    """What a checkpoint's statistics say about the mean and std that are declared for it."""

    kind = "normalisation"
    omitted: ClassVar[Mapping[str, set[str]]] = {"dataset": {"overrides", "network"}}

    file: FileId
    assumptions: dict[str, Any]
    dataset: Dataset
    transform: Transform
    others: dict[str, Transform]
    """Further candidates: the declarations of the other data sets, by name."""
    base: str
    """The base whose images the checkpoint's statistics are compared with."""
    files: BaseFiles
    code: tuple[str, str]

    @classmethod
    def of(
        cls, path: Path, name: str, dataset: Dataset, base: str, catalog: Catalog, weights: str | None = None
    ) -> Self:
        """Build the request for a data set's checkpoint.

        Raises:
            OSError: the file is missing.
            RequestError: the base is missing.
        """
        candidates = {
            other: Transform(mean=declared.mean, std=declared.std)
            for other, declared in catalog.datasets().items()
            if other != name
        }
        return cls(
            file=file_id(path),
            assumptions=dataset.assumptions(path.stem, weights),
            dataset=dataset,
            transform=dataset.transform(path.stem),
            others=candidates,
            base=base,
            files=catalog.bases.identity(dataset, base),
            code=(code_digest(NORMALISING), code_digest(RECOGNITION)),
        )


def evidence_base(bases: Iterable[str]) -> str:
    """Choose the evidence's base: `test`, or the first in use."""
    in_use = sorted(bases)
    return DEFAULT_BASE if DEFAULT_BASE in in_use or not in_use else in_use[0]
