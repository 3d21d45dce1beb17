"""What tells one state of the files behind an answer from another."""

from __future__ import annotations

from pathlib import Path

from app.catalog.bases import FileId
from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT, WEIGHTS_FILE
from app.domain.errors import RequestError
from app.files.disk import file_sha256

BaseFiles = tuple[FileId, ...]
"""Identity of the files of a base."""


def content_digest(path: Path) -> str | None:
    """Return the sha256 of a small file; None where it cannot be read.

    Its times may stay the same while its content changes, so its content is the identity.
    """
    try:
        return file_sha256(path)
    except OSError:
        return None


def list_digests(folder: Folder, catalog: Catalog) -> dict[str, str | None]:
    """Hash every index list of a set; None for an unreadable one."""
    return {name: content_digest(catalog.split_path(folder, name)) for name in catalog.split_names(folder)}


def all_base_files(dataset: Dataset, catalog: Catalog) -> dict[str, BaseFiles | None]:
    """Identify every base of a data set; None for a missing one."""
    return {name: _base_files(dataset, name, catalog) for name in catalog.bases.names(dataset)}


def train_files(
    dataset: Dataset, folder: Folder, catalog: Catalog
) -> tuple[tuple[str | None, ...], BaseFiles | None]:
    """Identify the files and the base behind train counts and class weights."""
    paths = (folder.path / COUNTS_FILE, folder.path / WEIGHTS_FILE, catalog.split_path(folder, TRAIN_SPLIT))
    try:
        base = _base_files(dataset, catalog.base_of(dataset, folder, TRAIN_SPLIT), catalog)
    except RequestError:
        base = None
    return tuple(content_digest(path) for path in paths), base


def _base_files(dataset: Dataset, base: str, catalog: Catalog) -> BaseFiles | None:
    try:
        return catalog.bases.identity(dataset, base)
    except RequestError:
        return None
