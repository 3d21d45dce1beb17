"""Readers of other tools' index lists: .json, .npy, .txt and .csv."""

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
COLUMNS = ("index", "indices", "idx")  # headings of the indices in a .csv; without one it must have a single column
NUMBER_LISTS = ("class_weights", "train_class_counts")  # .json files with other numbers in a folder of splits
WHOLE = re.compile(r"-?[0-9]+")  # int() also takes 1_0 for 10, and the digits of every script
UNREADABLE = (OSError, ValueError, RecursionError, MemoryError, csv.Error)  # of readers of files of another form
# NumPy raises these on a damaged header, which it reads as Python.
BAD_HEADER = (ValueError, OverflowError, SyntaxError, TokenError, TypeError, RecursionError)


def find_lists(sources: Sequence[Path]) -> tuple[dict[str, Path], dict[str, Any]]:
    """Find the index lists, and read the NUMBER_LISTS, by name.

    In a folder only files NAME_indices are lists; a file that is named itself may have any name.

    Raises:
        InvalidPath: a source does not exist or cannot be listed, there is no list, or two have one name.
    """
    lists: dict[str, Path] = {}
    numbers: dict[str, Path] = {}
    for source in sources:
        is_folder, paths = _files_of(source)
        for path in paths:
            if path.suffix == ".json" and path.stem in NUMBER_LISTS:
                _add(numbers, path.stem, path)
            elif path.suffix in READERS and (path.stem.endswith(MARK) or not is_folder):
                _add(lists, path.stem.removesuffix(MARK), path)
            elif not is_folder:
                raise InvalidPath(f"{_printable(path)} is none of {', '.join(READERS)}.")
    if not lists:
        raise InvalidPath(f"There is no index list, NAME{MARK} with {', '.join(READERS)}, among the sources.")
    return lists, {name: _numbers(path) for name, path in numbers.items()}


def read_indices(path: Path) -> list[int]:
    """Read a non-empty flat list of whole numbers.

    Raises:
        InvalidPath: the file holds something else, or cannot be read.
    """
    try:
        values = READERS[path.suffix](path)
    except UNREADABLE as error:
        raise InvalidPath(f"{_printable(path)} is no flat list of whole numbers: {_reason(error)}.") from error
    if not values:
        raise InvalidPath(f"{_printable(path)} holds no index; one or more would be right.")
    return values


def _files_of(source: Path) -> tuple[bool, list[Path]]:
    """Return whether a source is a folder, and its files.

    A source that is a file stands for itself.
    """
    try:
        if not source.exists():
            raise InvalidPath(f"There is neither a folder nor a file {str(source)!r}.")
        return (True, sorted(source.iterdir())) if source.is_dir() else (False, [source])
    except OSError as error:
        raise InvalidPath(f"{_printable(source)} cannot be read: {_reason(error)}.") from error


def _add(paths: dict[str, Path], name: str, path: Path) -> None:
    if name in paths:
        raise InvalidPath(f"{_printable(paths[name])} and {_printable(path)} are both called {name!r}.")
    if not name.isprintable():
        # JSON and URLs cannot carry such names, and the server refuses them.
        raise InvalidPath(f"{_printable(path)}: the name {name!r} has unprintable characters; rename the file.")
    paths[name] = path


def _printable(path: Path) -> str:
    """Return the path, quoted if it is not printable."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it is too large for the memory of this machine"
    return (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".") or type(error).__name__


def _numbers(path: Path) -> Any:
    try:
        values = json.loads(path.read_bytes())
        # Python reads NaN and infinity, but they are not JSON and no request can carry them.
        finite = isinstance(values, list) and all(
            type(v) is int or (type(v) is float and math.isfinite(v)) for v in values
        )
        if not finite:
            raise ValueError("a JSON list of numbers is expected")
        return values
    except UNREADABLE as error:
        raise InvalidPath(f"{_printable(path)} cannot be read: {_reason(error)}.") from error


def _read_json(path: Path) -> list[int]:
    values = json.loads(path.read_bytes())
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError("a JSON list of integers is expected")
    return values


def _read_npy(path: Path) -> list[int]:
    from numpy.lib import format as npy  # here, because the import takes longer than most commands

    with path.open("rb") as stream:
        if stream.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise ValueError("it does not begin as an .npy file does")
    try:
        # A memory map: NumPy compares the header's length with the file's before it allocates memory.
        values = npy.open_memmap(path, mode="r")
    except BAD_HEADER as error:
        raise ValueError(f"it is cut short, or its header is damaged ({error})") from error
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"it is {values.dtype} {list(values.shape)}; integers [N] are expected")
    return [int(value) for value in values]


def _read_txt(path: Path) -> list[int]:
    return _whole_numbers(path.read_text(encoding="utf-8-sig").replace(",", " ").split())


def _read_csv(path: Path) -> list[int]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = [column for column, cell in enumerate(heading) if cell in COLUMNS]
    if len(named) != 1 and any(len(row) != 1 for row in rows):
        raise ValueError(f"it has several columns, and not one that is called {' or '.join(COLUMNS)}")
    column, first = (named[0], 1) if named else (0, 0)
    if short := next((row for row in rows[first:] if len(row) <= column), None):
        raise ValueError(f"the row {','.join(short)[:80]!r} ends before the column {heading[column]!r}")
    return _whole_numbers(row[column].strip() for row in rows[first:])


def _whole_numbers(words: Iterable[str]) -> list[int]:
    values = []
    for word in words:
        if WHOLE.fullmatch(word) is None:
            raise ValueError(f"{word[:80]!r} is not a whole number in the digits 0 to 9")
        values.append(int(word))
    return values


READERS = {".json": _read_json, ".npy": _read_npy, ".txt": _read_txt, ".csv": _read_csv}
