"""The logit rows of one expert over one pool during a claim: kept rows are read, new rows are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from app.domain.fault_points import reach
from app.files.row_files import KeptRows

WRITTEN_TOGETHER = 256
"""Rows per write: the most that a killed worker loses. Writing each batch takes eight times as long."""


class Rows:
    """Rows of one expert, one pool and one numerics key.

    They live as long as a claim, whose splits share them.

    Args:
        size: images in the pool.
        classes: logits per row.
        kept: where rows stay from job to job; None if they cannot be kept.
        reuse: whether kept rows are read. If not, new rows are compared with them.
    """

    def __init__(self, size: int, classes: int, kept: KeptRows | None, *, reuse: bool) -> None:
        # The system allocates pages when they are first written, so unused rows cost no memory.
        self._logits = np.zeros((size, classes), np.float32)
        self._present = np.zeros(size, np.bool_)
        self._differing = np.zeros(size, np.bool_)
        self._kept = kept
        self._keeping = kept is not None
        self._reuse = reuse
        self._unwritten: list[NDArray[np.int64]] = []
        self.note: str | None = None
        """The reason why rows are no longer kept; None while they are."""

    def missing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows to compute, distinct and ascending.

        Kept rows are read first.

        Args:
            indices: [N] int64, may repeat.
        """
        distinct = np.unique(indices)
        absent = distinct[~self._present[distinct]]
        if self._reuse and absent.size:
            whole, logits = self._recall(absent)
            self._logits[absent[whole]] = logits[whole]
            self._present[absent[whole]] = True
            absent = absent[~whole]
        return absent

    def put(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Hold rows [n, C] at distinct, ascending places until `flush`."""
        self._logits[rows] = logits
        self._present[rows] = True
        self._unwritten.append(rows)
        if sum(part.size for part in self._unwritten) >= WRITTEN_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write the new rows; without reuse, compare them first."""
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
        """Keep neither version of rows that differ from kept ones.

        Call it after the difference is recorded; until then the kept row is the only evidence.
        """
        rows = np.unique(indices[self.differing(indices)])
        if self._kept is not None:
            with self._stop_keeping_on_error():
                self._kept.drop(rows)

    def count(self, indices: NDArray[np.int64]) -> int:
        """Count the entries whose rows are available."""
        return int(self._present[indices].sum())

    def differing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return places [n] int64 whose rows differ from kept ones."""
        return np.flatnonzero(self._differing[indices])

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows [N, C] float32; row n belongs to `indices[n]`.

        Raises:
            LookupError: a row was not computed.
        """
        if not self._present[indices].all():
            missing = int(indices[np.flatnonzero(~self._present[indices])[0]])
            raise LookupError(f"the row of image {missing} was not computed")
        return self._logits[indices]

    def _recall(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        if self._kept is None:
            return np.zeros(rows.size, np.bool_), np.zeros((rows.size, self._logits.shape[1]), np.float32)
        reach("rows.sought", self._kept.folder.name, rows)
        return self._kept.read(rows)

    @contextmanager
    def _stop_keeping_on_error(self) -> Iterator[None]:
        # On a full disk, kept rows can still be read.
        try:
            yield
        except OSError as error:
            self._keeping = False
            self.note = not_kept(error)


def not_kept(error: OSError) -> str:
    """Return the note that rows could not be kept."""
    return f"rows could not be kept for later jobs: {error.strerror or error}"
