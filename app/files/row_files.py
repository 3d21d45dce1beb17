"""Kept logit rows in files, under `<outputs>/.relogit/rows/<key>/`; later jobs use them.

    about.json   what the key stands for, and what the rows were first computed for; its time is that of the last use
    logits.npy   [N, C] float32, a row for each image of the pool; a sparse file, rows never computed take no room
    sums.npy     [N] uint64, a checksum of each row; 0: the row is not there

A row counts only if its checksum fits, so nothing has to be written in a certain order or flushed: rows that a crash
left incomplete, or that were truncated or flipped, are computed again. Two writers of one key write the same bits.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Matrix = NDArray[np.float32]
Sums = NDArray[np.uint64]

CHECKED_AT_ONCE = 1024
"""Rows. Few, so that a check of a large pool needs little memory and stays in the cache."""

ABOUT, LOGITS, SUMS = "about.json", "logits.npy", "sums.npy"


class RowChecksum:
    """A 64-bit checksum of a row, its place and its key, for many rows at once.

    Multilinear hashing: sum of multiplier_i x word_i mod 2^64 over the row's 32-bit words and its index, with odd
    multipliers drawn from the key (Lemire and Kaser, "Strongly universal string hashing is fast", 2014). An odd
    multiplier makes every single flipped bit show; a row of another key or at another place fits by chance only.
    """

    def __init__(self, key: str, classes: int) -> None:
        generator = np.random.PCG64(int(key, 16))
        self._multipliers: Sums = generator.random_raw(classes + 1) | np.uint64(1)

    def of(self, indices: Indices, logits: Matrix) -> Sums:
        """Compute the non-zero checksums, [n] uint64, of rows [n, C].

        Each covers the row's place, from `indices` [n], too.
        """
        sums: Sums = (indices.astype(np.uint64) + np.uint64(1)) * self._multipliers[-1]
        for start in range(0, indices.size, CHECKED_AT_ONCE):
            part = slice(start, start + CHECKED_AT_ONCE)
            words = np.ascontiguousarray(logits[part], "<f4").view("<u4").astype(np.uint64)
            sums[part] += words @ self._multipliers[:-1]
        sums[sums == 0] = 1
        return sums


@dataclass(frozen=True)
class Condition:
    """The outcome of checking every kept row."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 — the API documents the fields with them

    rows: int
    """Rows whose checksum fits."""
    damaged: int
    """Rows whose checksum does not fit; they are computed again when a job needs them."""


class KeptRows:
    """The rows of one key. Created by `RowStore.open` or `RowStore.look`.

    Their folder may be removed meanwhile, and be created anew: then it holds no rows, and nothing else is wrong.

    Raises:
        OSError: there are no such files.
        ValueError: they are incomplete, or not the files of so many rows.
    """

    def __init__(self, folder: Path, key: str, size: int, classes: int) -> None:
        self.folder = folder
        self.shape = (size, classes)
        self._offsets = (
            _check_array(folder / LOGITS, "<f4", (size, classes)),
            _check_array(folder / SUMS, "<u8", (size,)),
        )
        self._checksum = RowChecksum(key, classes)

    def read(self, indices: Indices) -> tuple[NDArray[np.bool_], Matrix]:
        """Read the rows at the given places.

        The copies are checked, not the files. Returns [n] bool, whether each row is there and undamaged, and [n, C]
        float32; other rows hold arbitrary values.
        """
        try:
            logits = np.memmap(self.folder / LOGITS, "<f4", "r", self._offsets[0], self.shape)
            sums = np.memmap(self.folder / SUMS, "<u8", "r", self._offsets[1], self.shape[:1])
        except (OSError, ValueError):  # removed since, or cut short
            return np.zeros(indices.size, np.bool_), np.zeros((indices.size, self.shape[1]), np.float32)
        rows = np.asarray(logits[indices])
        return self._checksum.of(indices, rows) == sums[indices], rows

    def count(self, indices: Indices) -> int:
        """Count the distinct places that hold undamaged rows.

        Reads the files rather than mapping them: a file that is truncated under a map would kill the API.
        """
        wanted = np.zeros(self.shape[0], np.bool_)
        wanted[indices] = True
        try:
            return sum(int((wanted[start : start + good.size] & good).sum()) for start, good, _ in self._scan(wanted))
        except OSError:  # removed since
            return 0

    def condition(self) -> Condition:
        """Check every row.

        Raises:
            OSError: they were removed.
        """
        rows = damaged = 0
        for _, good, present in self._scan():
            rows += int(good.sum())
            damaged += int((present & ~good).sum())
        return Condition(rows, damaged)

    def there(self) -> int:
        """Count the rows with checksums; read only the checksums.

        Raises:
            OSError: they were removed.
        """
        return int(np.count_nonzero(self._read_sums(0, self.shape[0])))

    def places(self) -> Indices:
        """Return the ascending places of rows with a checksum.

        Removed files have none.
        """
        try:
            return np.flatnonzero(self._read_sums(0, self.shape[0]))
        except OSError:
            return np.zeros(0, np.int64)

    def write(self, indices: Indices, logits: Matrix) -> None:
        """Write rows [n, C] float32 at the given ascending places.

        Raises:
            OSError: no space, say, or they were removed. Rows that were written in part do not count.
        """
        self._put(LOGITS, self._offsets[0], indices, np.ascontiguousarray(logits, "<f4"))
        self._put(SUMS, self._offsets[1], indices, self._checksum.of(indices, logits).astype("<u8"))

    def drop(self, indices: Indices) -> None:
        """Forget the rows at the given ascending places.

        Raises:
            OSError: the checksums cannot be written, or were removed.
        """
        self._put(SUMS, self._offsets[1], indices, np.zeros(indices.size, "<u8"))

    def touch(self) -> None:
        """Record that the rows were used now, if possible."""
        with contextlib.suppress(OSError):
            os.utime(self.folder / ABOUT)

    def _put(self, name: str, offset: int, indices: Indices, values: NDArray[Any]) -> None:
        # Written, not mapped: on a full disk a write raises, where a mapped page would kill the process.
        width = values.nbytes // max(1, len(values))
        handle = os.open(self.folder / name, os.O_WRONLY)
        try:
            for start, end in _runs(indices):
                data = values[start:end].tobytes()
                at = offset + int(indices[start]) * width
                while data:
                    written = os.pwrite(handle, data, at)
                    data, at = data[written:], at + written
        finally:
            os.close(handle)

    def _scan(
        self, wanted: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Yield start, undamaged and present rows of each part.

        Present rows have a checksum. Parts without any `wanted` row, [size] bool, are left out.
        """
        size, classes = self.shape
        with (self.folder / LOGITS).open("rb") as stream:
            for start in range(0, size, CHECKED_AT_ONCE):
                count = min(CHECKED_AT_ONCE, size - start)
                if wanted is not None and not wanted[start : start + count].any():
                    continue
                sums = self._read_sums(start, count)
                present = sums != 0
                good = np.zeros(count, np.bool_)
                if present.any():
                    stream.seek(self._offsets[0] + start * classes * 4)
                    data = stream.read(count * classes * 4)
                    rows = np.frombuffer(data, "<f4", len(data) // (classes * 4) * classes).reshape(-1, classes)
                    places = np.arange(start, start + len(rows), dtype=np.int64)
                    good[: len(rows)] = self._checksum.of(places, rows) == sums[: len(rows)]
                yield start, good, present

    def _read_sums(self, start: int, count: int) -> Sums:
        with (self.folder / SUMS).open("rb") as stream:
            stream.seek(self._offsets[1] + start * 8)
            data = stream.read(count * 8)
        sums = np.zeros(count, np.uint64)
        sums[: len(data) // 8] = np.frombuffer(data, "<u8", len(data) // 8)
        return sums


def _runs(indices: Indices) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run in ascending indices."""
    edges = np.flatnonzero(np.diff(indices) != 1) + 1
    return zip([0, *edges.tolist()], [*edges.tolist(), indices.size], strict=True) if indices.size else iter(())


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Build the header of an .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _check_array(path: Path, dtype: str, shape: tuple[int, ...]) -> int:
    """Return the byte offset of an .npy file's values.

    Raises:
        ValueError: it is another array, or incomplete.
    """
    # Compared, not parsed: a damaged header could raise, warn of or mean anything.
    header = npy_header(dtype, shape)
    with path.open("rb") as stream:
        if stream.read(len(header)) != header:
            raise ValueError(f"{path} is not an array {dtype}{list(shape)}")
        if os.fstat(stream.fileno()).st_size != len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize:
            raise ValueError(f"{path} is incomplete")
    return len(header)
