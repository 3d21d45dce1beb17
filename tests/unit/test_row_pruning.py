"""Which kept rows go when room is wanted, and what a crash left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.files.disk import ORPHAN_AGE_S
from app.files.row_files import ABOUT, LOGITS
from app.files.row_store import RowStore
from tests.unit.kept import SOURCE, cut, filled, source, used


@pytest.fixture
def rows(tmp_path: Path) -> RowStore:
    return RowStore(tmp_path)


def three(folder: Path) -> list[str]:
    """Rows last used 10 seconds, 1000 seconds and 2000 seconds ago; their keys."""
    for number, ago_s in enumerate((10.0, 1000.0, 2000.0)):
        used(filled(folder, source(number)).folder, ago_s)
    return [source(number).key for number in range(3)]


@pytest.mark.parametrize(
    ("fitting", "older_than_s", "left"),
    [
        (3, None, [0, 1, 2]),
        (2, None, [0, 1]),
        (1, None, [0]),
        (0, None, []),
        (None, 3000.0, [0, 1, 2]),
        (None, 1500.0, [0, 1]),
        (None, 100.0, [0]),
        (None, 0.0, []),
        (2, 100.0, [0]),
        (1, 1500.0, [0]),
    ],
)
def test_the_longest_unused_go_first(
    rows: RowStore, tmp_path: Path, fitting: int | None, older_than_s: float | None, left: list[int]
) -> None:
    """By age what is too old goes, by size the longest unused until the rest fits; with both, both hold."""
    keys = three(tmp_path)
    sizes = {entry.key: entry.bytes for entry in rows.entries()}
    max_bytes = None if fitting is None else sum(sizes[key] for key in keys[:fitting])
    removed = rows.prune(max_bytes=max_bytes, older_than_s=older_than_s)
    assert [entry.key for entry in rows.entries()] == [keys[number] for number in left]
    assert {entry.key: entry.bytes for entry in removed} == {
        key: sizes[key] for number, key in enumerate(keys) if number not in left
    }
    assert len(list(tmp_path.iterdir())) == len(left)


def test_one_byte_too_many_costs_a_whole_key(rows: RowStore, tmp_path: Path) -> None:
    """What is left takes at most what was said, not about as much."""
    keys = three(tmp_path)
    total = sum(entry.bytes for entry in rows.entries())
    assert [entry.key for entry in rows.prune(max_bytes=total - 1)] == [keys[2]]


def test_what_is_not_usable_goes_first(rows: RowStore, tmp_path: Path) -> None:
    """However new it is and whatever fits: it is of no use to anybody."""
    keys = three(tmp_path)
    cut(tmp_path / keys[0] / LOGITS, 1)
    assert [entry.key for entry in rows.prune(max_bytes=10**12)] == [keys[0]]
    assert [entry.key for entry in rows.entries()] == keys[1:]


def test_what_a_crash_left_is_swept(rows: RowStore, tmp_path: Path) -> None:
    """Hidden names older than an hour go, files and folders; younger ones may still be at work; keys stay."""
    filled(tmp_path)
    then = time.time() - ORPHAN_AGE_S - 60
    for name in (".old", ".young"):
        (tmp_path / name / SOURCE.key).mkdir(parents=True)
        (tmp_path / name / SOURCE.key / LOGITS).write_bytes(b"x" * 10_000)
    (tmp_path / ".file").write_bytes(b"x")
    (tmp_path / "visible").mkdir()
    os.utime(tmp_path / SOURCE.key / ABOUT, (then, then))
    old = [tmp_path / name for name in (".old", ".file", "visible", SOURCE.key)]
    for path in (*(tmp_path / ".old").rglob("*"), *old):
        os.utime(path, (then, then))
    assert rows.sweep() >= 10_000
    assert {path.name for path in tmp_path.iterdir()} == {SOURCE.key, ".young", "visible"}
    assert (tmp_path / SOURCE.key / LOGITS).exists()
