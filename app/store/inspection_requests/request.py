"""The base of all inspection requests: their key, their stored form, and the identities of files in them.

The key covers the content of files or their size and times, the declaration in `datasets.toml` and the code that
answers. So an answer never goes stale: changed grounds have another key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter

from app.catalog.bases import FileId
from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT, WEIGHTS_FILE
from app.domain.errors import RequestError
from app.files.disk import file_sha256

BaseFiles = tuple[FileId, ...]
"""Identity of the files of a base."""


@dataclass(frozen=True)
class InspectionRequest:
    """A request for one inspection. Each kind is a subclass that `app.store.inspections` lists."""

    kind: ClassVar[str]
    replaces: ClassVar[tuple[str, ...]] = ()
    """Paths of fields: a new answer removes earlier ones that are equal in these. Empty: none is removed."""
    omitted: ClassVar[Mapping[str, set[str]]] = {}
    """Field → parts of its value that the answer does not depend on."""
    unkeyed: ClassVar[frozenset[str]] = frozenset({"path"})
    """Fields that no answer depends on: where a file lies changes none."""

    @property
    def key(self) -> str:
        """sha256 over the kind and all fields but the `unkeyed`."""
        grounds = {name: value for name, value in self.to_dict().items() if name not in self.unkeyed}
        text = json.dumps([self.kind, grounds], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, as stored and hashed."""
        omitted: dict[str, Any] = dict(self.omitted)
        adapter = _adapter(type(self))  # type: ignore[arg-type]  # as in from_dict
        fields: dict[str, Any] = adapter.dump_python(self, mode="json", exclude=omitted)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild the request that `to_dict` wrote.

        Raises:
            ValueError: another version of relogit wrote it, with other fields.
        """
        # mypy takes the hash of instances for that of the class.
        request: Self = _adapter(cls).validate_python(dict(fields))  # type: ignore[arg-type]
        return request


@lru_cache(maxsize=32)  # building an adapter takes about a millisecond
def _adapter(cls: type[InspectionRequest]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def content_digest(path: Path) -> str | None:
    """Return a small file's sha256; None if unreadable.

    Its times may stay the same while its content changes, so its content is the identity.
    """
    try:
        return file_sha256(path)
    except OSError:
        return None


def list_digests(folder: Folder, catalog: Catalog) -> dict[str, str | None]:
    """Hash a set's index lists; None for unreadable ones."""
    return {name: content_digest(catalog.split_path(folder, name)) for name in catalog.split_names(folder)}


def all_base_files(dataset: Dataset, catalog: Catalog) -> dict[str, BaseFiles | None]:
    """Identify a data set's bases; None for missing ones."""
    return {name: _base_files(dataset, name, catalog) for name in catalog.bases.names(dataset)}


def train_files(
    dataset: Dataset, folder: Folder, catalog: Catalog
) -> tuple[tuple[str | None, ...], BaseFiles | None]:
    """Identify the files and base of train counts and weights."""
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
