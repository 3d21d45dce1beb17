"""Rows of one expert over one pool."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fake_expert import CLASSES, numbered_logits
from worker.rows import Rows


class _Computer:
    """Gives numbered logits and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for start in range(0, rows.size, 4):
            batch = rows[start : start + 4]
            self.asked += batch.tolist()
            yield batch, numbered_logits(batch)


def test_rows_come_in_the_order_asked_for_with_repeats() -> None:
    """Row n belongs to indices[n], also where an index stands twice."""
    rows = Rows(_Computer(), 50, CLASSES)
    indices = np.array([9, 3, 9, 49, 0])
    assert list(rows.fill(indices))[-1] == 5
    np.testing.assert_array_equal(rows.take(indices), numbered_logits(indices))


def test_what_splits_share_is_computed_once() -> None:
    """A second list over known images computes only its own."""
    computer = _Computer()
    rows = Rows(computer, 50, CLASSES)
    list(rows.fill(np.array([1, 2, 3])))
    list(rows.fill(np.array([3, 4, 1, 4])))
    assert sorted(computer.asked) == [1, 2, 3, 4]


def test_progress_counts_entries_not_distinct_rows() -> None:
    """Three entries of one image are three samples done."""
    rows = Rows(_Computer(), 50, CLASSES)
    assert list(rows.fill(np.array([7, 7, 7]))) == [3]
    assert rows.count(np.array([7, 8])) == 1


def test_a_row_that_was_not_computed_is_never_made_up() -> None:
    """Zeros are not logits."""
    rows = Rows(_Computer(), 50, CLASSES)
    list(rows.fill(np.array([1])))
    with pytest.raises(LookupError, match="image 2"):
        rows.take(np.array([1, 2]))
