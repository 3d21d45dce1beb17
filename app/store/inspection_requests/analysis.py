"""Inspections of a verified file of logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import Split
from app.domain.revisions import JUDGING, code_digest
from app.store.inspection_requests.request import (
    BaseFiles,
    InspectionRequest,
    all_base_files,
    list_digests,
    train_files,
)


@dataclass(frozen=True, slots=True)
class AnalysisSubject:
    """A file of logits, and the split that it belongs to."""

    path: Path
    sha256: str
    """Of the file as it was verified."""
    dataset: Dataset
    folder: Folder
    """Of the splits."""
    split: Split
    head_threshold: int
    targets: tuple[Path, str] | None = None
    """The file of its targets and that file's sha256, where the targets lie in a file of their own."""


@dataclass(frozen=True)
class AnalysisRequest(InspectionRequest):
    """An analysis of a file of logits."""

    path: str
    sha256: str
    dataset: Dataset
    splits_dir: str
    split: str
    split_sha256: str
    base: BaseFiles
    code: str


@dataclass(frozen=True)
class StatisticsRequest(AnalysisRequest):
    """Intervals and curves of the summary metrics of a file of logits."""

    kind = "statistics"

    head_threshold: int
    train: tuple[str | None, ...]
    """sha256 of the files that the train counts and class weights are read from; None for a missing file."""
    train_base: BaseFiles | None


@dataclass(frozen=True)
class TargetsFile:
    """A file of targets beside a file of logits."""

    path: str
    sha256: str


@dataclass(frozen=True)
class CausesRequest(AnalysisRequest):
    """Why the accuracy of a file of logits is no better than chance."""

    kind = "causes"

    bases: dict[str, BaseFiles | None]
    """Every base of the data set; None for a missing one."""
    lists: dict[str, str | None]
    """sha256 of every index list of the set; None for an unreadable one."""
    targets: TargetsFile | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, omitting absent `targets`."""
        fields = super().to_dict()
        return fields if self.targets is not None else {n: value for n, value in fields.items() if n != "targets"}


@dataclass(frozen=True)
class EnsembleRequest(InspectionRequest):
    """Figures of all experts of a split together."""

    kind = "ensemble"
    unkeyed: ClassVar[frozenset[str]] = frozenset({"paths"})

    experts: tuple[str, ...]
    paths: tuple[str, ...]
    """Of the files of logits, one for each expert; so are the digests."""
    sha256s: tuple[str, ...]
    dataset: Dataset
    splits_dir: str
    split: str
    split_sha256: str
    base: BaseFiles
    code: str
    head_threshold: int
    train: tuple[str | None, ...]
    train_base: BaseFiles | None


def ensemble_request(subjects: Mapping[str, AnalysisSubject], catalog: Catalog) -> EnsembleRequest:
    """Build the request for an ensemble of one split's files, by expert.

    Raises:
        RequestError: the base is missing.
    """
    subject = next(iter(subjects.values()))
    dataset, folder = subject.dataset, subject.folder
    train, train_base = train_files(dataset, folder, catalog)
    return EnsembleRequest(
        experts=tuple(subjects),
        paths=tuple(str(item.path) for item in subjects.values()),
        sha256s=tuple(item.sha256 for item in subjects.values()),
        dataset=dataset,
        splits_dir=folder.name,
        split=subject.split.name,
        split_sha256=subject.split.sha256,
        base=catalog.bases.identity(dataset, subject.split.base),
        code=code_digest(JUDGING),
        head_threshold=subject.head_threshold,
        train=train,
        train_base=train_base,
    )


def analysis_request(
    part: Literal["statistics", "causes"], subject: AnalysisSubject, catalog: Catalog
) -> StatisticsRequest | CausesRequest:
    """Build the request for one part of an analysis.

    Raises:
        RequestError: the base is missing.
    """
    dataset, folder = subject.dataset, subject.folder
    common: dict[str, Any] = {
        "path": str(subject.path),
        "sha256": subject.sha256,
        "dataset": dataset,
        "splits_dir": folder.name,
        "split": subject.split.name,
        "split_sha256": subject.split.sha256,
        "base": catalog.bases.identity(dataset, subject.split.base),
        "code": code_digest(JUDGING),
    }
    if part == "statistics":
        train, train_base = train_files(dataset, folder, catalog)
        return StatisticsRequest(**common, head_threshold=subject.head_threshold, train=train, train_base=train_base)
    targets = None if subject.targets is None else TargetsFile(str(subject.targets[0]), subject.targets[1])
    lists = list_digests(folder, catalog)
    return CausesRequest(**common, bases=all_base_files(dataset, catalog), lists=lists, targets=targets)
