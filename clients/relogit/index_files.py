"""Index lists that other tools wrote: found among files and folders, and read from .json, .npy, .txt and .csv."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relogit.errors import InvalidPath

MARK = "_indices"
COLUMNS = ("index", "indices", "idx")
"""Headings of the column of a .csv that holds the indices; without one of them it must have a single column."""
BESIDE = ("class_weights", "train_class_counts")
"""Lists of numbers that a folder of splits has beside its index lists."""


def find_lists(sources: Sequence[Path]) -> tuple[dict[str, Path], dict[str, Any]]:
    """The lists among files and folders, by name, and what is BESIDE them.

    Of a folder these are its NAME_indices files; a file that is named is taken as it is.

    Raises:
        InvalidPath: a source is not there, there is no list, or two have one name.
    """
    found: dict[str, Path] = {}
    beside: dict[str, Any] = {}
    for source in sources:
        if not source.exists():
            raise InvalidPath(f"There is neither a folder nor a file {str(source)!r}.")
        for path in sorted(source.iterdir()) if source.is_dir() else [source]:
            name = path.stem.removesuffix(MARK)
            if path.suffix == ".json" and path.stem in BESIDE:
                beside[path.stem] = _numbers(path)
            elif path.suffix in READERS and (path.stem.endswith(MARK) or not source.is_dir()):
                if name in found:
                    raise InvalidPath(f"{found[name]} and {path} are both called {name!r}.")
                found[name] = path
            elif not source.is_dir():
                raise InvalidPath(f"{path} is none of {', '.join(READERS)}.")
    if not found:
        raise InvalidPath(f"There is no index list, NAME{MARK} with {', '.join(READERS)}, among the sources.")
    return found, beside


def read_indices(path: Path) -> list[int]:
    """A flat list of whole numbers.

    Raises:
        InvalidPath: the file cannot be read as such; says why.
    """
    try:
        return READERS[path.suffix](path)
    except (OSError, ValueError, RecursionError, EOFError, IndexError) as error:
        raise InvalidPath(f"{path} is no flat list of whole numbers: {error}.") from error


def _numbers(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidPath(f"{path} cannot be read: {error}.") from error


def _json(path: Path) -> list[int]:
    values = json.loads(path.read_bytes())
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError("a JSON list of integers is expected")
    return values


def _npy(path: Path) -> list[int]:
    import numpy as np  # here, for it takes longer to import than most commands take to run

    values = np.load(path, allow_pickle=False)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"it is {values.dtype} {list(values.shape)}; integers [N] are expected")
    return [int(value) for value in values]


def _txt(path: Path) -> list[int]:
    return [int(word) for word in path.read_text(encoding="utf-8-sig").replace(",", " ").split()]


def _csv(path: Path) -> list[int]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    heading = [cell.strip().lower() for cell in rows[0]]
    named = [place for place, cell in enumerate(heading) if cell in COLUMNS]
    if len(named) != 1 and any(len(row) != 1 for row in rows):
        raise ValueError(f"it has several columns, and not one that is called {' or '.join(COLUMNS)}")
    column, first = (named[0], 1) if named else (0, 0)
    return [int(row[column]) for row in rows[first:]]


READERS = {".json": _json, ".npy": _npy, ".txt": _txt, ".csv": _csv}
