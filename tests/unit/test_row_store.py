"""The folders of kept rows: whatever happens to one, jobs go on and get the right rows."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.files.row_files import ABOUT, LOGITS, SUMS, Condition
from app.files.row_store import RowStore
from tests.unit.kept import CLASSES, SEEN, SIZE, SOURCE, cut, filled, flip, logits, source, used

ALL = np.arange(SIZE)


@pytest.fixture
def rows(tmp_path: Path) -> RowStore:
    return RowStore(tmp_path)


def test_rows_are_found_again(tmp_path: Path) -> None:
    """What one store kept, another finds under the same source, and only there."""
    store = RowStore(tmp_path / "not" / "there" / "yet")
    assert store.look(SOURCE, SIZE) is None
    store.open(SOURCE, SIZE, SEEN).write(ALL, logits())
    again = RowStore(tmp_path / "not" / "there" / "yet").open(SOURCE, SIZE, {"expert": "another"})
    whole, found = again.read(ALL)
    assert whole.all()
    assert np.array_equal(found, logits())
    assert store.look(source(1), SIZE) is None
    assert store.look(SOURCE, SIZE + 1) is None
    assert [entry.about["seen"] for entry in store.entries()] == [SEEN]


def test_new_rows_take_no_room(rows: RowStore) -> None:
    """A pool of a million images costs what is computed of it, not more."""
    kept = rows.open(source(1, 1000), 1_000_000, SEEN)
    kept.write(np.array([999_999]), np.ones((1, 1000), np.float32))
    [entry] = rows.entries()
    assert entry.rows == 1
    assert 0 < entry.bytes < 1_000_000


def test_nothing_is_left_of_the_making(rows: RowStore, tmp_path: Path) -> None:
    """The folder holds the keys' folders, and they hold three files."""
    rows.open(SOURCE, SIZE, SEEN)
    assert [path.name for path in tmp_path.iterdir()] == [SOURCE.key]
    assert {path.name for path in (tmp_path / SOURCE.key).iterdir()} == {ABOUT, LOGITS, SUMS}
    assert os.access(tmp_path / SOURCE.key, os.R_OK)
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / SOURCE.key).stat().st_mode & 0o777 == 0o777 & ~umask


def describe(**changes: Any) -> Callable[[Path], None]:
    """Rewrite a folder's description."""

    def spoil(folder: Path) -> None:
        about = json.loads((folder / ABOUT).read_text()) | changes
        (folder / ABOUT).write_text(json.dumps({name: value for name, value in about.items() if value is not None}))

    return spoil


def write_about(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / ABOUT).write_bytes(data)


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        shutil.rmtree(folder)
        make(folder)

    return spoil


def to_folder(folder: Path) -> None:
    (folder / ABOUT).unlink()
    (folder / ABOUT).mkdir()


NEW_FIELD = SOURCE.to_dict() | {"numerics": SOURCE.to_dict()["numerics"] | {"colour": "blue"}}
DAMAGE: dict[str, Callable[[Path], object]] = {
    "no description": lambda folder: (folder / ABOUT).unlink(),
    "an empty description": write_about(b""),
    "garbage": write_about(bytes(range(256))),
    "half a description": lambda folder: cut(folder / ABOUT, 40),
    "a list": write_about(b"[]"),
    "null": write_about(b"null"),
    "brackets": write_about(b"[" * 100_000),
    "a folder for a description": to_folder,
    "no source": describe(source=None),
    "a word for a source": describe(source="x"),
    "another's source": describe(source=source(1).to_dict()),
    "a source of another version": describe(source=NEW_FIELD),
    "a source without numerics": describe(source=SOURCE.to_dict() | {"numerics": None}),
    "a source without classes": describe(source={**SOURCE.to_dict(), "classes": "3"}),
    "no size": describe(size=None),
    "another size": describe(size=SIZE + 1),
    "a fraction for a size": describe(size=float(SIZE)),
    "a word for a size": describe(size="7"),
    "a negative size": describe(size=-1),
    "an endless size": describe(size=float("inf")),
    "a list for a size": describe(size=[7]),
    "nothing seen": describe(seen=None),
    "a word for what was seen": describe(seen="ce"),
    "no rows": lambda folder: (folder / LOGITS).unlink(),
    "rows cut": lambda folder: cut(folder / LOGITS, 1),
    "rows longer": lambda folder: cut(folder / LOGITS, -1),
    "a flipped header": lambda folder: flip(folder / LOGITS, 8 * 60),
    "no checksums": lambda folder: (folder / SUMS).unlink(),
    "checksums cut": lambda folder: cut(folder / SUMS, 1),
    "an empty folder": replaced(Path.mkdir),
    "a file for a folder": replaced(lambda folder: folder.write_text("no folder")),
    "a link to itself": replaced(lambda folder: folder.symlink_to(folder.name)),
    "a link to nowhere": replaced(lambda folder: folder.symlink_to("nowhere")),
    "a folder that nobody may read": lambda folder: folder.chmod(0),
}


@pytest.fixture(params=DAMAGE)
def spoilt(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder with one kind of damage; its key."""
    filled(tmp_path)
    if request.param == "a folder that nobody may read" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    DAMAGE[request.param](tmp_path / SOURCE.key)
    return SOURCE.key


def test_damage_costs_time_only(rows: RowStore, spoilt: str, tmp_path: Path) -> None:
    """Rows that cannot be used are not there; who opens them gets new ones, and nothing is left behind."""
    assert rows.look(SOURCE, SIZE) is None
    kept = rows.open(SOURCE, SIZE, SEEN)
    assert kept.count(ALL) == 0
    kept.write(ALL, logits())
    assert kept.read(ALL)[0].all()
    assert [entry.usable for entry in rows.entries()] == [True]
    assert [path.name for path in tmp_path.iterdir()] == [spoilt]


def test_damage_is_listed_and_removed(rows: RowStore, spoilt: str, tmp_path: Path) -> None:
    """As unusable, without anything that the description may have said; and nothing of it stays."""
    [entry] = rows.entries()
    assert (entry.key, entry.usable, entry.about, entry.rows) == (spoilt, False, {}, 0)
    assert rows.condition(spoilt) is None
    rows.remove(spoilt)
    assert list(tmp_path.iterdir()) == []


def test_a_description_is_that_of_its_key(rows: RowStore, tmp_path: Path) -> None:
    """Every flip in the description's source shows: what a listing says of a key is what the key was made of."""
    folder = filled(tmp_path).folder
    text = (folder / ABOUT).read_text()
    start, end = text.index('"tensors_sha256"') * 8, text.index('"numerics"') * 8
    unusable = 0
    for bit in range(start, end, 3):  # every bit of a byte has its turn
        flip(folder / ABOUT, bit)
        [entry] = rows.entries()
        unusable += not entry.usable
        if entry.usable:  # white space is no content
            assert json.dumps(entry.about["source"]) == json.dumps(SOURCE.to_dict())
        flip(folder / ABOUT, bit)
    assert unusable > 500


def test_a_listing_says_what_is_kept(rows: RowStore, tmp_path: Path) -> None:
    """Last used first, each with its rows and bytes; names that are no keys are somebody else's."""
    for number, ago_s in ((1, 50.0), (2, 10.0), (3, 30.0)):
        used(filled(tmp_path, source(number)).folder, ago_s)
    rows.open(source(2), SIZE, SEEN).drop(np.array([0, 3]))
    for name in (".making", "README", "lost+found", source(4).key.upper(), source(4).key[:-1]):
        (tmp_path / name).mkdir()
    listed = rows.entries()
    assert [entry.key for entry in listed] == [source(number).key for number in (2, 3, 1)]
    assert [entry.rows for entry in listed] == [SIZE - 2, SIZE, SIZE]
    assert all(entry.about["source"]["classes"] == CLASSES and entry.about["size"] == SIZE for entry in listed)
    blocks = sum(path.stat().st_blocks for path in (tmp_path / source(1).key).iterdir())
    assert listed[-1].bytes == blocks * 512 > 0
    assert abs(time.time() - 50 - listed[-1].used_at) < 5
    assert rows.entry(source(3).key) == listed[1]
    assert rows.entry(source(4).key) is None


def test_where_nothing_was_kept_nothing_is_listed(tmp_path: Path) -> None:
    """An installation that has computed nothing yet has no rows, and nothing to prune."""
    store = RowStore(tmp_path / "rows")
    assert store.entries() == []
    assert store.prune(max_bytes=0) == []
    assert store.sweep() == 0
    assert store.remove(SOURCE.key) == 0


def test_the_condition_counts_what_is_damaged(rows: RowStore, tmp_path: Path) -> None:
    """A look at every row tells those that fit from those that do not; what is not there is neither."""
    kept = filled(tmp_path)
    flip(kept.folder / LOGITS, (128 + CLASSES * 4) * 8)
    kept.drop(np.array([5]))
    assert rows.condition(SOURCE.key) == Condition(rows=SIZE - 2, damaged=1)
    assert rows.condition(source(1).key) is None


def test_removed_rows_are_gone(rows: RowStore, tmp_path: Path) -> None:
    """Removing says what it freed; a second time there is nothing left to free; other keys stay."""
    filled(tmp_path), filled(tmp_path, source(1))
    size = {entry.key: entry.bytes for entry in rows.entries()}
    assert rows.remove(SOURCE.key) == size[SOURCE.key] > 0
    assert rows.remove(SOURCE.key) == 0
    assert [path.name for path in tmp_path.iterdir()] == [source(1).key]


def test_who_holds_removed_rows_goes_on(rows: RowStore, tmp_path: Path) -> None:
    """Rows removed under a job are not there any more, and are there again once anybody has made them anew."""
    held = filled(tmp_path)
    rows.remove(SOURCE.key)
    assert not held.read(ALL)[0].any()
    with pytest.raises(OSError, match="No such file"):
        held.write(ALL, logits())
    assert rows.entries() == []
    filled(tmp_path)
    assert held.read(ALL)[0].all()


def test_where_rows_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be is an OSError at once, not a loop."""
    (tmp_path / "rows").write_text("a file")
    with pytest.raises(OSError, match="rows"):
        RowStore(tmp_path / "rows").open(SOURCE, SIZE, SEEN)


def make(folder: str, mine: int, keys: int, spoil: bool, barrier: Barrier) -> None:
    """Open each key at the same moment as the other process, and write every second row."""
    indices = np.arange(mine, SIZE, 2)
    for number in range(keys):
        barrier.wait(60)
        kept = RowStore(Path(folder)).open(source(number), SIZE, SEEN)
        whole, rows = kept.read(ALL)
        assert np.array_equal(rows[whole], logits()[whole])
        try:
            kept.write(indices, logits()[indices])
        except FileNotFoundError:
            assert spoil  # the other has just replaced what nobody could use


@pytest.mark.parametrize("spoil", [False, True])
def test_two_processes_make_the_same_rows_at_once(tmp_path: Path, spoil: bool) -> None:
    """Both get a folder that works, it is the same one, and what either wrote is there."""
    keys = 40
    if spoil:
        for number in range(keys):
            (tmp_path / source(number).key).mkdir(parents=True)
            (tmp_path / source(number).key / ABOUT).write_text("garbage")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    both = [context.Process(target=make, args=(str(tmp_path), i, keys, spoil, barrier)) for i in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    for number in range(keys):
        kept = RowStore(tmp_path).look(source(number), SIZE)
        assert kept is not None
        whole, rows = kept.read(ALL)
        assert whole.all() or spoil
        assert np.array_equal(rows[whole], logits()[whole])
    assert len(list(tmp_path.iterdir())) == keys
