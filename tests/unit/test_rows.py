"""Rows of one expert over one pool, as a claim holds them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.files.row_files import KeptRows
from app.files.row_store import RowStore
from tests.computing import row_source_of
from tests.fake_expert import CLASSES, numbered_logits
from worker.compute.rows import WRITTEN_TOGETHER, Rows

SIZE = 50
SOURCE = row_source_of(CLASSES)


def opened(folder: Path) -> KeptRows:
    return RowStore(folder).open(SOURCE, SIZE, {})


def filled(rows: Rows, indices: np.ndarray) -> list[int]:
    """Compute what is missing; returns what that was."""
    missing = rows.missing(indices)
    rows.put(missing, numbered_logits(missing))
    rows.flush()
    return [int(row) for row in missing]


def test_rows_come_in_the_order_asked_for_with_repeats() -> None:
    """Row n belongs to indices[n], also where an index stands twice."""
    rows = Rows(SIZE, CLASSES, None, reuse=True)
    indices = np.array([9, 3, 9, 49, 0])
    assert filled(rows, indices) == [0, 3, 9, 49]
    np.testing.assert_array_equal(rows.take(indices), numbered_logits(indices))


def test_what_splits_share_is_computed_once() -> None:
    """A second list over known images computes only its own, also where nothing can be kept."""
    rows = Rows(SIZE, CLASSES, None, reuse=True)
    assert filled(rows, np.array([1, 2, 3])) == [1, 2, 3]
    assert filled(rows, np.array([3, 4, 1, 4])) == [4]


def test_progress_counts_entries_not_distinct_rows() -> None:
    """Three entries of one image are three samples done."""
    rows = Rows(SIZE, CLASSES, None, reuse=True)
    filled(rows, np.array([7, 7, 7]))
    assert rows.count(np.array([7, 7, 7])) == 3
    assert rows.count(np.array([7, 8])) == 1


def test_a_row_that_was_not_computed_is_never_made_up() -> None:
    """Zeros are not logits."""
    rows = Rows(SIZE, CLASSES, None, reuse=True)
    filled(rows, np.array([1]))
    with pytest.raises(LookupError, match="image 2"):
        rows.take(np.array([1, 2]))


def test_rows_are_written_some_at_a_time(tmp_path: Path) -> None:
    """A worker that is killed loses at most so many; the rest is on disk without being asked for."""
    source, size = row_source_of(CLASSES), 3 * WRITTEN_TOGETHER
    kept = RowStore(tmp_path).open(source, size, {})
    rows = Rows(size, CLASSES, kept, reuse=True)
    for start in range(0, size - 8, 8):
        batch = np.arange(start, start + 8)
        rows.put(batch, numbered_logits(batch))
        assert start + 8 - kept.there() < WRITTEN_TOGETHER
    assert kept.there() == 2 * WRITTEN_TOGETHER
    rows.flush()
    whole, logits = kept.read(np.arange(size - 8))
    assert whole.all()
    np.testing.assert_array_equal(logits, numbered_logits(np.arange(size - 8)))


def test_a_later_claim_finds_the_rows(tmp_path: Path) -> None:
    """What one claim computed, the next one recalls, bit for bit, and computes only the rest."""
    filled(Rows(SIZE, CLASSES, opened(tmp_path), reuse=True), np.array([4, 8]))
    rows = Rows(SIZE, CLASSES, opened(tmp_path), reuse=True)
    assert filled(rows, np.array([8, 2, 4])) == [2]
    np.testing.assert_array_equal(rows.take(np.array([8, 2, 4])), numbered_logits(np.array([8, 2, 4])))


def test_without_reuse_everything_is_computed_and_compared(tmp_path: Path) -> None:
    """Rows that come out with other bits are named by their place, and neither version is kept."""
    filled(Rows(SIZE, CLASSES, opened(tmp_path), reuse=True), np.array([4, 8]))
    rows = Rows(SIZE, CLASSES, opened(tmp_path), reuse=False)
    indices = np.array([8, 4, 2, 8])
    assert rows.missing(indices).tolist() == [2, 4, 8]
    fresh = numbered_logits(np.array([2, 4, 8]))
    fresh[2, 1] = np.nextafter(fresh[2, 1], np.float32(np.inf))
    rows.put(np.array([2, 4, 8]), fresh)
    rows.flush()
    assert rows.differing(indices).tolist() == [0, 3]
    np.testing.assert_array_equal(rows.take(np.array([8]))[0], fresh[2])
    # Until that is told, the kept row stays: it is the evidence, should the worker die.
    assert opened(tmp_path).read(np.array([2, 4, 8]))[0].all()
    rows.drop_differing(indices)
    there, logits = opened(tmp_path).read(np.array([2, 4, 8]))
    assert there.tolist() == [True, True, False]
    np.testing.assert_array_equal(logits[:2], fresh[:2])


def test_a_full_disk_stops_the_keeping_not_the_recalling(tmp_path: Path) -> None:
    """What can no longer be written can still be read."""
    kept = opened(tmp_path)
    filled(Rows(SIZE, CLASSES, kept, reuse=True), np.array([4, 8]))

    class _Full(KeptRows):
        def write(self, indices: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    rows = Rows(SIZE, CLASSES, _Full(kept.folder, SOURCE.key, SIZE, CLASSES), reuse=True)
    assert filled(rows, np.array([1])) == [1]
    assert rows.note == "rows could not be kept for later jobs: No space left on device"
    assert filled(rows, np.array([1, 4, 8])) == []


def test_minus_zero_is_another_row_than_zero(tmp_path: Path) -> None:
    """Bits are compared, not values."""
    zero = np.zeros((1, CLASSES), np.float32)
    first = Rows(SIZE, CLASSES, opened(tmp_path), reuse=True)
    first.put(np.array([3]), zero)
    first.flush()
    rows = Rows(SIZE, CLASSES, opened(tmp_path), reuse=False)
    rows.put(np.array([3]), -zero)
    rows.flush()
    assert rows.differing(np.array([3])).tolist() == [0]


def test_rows_that_can_no_longer_be_kept_are_still_right(tmp_path: Path) -> None:
    """A row folder that vanishes in mid-job costs the keeping, not the job; the note says so."""
    kept = opened(tmp_path)
    rows = Rows(SIZE, CLASSES, kept, reuse=True)
    filled(rows, np.array([1]))
    RowStore(tmp_path).remove(SOURCE.key)
    filled(rows, np.array([1, 2]))
    np.testing.assert_array_equal(rows.take(np.array([2, 1])), numbered_logits(np.array([2, 1])))
    assert rows.note is not None
    assert "could not be kept" in rows.note
