"""Inspections of index lists, sets of splits and the bases that they point into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, WEIGHTS_FILE
from app.catalog.split_sets import DESCRIPTION_FILE
from app.domain.revisions import AUDITING, code_digest
from app.store.inspection_requests.request import (
    BaseFiles,
    InspectionRequest,
    all_base_files,
    content_digest,
    list_digests,
    train_files,
)


@dataclass(frozen=True)
class PoolRequest(InspectionRequest):
    """The digest and shape of a base's decoded pixels."""

    kind = "pool"
    omitted: ClassVar[Mapping[str, set[str]]] = {"dataset": {"overrides", "network"}}

    dataset: Dataset
    base: str
    files: BaseFiles

    @classmethod
    def of(cls, dataset: Dataset, base: str, catalog: Catalog) -> Self:
        """Build the request for a base.

        Raises:
            RequestError: the base is missing.
        """
        return cls(dataset, base, catalog.bases.identity(dataset, base))


@dataclass(frozen=True)
class SplitCountsRequest(InspectionRequest):
    """How many samples of each class an index list holds."""

    kind = "split"
    replaces = ("dataset.root", "splits_dir", "split")

    dataset: Dataset
    base: BaseFiles
    splits_dir: str
    """Below the data directory."""
    split: str
    sha256: str
    """Of the list's file."""


@dataclass(frozen=True)
class AuditRequest(InspectionRequest):
    """What is wrong with the lists of a set of splits, each by itself and all together."""

    kind = "audit"
    replaces = ("dataset.root", "splits_dir", "pictures")

    dataset: Dataset
    names: list[str]
    """Names under which this data set is declared."""
    splits_dir: str
    lists: dict[str, str | None]
    """sha256 of every index list of the set; None for an unreadable one. The answer holds for these."""
    others: list[str | None]
    """sha256 of the files beside the lists; None for a missing one."""
    bases: dict[str, BaseFiles | None]
    pictures: bool
    """Whether the images of the bases are compared, which decodes all of them."""
    code: str

    @classmethod
    def of(cls, dataset: Dataset, folder: Folder, catalog: Catalog, *, pictures: bool = True) -> Self:
        """Build the request for the current set of splits."""
        names = (COUNTS_FILE, WEIGHTS_FILE, DESCRIPTION_FILE)
        return cls(
            dataset=dataset,
            names=[name for name, declared in catalog.datasets().items() if declared == dataset],
            splits_dir=folder.name,
            lists=list_digests(folder, catalog),
            others=[content_digest(folder.path / name) for name in names],
            bases=all_base_files(dataset, catalog),
            pictures=pictures,
            code=code_digest(AUDITING),
        )


@dataclass(frozen=True)
class GroupsRequest(InspectionRequest):
    """How many train samples each class has, and which classes that makes head, tail and so on."""

    kind = "groups"
    replaces = ("dataset.root", "splits_dir", "head_threshold")

    dataset: Dataset
    splits_dir: str
    head_threshold: int
    train: tuple[str | None, ...]
    train_base: BaseFiles | None
    code: str

    @classmethod
    def of(cls, dataset: Dataset, folder: Folder, catalog: Catalog, head_threshold: int) -> Self:
        """Build the request for the current set of splits."""
        train, train_base = train_files(dataset, folder, catalog)
        return cls(dataset, folder.name, head_threshold, train, train_base, code_digest(AUDITING))
