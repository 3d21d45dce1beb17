"""Index lists that other tools wrote: found among files and folders, and read from .json, .npy, .txt and .csv."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

from relogit.errors import InvalidPath

MARK = "_indices"
COLUMNS = ("index", "indices", "idx")
"""Headings of the column of a .csv that holds the indices; without one of them it must have a single column."""
BESIDE = ("class_weights", "train_class_counts")
"""Lists of numbers that a folder of splits has beside its index lists."""
WHOLE = re.compile(r"-?[0-9]+")
"""Python's own int() also takes 1_0 for 10, and the digits of every script."""
UNREADABLE = (OSError, ValueError, RecursionError, MemoryError, csv.Error)
"""What the readers raise on files that are something else."""
BAD_HEADER = (ValueError, OverflowError, SyntaxError, TokenError, TypeError, RecursionError)
"""What NumPy raises on a header that is damaged: it reads it as Python."""


def find_lists(sources: Sequence[Path]) -> tuple[dict[str, Path], dict[str, Any]]:
    """The lists among files and folders, by name, and what is BESIDE them.

    Of a folder these are its NAME_indices files; a file that is named is taken as it is.

    Raises:
        InvalidPath: a source is not there or cannot be listed, there is no list, or two have one name.
    """
    found: dict[str, Path] = {}
    numbers: dict[str, Path] = {}
    for source in sources:
        is_folder, paths = _look_into(source)
        for path in paths:
            name = path.stem.removesuffix(MARK)
            if path.suffix == ".json" and path.stem in BESIDE:
                _note(numbers, path.stem, path)
            elif path.suffix in READERS and (path.stem.endswith(MARK) or not is_folder):
                _note(found, name, path)
            elif not is_folder:
                raise InvalidPath(f"{_shown(path)} is none of {', '.join(READERS)}.")
    if not found:
        raise InvalidPath(f"There is no index list, NAME{MARK} with {', '.join(READERS)}, among the sources.")
    return found, {name: _numbers(path) for name, path in numbers.items()}


def read_indices(path: Path) -> list[int]:
    """A flat list of whole numbers, one or more.

    Raises:
        InvalidPath: the file cannot be read as such; says why.
    """
    try:
        values = READERS[path.suffix](path)
    except UNREADABLE as error:
        raise InvalidPath(f"{_shown(path)} is no flat list of whole numbers: {_why(error)}.") from error
    if not values:
        raise InvalidPath(f"{_shown(path)} holds no index; one or more would be right.")
    return values


def _look_into(source: Path) -> tuple[bool, list[Path]]:
    """Whether it is a folder, and the files in it, or itself."""
    try:
        if not source.exists():
            raise InvalidPath(f"There is neither a folder nor a file {str(source)!r}.")
        return (True, sorted(source.iterdir())) if source.is_dir() else (False, [source])
    except OSError as error:
        raise InvalidPath(f"{_shown(source)} cannot be read: {_why(error)}.") from error


def _note(found: dict[str, Path], name: str, path: Path) -> None:
    if name in found:
        raise InvalidPath(f"{_shown(found[name])} and {_shown(path)} are both called {name!r}.")
    if not name.isprintable():
        # Neither JSON nor a URL could carry bytes that are no text, and no set takes the rest.
        raise InvalidPath(f"{_shown(path)}: the name {name!r} has characters that cannot be shown; rename the file.")
    found[name] = path


def _shown(path: Path) -> str:
    """A path in a sentence; quoted where it holds what would break the line."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _why(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it is too large for the memory of this machine"
    return (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".") or type(error).__name__


def _numbers(path: Path) -> Any:
    try:
        values = json.loads(path.read_bytes())
        # NaN and infinity are no JSON, though Python reads them: the request could not carry them.
        if not isinstance(values, list) or not all(type(v) is int or _finite(v) for v in values):
            raise ValueError("a JSON list of numbers is expected")
        return values
    except UNREADABLE as error:
        raise InvalidPath(f"{_shown(path)} cannot be read: {_why(error)}.") from error


def _finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _json(path: Path) -> list[int]:
    values = json.loads(path.read_bytes())
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError("a JSON list of integers is expected")
    return values


def _npy(path: Path) -> list[int]:
    from numpy.lib import format as npy  # here, for it takes longer to import than most commands take to run

    with path.open("rb") as stream:
        if stream.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise ValueError("it does not begin as an .npy file does")
    try:
        # A map, for its length is held against the file's before there is any memory for it.
        values = npy.open_memmap(path, mode="r")
    except BAD_HEADER as error:
        raise ValueError(f"it is cut short, or its header is damaged ({error})") from error
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"it is {values.dtype} {list(values.shape)}; integers [N] are expected")
    return [int(value) for value in values]


def _txt(path: Path) -> list[int]:
    return _whole(path.read_text(encoding="utf-8-sig").replace(",", " ").split())


def _csv(path: Path) -> list[int]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = [place for place, cell in enumerate(heading) if cell in COLUMNS]
    if len(named) != 1 and any(len(row) != 1 for row in rows):
        raise ValueError(f"it has several columns, and not one that is called {' or '.join(COLUMNS)}")
    column, first = (named[0], 1) if named else (0, 0)
    if short := next((row for row in rows[first:] if len(row) <= column), None):
        raise ValueError(f"the row {','.join(short)[:80]!r} ends before the column {heading[column]!r}")
    return _whole(row[column].strip() for row in rows[first:])


def _whole(words: Iterable[str]) -> list[int]:
    values = []
    for word in words:
        if WHOLE.fullmatch(word) is None:
            raise ValueError(f"{word[:80]!r} is not one, written with the digits 0 to 9")
        values.append(int(word))
    return values


READERS = {".json": _json, ".npy": _npy, ".txt": _txt, ".csv": _csv}
