"""Logit rows on disk, under `<outputs>/.relogit/rows/<key>/`: computed once, used by every later job.

    about.json   what the key stands for, and what the rows were first computed for; its time is that of the last use
    logits.npy   [N, C] float32, a row for each image of the pool; a sparse file, rows never computed take no room
    sums.npy     [N] uint64, a checksum of each row; 0: the row is not there

A row counts only if its checksum fits, so nothing has to be written in a certain order or flushed: what a crash
left half-written, what was truncated or flipped, is computed again. Two writers of one key write the same bits.
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
"""Rows: so that checking a large pool needs little memory, and stays in the cache."""

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
        """[n] uint64, never 0, of rows [n, C] float32 that stand at the given places."""
        sums: Sums = (indices.astype(np.uint64) + np.uint64(1)) * self._multipliers[-1]
        for start in range(0, indices.size, CHECKED_AT_ONCE):
            some = slice(start, start + CHECKED_AT_ONCE)
            words = np.ascontiguousarray(logits[some], "<f4").view("<u4").astype(np.uint64)
            sums[some] += words @ self._multipliers[:-1]
        sums[sums == 0] = 1
        return sums


@dataclass(frozen=True)
class Condition:
    """What a look at every kept row found."""

    rows: int
    """Rows that are there and whose checksum fits."""
    damaged: int
    """Rows that are there but do not fit: they will be computed again when asked for."""


class KeptRows:
    """The rows of one key. Made by `RowStore.open` or `RowStore.look`.

    Their folder may be removed meanwhile, and be made anew: then nothing is there, and nothing else is wrong.

    Raises:
        OSError: there are no such files.
        ValueError: they are not whole, or not the files of so many rows.
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
        """The rows at the given places: [n] bool whether each is there and whole, and [n, C] float32.

        What was copied out is what is checked; rows that are not there hold anything.
        """
        try:
            logits = np.memmap(self.folder / LOGITS, "<f4", "r", self._offsets[0], self.shape)
            sums = np.memmap(self.folder / SUMS, "<u8", "r", self._offsets[1], self.shape[:1])
        except (OSError, ValueError):  # removed since, or cut short
            return np.zeros(indices.size, np.bool_), np.zeros((indices.size, self.shape[1]), np.float32)
        rows = np.asarray(logits[indices])
        return self._checksum.of(indices, rows) == sums[indices], rows

    def count(self, indices: Indices) -> int:
        """How many of the given places, without repeats, hold a whole row. For a process that must not die.

        Reads the files rather than mapping them: a file cut short under a map would kill the reader.
        """
        wanted = np.zeros(self.shape[0], np.bool_)
        wanted[indices] = True
        try:
            return sum(int((wanted[start : start + good.size] & good).sum()) for start, good, _ in self._scan(wanted))
        except OSError:  # removed since
            return 0

    def condition(self) -> Condition:
        """A look at every row.

        Raises:
            OSError: they were removed.
        """
        rows = damaged = 0
        for _, good, there in self._scan():
            rows += int(good.sum())
            damaged += int((there & ~good).sum())
        return Condition(rows, damaged)

    def there(self) -> int:
        """How many rows claim to be there. Quick: reads checksums only.

        Raises:
            OSError: they were removed.
        """
        return int(np.count_nonzero(self._read_sums(0, self.shape[0])))

    def places(self) -> Indices:
        """Return the ascending places that claim to hold a row.

        Reads checksums only; where the files were removed there are none.
        """
        try:
            return np.flatnonzero(self._read_sums(0, self.shape[0]))
        except OSError:
            return np.zeros(0, np.int64)

    def write(self, indices: Indices, logits: Matrix) -> None:
        """Keep rows [n, C] float32 at the given ascending places.

        Raises:
            OSError: no space, say, or they were removed. What was written does not count unless it is whole.
        """
        self._put(LOGITS, self._offsets[0], indices, np.ascontiguousarray(logits, "<f4"))
        self._put(SUMS, self._offsets[1], indices, self._checksum.of(indices, logits).astype("<u8"))

    def drop(self, indices: Indices) -> None:
        """Forget the rows at the given ascending places.

        Raises:
            OSError: that cannot be written, or they were removed.
        """
        self._put(SUMS, self._offsets[1], indices, np.zeros(indices.size, "<u8"))

    def touch(self) -> None:
        """Note that the rows were used now; where that cannot be noted, they only seem older than they are."""
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
        """From each start on: which rows are whole, and which claim to be there; only where one is wanted."""
        size, classes = self.shape
        with (self.folder / LOGITS).open("rb") as stream:
            for start in range(0, size, CHECKED_AT_ONCE):
                count = min(CHECKED_AT_ONCE, size - start)
                if wanted is not None and not wanted[start : start + count].any():
                    continue
                sums = self._read_sums(start, count)
                there = sums != 0
                good = np.zeros(count, np.bool_)
                if there.any():
                    stream.seek(self._offsets[0] + start * classes * 4)
                    data = stream.read(count * classes * 4)
                    rows = np.frombuffer(data, "<f4", len(data) // (classes * 4) * classes).reshape(-1, classes)
                    places = np.arange(start, start + len(rows), dtype=np.int64)
                    good[: len(rows)] = self._checksum.of(places, rows) == sums[: len(rows)]
                yield start, good, there

    def _read_sums(self, start: int, count: int) -> Sums:
        with (self.folder / SUMS).open("rb") as stream:
            stream.seek(self._offsets[1] + start * 8)
            data = stream.read(count * 8)
        sums = np.zeros(count, np.uint64)
        sums[: len(data) // 8] = np.frombuffer(data, "<u8", len(data) // 8)
        return sums


def _runs(indices: Indices) -> Iterator[tuple[int, int]]:
    """Start and end of each run of neighbours in ascending indices."""
    edges = np.flatnonzero(np.diff(indices) != 1) + 1
    return zip([0, *edges.tolist()], [*edges.tolist(), indices.size], strict=True) if indices.size else iter(())


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What stands in an .npy file before its values."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _check_array(path: Path, dtype: str, shape: tuple[int, ...]) -> int:
    """Where the values of an .npy file begin; ValueError unless it is whole and of that very kind."""
    # Compared, not parsed: a damaged header could raise, warn of or mean anything.
    header = npy_header(dtype, shape)
    with path.open("rb") as stream:
        if stream.read(len(header)) != header:
            raise ValueError(f"{path} does not begin as an array of {shape} {dtype} does")
        if os.fstat(stream.fileno()).st_size != len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize:
            raise ValueError(f"{path} is not whole")
    return len(header)
