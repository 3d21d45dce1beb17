"""Kept rows: what is whole is served bit by bit, what is not is never served."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.files.row_files import ABOUT, CHECKED_AT_ONCE, LOGITS, SUMS, Condition, KeptRows, RowChecksum
from tests.unit.kept import CLASSES, SIZE, SOURCE, cut, filled, flip, logits, source

HEADER = 128
"""Bytes before the values of an .npy file of this size."""
ALL = np.arange(SIZE)
ROOT = Path(__file__).parents[2]


def there(kept: KeptRows) -> list[int]:
    """The places whose rows are served, each seen to be served with the right bits."""
    whole, rows = kept.read(np.arange(kept.shape[0]))
    assert np.array_equal(rows[whole].view("<u4"), logits(*kept.shape)[whole].view("<u4"))
    assert kept.count(np.arange(kept.shape[0])) == whole.sum()
    return list(np.flatnonzero(whole))


def without(*places: int) -> list[int]:
    return [place for place in range(SIZE) if place not in places]


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    """Any order, repeats as well; bits as they were written."""
    kept = filled(tmp_path)
    indices = np.array([5, 0, 5, 6, 1])
    whole, rows = kept.read(indices)
    assert whole.all()
    assert rows.dtype == np.float32
    assert np.array_equal(rows, logits()[indices])
    assert not np.shares_memory(rows, kept.read(indices)[1])


def test_an_absent_row_is_not_there(tmp_path: Path) -> None:
    """What was never written is not there; a row of zeros that was written is."""
    kept = filled(tmp_path)
    kept.drop(ALL)
    assert there(kept) == []
    kept.write(np.array([2, 4]), np.zeros((2, CLASSES), np.float32))
    whole, rows = kept.read(ALL)
    assert list(np.flatnonzero(whole)) == [2, 4]
    assert not rows[whole].any()


@pytest.mark.parametrize(("name", "place", "bits"), [(LOGITS, 2 * CLASSES * 4, CLASSES * 32), (SUMS, 2 * 8, 64)])
def test_every_flipped_bit_of_a_row_or_its_checksum_is_noticed(
    tmp_path: Path, name: str, place: int, bits: int
) -> None:
    """Each single bit, flipped in the file: that row is damaged, the others are served."""
    kept = filled(tmp_path)
    start = (HEADER + place) * 8
    for bit in range(start, start + bits):
        flip(kept.folder / name, bit)
        assert there(kept) == without(2), bit
        assert kept.condition() == Condition(rows=SIZE - 1, damaged=1)
        flip(kept.folder / name, bit)
    assert there(kept) == list(ALL)


def test_every_flipped_bit_of_a_long_row_changes_its_checksum() -> None:
    """At 100 classes as well: 3,200 flips, and none leaves the checksum as it was."""
    row = logits(1, 100)
    flips = np.zeros((3200, 100), np.uint32)
    flips[np.arange(3200), np.arange(3200) // 32] = np.uint32(1) << (np.arange(3200, dtype=np.uint32) % 32)
    checksum = RowChecksum(SOURCE.key, 100)
    spoilt = checksum.of(np.zeros(3200, np.int64), (row.view("<u4") ^ flips).view("<f4"))
    changed = spoilt ^ checksum.of(np.zeros(1, np.int64), row)
    assert changed.all()
    assert (changed[::32] & np.uint64(1)).all()  # not by chance: each word has an odd factor


def swap(values: NDArray[np.generic]) -> None:
    values[[1, 4]] = values[[4, 1]]


def move(values: NDArray[np.generic]) -> None:
    values[4] = values[1]


def halve(values: NDArray[np.generic]) -> None:
    if values.ndim == 2:
        values[4, CLASSES // 2 :] = np.zeros(1, values.dtype)


@pytest.mark.parametrize(("spoil", "lost"), [(swap, (1, 4)), (move, (4,)), (halve, (4,))])
def test_a_row_at_another_place_or_half_written_is_noticed(
    tmp_path: Path, spoil: Callable[[NDArray[np.generic]], None], lost: tuple[int, ...]
) -> None:
    """A row with its own checksum counts at its own place only, and only as a whole."""
    kept = filled(tmp_path)
    for name in (LOGITS, SUMS):
        spoil(np.load(kept.folder / name, mmap_mode="r+"))
    assert there(kept) == without(*lost)
    assert kept.condition().damaged == len(lost)


def test_rows_of_another_key_are_noticed(tmp_path: Path) -> None:
    """Files of the same shape that belong to another key: not one of their rows is served."""
    kept, other = filled(tmp_path), filled(tmp_path, source(1))
    for name in (LOGITS, SUMS):
        shutil.copyfile(other.folder / name, kept.folder / name)
    assert there(kept) == []
    assert kept.condition() == Condition(rows=0, damaged=SIZE)
    assert there(other) == list(ALL)


def test_a_row_whose_checksum_would_be_zero_is_there() -> None:
    """0 says that there is no row; so no row has it."""
    checksum = RowChecksum(SOURCE.key, 1)
    checksum._multipliers = np.array([2**64 - 1, 1], np.uint64)  # -1 and 1: the word 5 at place 4 gives 0
    assert checksum.of(np.array([4]), np.array([[5]], "<u4").view("<f4")) == [1]


def test_checksums_do_not_depend_on_how_many_are_taken_at_once() -> None:
    """A row's checksum is that of the row, its place and its key, whatever else is asked for."""
    size = 2 * CHECKED_AT_ONCE + 5
    rows, checksum = logits(size), RowChecksum(SOURCE.key, CLASSES)
    sums = checksum.of(np.arange(size), rows)
    assert len(set(sums.tolist())) == size
    for place in (0, CHECKED_AT_ONCE - 1, CHECKED_AT_ONCE, 2 * CHECKED_AT_ONCE, size - 1):
        assert checksum.of(np.array([place]), rows[[place]]) == sums[place]


def test_a_large_pool_is_looked_at_piece_by_piece(tmp_path: Path) -> None:
    """Damage is found wherever it is, also where one piece ends and the next begins."""
    size = 2 * CHECKED_AT_ONCE + 5
    kept = filled(tmp_path, size=size)
    lost = [0, CHECKED_AT_ONCE - 1, CHECKED_AT_ONCE, size - 1]
    for place in lost:
        flip(kept.folder / LOGITS, (HEADER + place * CLASSES * 4) * 8)
    kept.drop(np.array([7]))
    assert kept.condition() == Condition(rows=size - 5, damaged=4)
    assert there(kept) == [place for place in range(size) if place not in (*lost, 7)]
    assert kept.count(np.array([6, 7, 8, CHECKED_AT_ONCE, CHECKED_AT_ONCE + 1])) == 3
    assert kept.there() == size - 1


@pytest.mark.parametrize("places", [[0, 2, 3, 6], [6], [0, 1, 2, 3, 4, 5, 6], [1, 3, 5], []])
def test_only_the_rows_named_are_written(tmp_path: Path, places: list[int]) -> None:
    """Neighbours or not: what is written stands at its places, and everything else is as it was; so for drop."""
    kept = filled(tmp_path)
    kept.drop(ALL)
    indices = np.array(places, np.int64)
    kept.write(indices, logits()[indices])
    assert there(kept) == places
    filled(tmp_path).drop(indices)
    assert there(kept) == without(*places)


def test_the_files_are_plain_npy(tmp_path: Path) -> None:
    """`np.load` maps both files, and finds float32 rows and their checksums."""
    kept = filled(tmp_path)
    rows, sums = (np.load(kept.folder / name, mmap_mode="r") for name in (LOGITS, SUMS))
    assert (rows.dtype, rows.shape, sums.dtype, sums.shape) == ("<f4", (SIZE, CLASSES), "<u8", (SIZE,))
    assert np.array_equal(rows, logits())
    assert np.array_equal(sums, RowChecksum(SOURCE.key, CLASSES).of(ALL, logits()))
    assert (kept.folder / LOGITS).stat().st_size == HEADER + rows.nbytes


def test_random_damage_is_never_served(tmp_path: Path) -> None:
    """Whatever is written over the files: a row that is served has the right bits."""
    rng = np.random.default_rng(0)
    kept = filled(tmp_path)
    files = {name: (kept.folder / name).read_bytes() for name in (LOGITS, SUMS)}
    lost = 0
    for _ in range(300):
        for name, data in files.items():
            spoilt, start, length = bytearray(data), rng.integers(HEADER, len(data)), rng.integers(1, 20)
            noise = rng.integers(0, 256, length, np.uint8).tobytes() if rng.random() < 0.7 else bytes(length)
            spoilt[start : start + length] = noise
            (kept.folder / name).write_bytes(spoilt[: len(data)])
        lost += SIZE - len(there(kept))
    assert lost > 300


def test_every_flipped_bit_of_a_header_is_noticed(tmp_path: Path) -> None:
    """A header that differs in any bit is an error of the expected kind, never a warning or another reading."""
    folder = filled(tmp_path).folder
    for name in (LOGITS, SUMS):
        for bit in range(HEADER * 8):
            flip(folder / name, bit)
            with pytest.raises(ValueError, match="is not an array"):
                KeptRows(folder, SOURCE.key, SIZE, CLASSES)
            flip(folder / name, bit)
    assert there(KeptRows(folder, SOURCE.key, SIZE, CLASSES)) == list(ALL)


def other(values: NDArray[np.generic]) -> Callable[[Path], None]:
    return lambda path: np.save(path, values)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


WRONG: dict[str, tuple[str, Callable[[Path], object]]] = {
    "rows cut by a byte": (LOGITS, lambda path: cut(path, 1)),
    "rows cut in the header": (LOGITS, lambda path: cut(path, SIZE * CLASSES * 4 + 5)),
    "rows longer": (LOGITS, lambda path: cut(path, -4)),
    "no rows": (LOGITS, Path.unlink),
    "empty": (LOGITS, lambda path: path.write_bytes(b"")),
    "a folder": (LOGITS, to_folder),
    "float64": (LOGITS, other(np.zeros((SIZE, CLASSES)))),
    "another shape": (LOGITS, other(np.zeros((CLASSES, SIZE), np.float32))),
    "one dimension": (LOGITS, other(np.zeros(SIZE * CLASSES, np.float32))),
    "Fortran's order": (LOGITS, other(np.zeros((SIZE, CLASSES), np.float32, order="F"))),
    "big-endian": (LOGITS, other(np.zeros((SIZE, CLASSES), ">f4"))),
    "checksums cut": (SUMS, lambda path: cut(path, 8)),
    "checksums longer": (SUMS, lambda path: cut(path, -1)),
    "no checksums": (SUMS, Path.unlink),
    "signed checksums": (SUMS, other(np.zeros(SIZE, np.int64))),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, wrong: str) -> None:
    """Another dtype, shape, order or length than expected, or no file: nothing is opened."""
    folder = filled(tmp_path).folder
    name, spoil = WRONG[wrong]
    spoil(folder / name)
    with pytest.raises((ValueError, OSError)):
        KeptRows(folder, SOURCE.key, SIZE, CLASSES)


@pytest.mark.parametrize("name", [LOGITS, SUMS])
def test_files_cut_after_opening_cost_time_only(tmp_path: Path, name: str) -> None:
    """Cut short under its reader, a file gives no wrong row and no crash; what is written again is there."""
    kept = filled(tmp_path)
    row = (kept.folder / name).stat().st_size // SIZE if name == SUMS else CLASSES * 4
    cut(kept.folder / name, (8 if name == SUMS else row) * 3 - 2)
    whole, rows = kept.read(ALL)
    assert not whole.any()
    assert rows.shape == (SIZE, CLASSES)
    assert kept.count(ALL) == SIZE - 3
    kept.write(ALL, logits())
    assert there(kept) == list(ALL)


def test_rows_removed_after_opening_cost_time_only(tmp_path: Path) -> None:
    """The folder gone under its reader: no row is there, and that something cannot be kept is an OSError."""
    kept = filled(tmp_path)
    shutil.rmtree(kept.folder)
    whole, rows = kept.read(ALL)
    assert not whole.any()
    assert rows.shape == (SIZE, CLASSES)
    assert kept.count(ALL) == 0
    kept.touch()
    for change in (lambda: kept.write(ALL, logits()), lambda: kept.drop(ALL), kept.condition, kept.there):
        with pytest.raises(FileNotFoundError):
            change()
    filled(tmp_path)
    assert there(kept) == list(ALL)


def test_use_is_noted(tmp_path: Path) -> None:
    """The time of the last use is that of the description's file."""
    kept = filled(tmp_path)
    os.utime(kept.folder / ABOUT, (1000, 1000))
    before = (kept.folder / LOGITS).stat().st_mtime_ns
    kept.touch()
    assert (kept.folder / ABOUT).stat().st_mtime > 1000
    assert (kept.folder / LOGITS).stat().st_mtime_ns == before


NO_ROOM = """
import resource, sys
from pathlib import Path
import numpy as np
from app.files.row_files import KeptRows
from tests.unit.kept import logits
folder, classes, room = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
kept = KeptRows(folder, folder.name, 7, classes)
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    kept.write(np.arange(2, 7), logits(7, classes)[2:])
except OSError as error:
    sys.exit(42)
"""


@pytest.mark.parametrize(
    ("classes", "room"),
    [
        (CLASSES, HEADER + 2 * CLASSES * 4),  # not even the first new row
        (CLASSES, HEADER + 4 * CLASSES * 4 + 5),  # two rows and a half
        (1, HEADER + 4 * 8 + 3),  # all rows, but not all checksums
    ],
)
def test_no_room_is_an_error_that_harms_nothing(tmp_path: Path, classes: int, room: int) -> None:
    """A write that the disk refuses half-way raises OSError; what was there is right, and nothing half counts."""
    kept = filled(tmp_path, source(1, classes))
    kept.drop(np.arange(2, SIZE))
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, kept.folder, str(classes), str(room)], cwd=ROOT, check=False
    )
    assert done.returncode == 42
    assert there(kept) == ([0, 1] if classes == CLASSES else [0, 1, 2, 3])
    kept.write(np.arange(2, SIZE), logits(SIZE, classes)[2:])
    assert there(kept) == list(ALL)
