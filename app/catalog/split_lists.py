"""Index lists on disk, read and checked against the bases that they point into."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.catalog.bases import Bases
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder, existing_folder, listed
from app.catalog.split_sets import base_in, read_description, read_unchanged, restore_set
from app.domain.errors import RequestError
from app.domain.names import check_folder, check_name
from app.settings import Settings

SPLIT_SUFFIX = "_indices.json"
COUNTS_FILE = "train_class_counts.json"
WEIGHTS_FILE = "class_weights.json"
TRAIN_SPLIT = "train"
"""The list that a folder's class counts are of: its long-tailed train part."""
LISTS_CACHED = 8
"""Parsed lists. Parsing a million indices takes half a second, and each unit of a job and each result asks again."""
JSON_NAMES = {dict: "object", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Split:
    """A split's index list, read and checked against its base."""

    name: str
    base: str
    indices: NDArray[np.int64]
    """[N] int64, each in [0, size of the base), in the file's order; repeats are allowed. Read-only."""
    sha256: str
    """Of the file's bytes."""


class SplitLists:
    """The data directory's part of the catalog that holds index lists."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bases = Bases(settings.data_dir)
        self._parse = lru_cache(LISTS_CACHED)(parse_indices)  # by content: a file's times do not tell it

    def splits_folder(self, dataset: Dataset, given: str | None) -> Folder:
        """Return the data set's or the request's split folder.

        Raises:
            RequestError: `invalid-name` or `splits-dir-missing`.
        """
        name = dataset.splits if given is None else check_folder("splits_dir", given)
        path = self.settings.data_dir / name
        if restore_set(path):
            return Folder(name, path)
        return existing_folder("splits_dir", self.settings.data_dir, name, "RELOGIT_DATA_DIR")

    def split_names(self, folder: Folder) -> list[str]:
        """List the names of a folder's index lists, sorted."""
        files = (path for path in folder.path.glob(f"*{SPLIT_SUFFIX}") if path.is_file())
        return sorted(path.name.removesuffix(SPLIT_SUFFIX) for path in files)

    def split_path(self, folder: Folder, split: str) -> Path:
        """Return the path of an index list."""
        return folder.path / f"{split}{SPLIT_SUFFIX}"

    def base_of(self, dataset: Dataset, folder: Folder, split: str) -> str:
        """Return a list's base from `splits.json`, else the declaration.

        Raises:
            RequestError: `splits-file-invalid`.
        """
        return base_in(read_description(folder.path), folder.path, split) or dataset.base_of(split)

    def read_split(self, dataset: Dataset, folder: Folder, split: str) -> Split:
        """Read an index list and check it against its base.

        The file is read anew each time, and once: indices and digest are of the same bytes, and the base is that of
        the same set.

        Raises:
            RequestError: `unknown-split`, or what `parse_indices` and `Bases.size` raise.
        """
        path = self.split_path(folder, check_name("split", split))
        try:
            data, base = read_unchanged(
                folder.path, lambda: (path.read_bytes(), self.base_of(dataset, folder, split))
            )
        except FileNotFoundError:
            names = self.split_names(folder)
            raise RequestError(
                "unknown-split",
                f"There is no split {split!r}: no {path.name} in {folder.name}.{listed(names)}",
                available=names,
            ) from None
        except OSError as error:
            raise RequestError("split-unreadable", f"{path.name} cannot be read: {error.strerror}.") from error
        indices = self._parse(data, path.name, base, self.bases.size(dataset, base))
        return Split(split, base, indices, hashlib.sha256(data).hexdigest())


def parse_indices(data: bytes, name: str, base: str, size: int) -> NDArray[np.int64]:
    """Parse a flat JSON list of indices below `size`.

    The result is [N] int64, N ≥ 1, in file order; read-only.

    Raises:
        RequestError: `split-invalid` (no such list), `split-empty` or `split-out-of-range`; names the first offender.
    """
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "split-invalid", f"{name} is not JSON ({error}). A flat list of integers would have been right."
        ) from None
    if not isinstance(values, list):
        kind = f"a JSON {JSON_NAMES[type(values)]}"
        raise RequestError("split-invalid", f"{name} holds {kind}. A flat list of integers would have been right.")
    if not values:
        raise RequestError("split-empty", f"{name} holds an empty list. At least one index is needed.")
    # bool is a subclass of int, and 3.0 equals 3: only the exact type will do.
    if set(map(type, values)) != {int}:
        row = next(row for row, value in enumerate(values) if type(value) is not int)
        raise RequestError(
            "split-invalid",
            f"{name} holds {json.dumps(values[row])[:80]} at position {row}, which is not an integer.",
            position=row,
        )
    if size == 0:
        raise RequestError("split-out-of-range", f"{name} points into the base {base!r}, which has no images.")
    if min(values) < 0 or max(values) >= size:
        row = next(row for row, value in enumerate(values) if not 0 <= value < size)
        raise RequestError(
            "split-out-of-range",
            f"{name} holds the index {values[row]} at position {row}, but the base {base!r} that it points into "
            f"has {size} images: 0 to {size - 1} would have been right. If the split belongs to another base, "
            "say so under `bases` in datasets.toml.",
            position=row,
        )
    indices = np.asarray(values, dtype=np.int64)
    indices.flags.writeable = False  # the catalog's callers share it
    return indices
