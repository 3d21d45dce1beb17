"""The logit rows of one expert over one pool: computed when first asked for, then kept.

The one seam for compute: who asks for rows gets them in order, wherever they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Compute = Callable[[NDArray[np.int64]], Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]]


class Rows:
    """Rows of one expert and one pool. Lives as long as a claim, so that its splits share what they overlap.

    Args:
        compute: gives logits of distinct images, in batches.
        size: images in the pool.
        classes: logits a row.
    """

    def __init__(self, compute: Compute, size: int, classes: int) -> None:
        self._compute = compute
        # Pages are taken when first written: rows that nobody asks for cost no memory.
        self._logits = np.zeros((size, classes), np.float32)
        self._there = np.zeros(size, np.bool_)

    def count(self, indices: NDArray[np.int64]) -> int:
        """How many of the entries are there."""
        return int(self._there[indices].sum())

    def fill(self, indices: NDArray[np.int64]) -> Iterator[int]:
        """Compute the rows that are not there yet.

        Args:
            indices: [N] int64, may repeat.

        Yields:
            After each batch, how many of the N entries are there.
        """
        distinct = np.unique(indices)
        for rows, logits in self._compute(distinct[~self._there[distinct]]):
            self._logits[rows] = logits
            self._there[rows] = True
            yield self.count(indices)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """[N, C] float32: row n belongs to `indices[n]`.

        Raises:
            LookupError: a row was never computed; nothing is made up in its place.
        """
        if not self._there[indices].all():
            missing = int(indices[np.flatnonzero(~self._there[indices])[0]])
            raise LookupError(f"the row of image {missing} was not computed")
        return self._logits[indices]
