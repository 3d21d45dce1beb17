"""The logit rows of one expert over one pool, as one claim holds them: kept ones recalled, new ones kept.

The one seam for compute: who asks for rows gets them in order, wherever they come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from app.domain.fault_points import reach
from app.files.row_files import KeptRows

WRITTEN_TOGETHER = 256
"""Rows. A worker that is killed loses no more of them; written batch by batch they would cost eight times as much."""


class Rows:
    """Rows of one expert, one pool and one numerics. Lives as long as a claim, so that its splits share them.

    Args:
        size: images in the pool.
        classes: logits a row.
        kept: where rows stay from job to job; None where that cannot be had.
        reuse: whether kept rows are taken. If not, new ones are held against them.
    """

    def __init__(self, size: int, classes: int, kept: KeptRows | None, *, reuse: bool) -> None:
        # Pages are taken when first written: rows that nobody asks for cost no memory.
        self._logits = np.zeros((size, classes), np.float32)
        self._there = np.zeros(size, np.bool_)
        self._differing = np.zeros(size, np.bool_)
        self._kept = kept
        self._keeping = kept is not None
        self._reuse = reuse
        self._unwritten: list[NDArray[np.int64]] = []
        self.note: str | None = None
        """Why rows are no longer kept, if they are not."""

    def missing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that have to be computed: distinct and ascending. What is kept has been recalled then.

        Args:
            indices: [N] int64, may repeat.
        """
        distinct = np.unique(indices)
        absent = distinct[~self._there[distinct]]
        if self._reuse and absent.size:
            whole, logits = self._recall(absent)
            self._logits[absent[whole]] = logits[whole]
            self._there[absent[whole]] = True
            absent = absent[~whole]
        return absent

    def put(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Take computed rows [n, C] float32 at distinct, ascending places. `flush` sees to it that they are kept."""
        self._logits[rows] = logits
        self._there[rows] = True
        self._unwritten.append(rows)
        if sum(part.size for part in self._unwritten) >= WRITTEN_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what has been computed since the last time; without reuse, hold it against what was kept."""
        if not self._unwritten:
            return
        rows = np.unique(np.concatenate(self._unwritten))
        self._unwritten.clear()
        if not self._reuse:
            whole, before = self._recall(rows)
            same = (before.view(np.uint32) == self._logits[rows].view(np.uint32)).all(axis=1)
            self._differing[rows] = whole & ~same
            rows = rows[~whole]
        if self._kept is not None and self._keeping:
            with self._stop_keeping_on_error():
                self._kept.write(rows, self._logits[rows])
                reach("rows.kept", self._kept.folder.name, rows)

    def drop_differing(self, indices: NDArray[np.int64]) -> None:
        """Keep neither version of the rows that came out with other bits: nobody knows which is right.

        To be called once that is known to be told: before, the kept row is the only evidence.
        """
        rows = np.unique(indices[self.differing(indices)])
        if self._kept is not None:
            with self._stop_keeping_on_error():
                self._kept.drop(rows)

    def count(self, indices: NDArray[np.int64]) -> int:
        """How many of the entries are there."""
        return int(self._there[indices].sum())

    def differing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n] int64: places among the entries whose row came out with other bits than it was kept with."""
        return np.flatnonzero(self._differing[indices])

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """[N, C] float32: row n belongs to `indices[n]`.

        Raises:
            LookupError: a row is not there; nothing is made up in its place.
        """
        if not self._there[indices].all():
            missing = int(indices[np.flatnonzero(~self._there[indices])[0]])
            raise LookupError(f"the row of image {missing} was not computed")
        return self._logits[indices]

    def _recall(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        if self._kept is None:
            return np.zeros(rows.size, np.bool_), np.zeros((rows.size, self._logits.shape[1]), np.float32)
        reach("rows.sought", self._kept.folder.name, rows)
        return self._kept.read(rows)

    @contextmanager
    def _stop_keeping_on_error(self) -> Iterator[None]:
        # On a full disk what is there can still be read.
        try:
            yield
        except OSError as error:
            self._keeping = False
            self.note = not_kept(error)


def not_kept(error: OSError) -> str:
    """The note on a unit whose rows could not be kept."""
    return f"rows could not be kept for later jobs: {error.strerror or error}"
