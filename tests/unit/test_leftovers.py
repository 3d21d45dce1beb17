"""Files that killed processes left unfinished are removed once they are old; nothing else is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.files.artifacts import artifact_path, orphaned_artifacts
from app.files.disk import ORPHAN_AGE_S
from app.retention.orphans import Storage, remove_orphans
from app.store.database import Database
from app.store.liveness import hold_lock
from tests.unit.retained import parts


@pytest.fixture
def storage(tmp_path: Path, database: Database) -> Storage:
    return parts(tmp_path, database)


def _make(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    for aged in (path, path.parent):
        os.utime(aged, (time.time() - age_s,) * 2)
    return path


def test_only_old_unfinished_files_of_ours_go(storage: Storage) -> None:
    """A file that may still be written, one with a name of its own, and one elsewhere stay."""
    outputs, data = storage.settings.outputs_dir, storage.settings.data_dir
    orphan = _make(outputs / "fixed" / "ce" / ".abc_12yz.part", 2 * ORPHAN_AGE_S)
    stay = [
        _make(outputs / "fixed" / "ce" / ".abc_34yz.part", ORPHAN_AGE_S / 2),
        _make(outputs / "fixed" / "ce" / "val_logits.npz", 2 * ORPHAN_AGE_S),
        _make(outputs / "fixed" / "ce" / ".val_logits.npz.1a2b3c4d.part", 2 * ORPHAN_AGE_S),
        _make(data / "lt" / ".abc_12yz.part", 2 * ORPHAN_AGE_S),
    ]
    assert remove_orphans(storage) > 0
    assert [path.exists() for path in (orphan, *stay)] == [False] + [True] * len(stay)


def test_a_set_of_splits_that_was_never_named_goes(storage: Storage) -> None:
    """It is a folder; one whose files are young may still be written."""
    data = storage.settings.data_dir
    old = _make(data / ".abc_12yz.part" / "val_indices.json", 2 * ORPHAN_AGE_S).parent
    young = _make(data / ".abc_34yz.part" / "val_indices.json", 0).parent
    os.utime(young, (time.time() - 2 * ORPHAN_AGE_S,) * 2)
    remove_orphans(storage)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_set_that_was_set_aside_is_restored_or_removed(storage: Storage) -> None:
    """Restored if a process died before the new one took its name, else removed; however young."""
    data = storage.settings.data_dir
    kept, obsolete = (data / f".{name}.{'0' * 32}.old" for name in ("lost", "replaced"))
    _make(kept / "val_indices.json", 0)
    _make(obsolete / "val_indices.json", 0)
    _make(data / "replaced" / "val_indices.json", 0)
    users = _make(data / ".mine.old" / "val_indices.json", 0)
    remove_orphans(storage)
    assert sorted(path.name for path in data.iterdir()) == [".mine.old", "lost", "replaced"]
    assert (data / "lost" / "val_indices.json").exists()
    assert users.exists()


def test_locks_that_nobody_holds_go(storage: Storage) -> None:
    """A worker holds its own for as long as it lives, be that weeks."""
    locks = storage.settings.locks_dir
    dead, young, held = (
        _make(locks / "dead.lock", 2 * ORPHAN_AGE_S),
        _make(locks / "young.lock", 0),
        locks / "held.lock",
    )
    with hold_lock(held):
        os.utime(held, (time.time() - 2 * ORPHAN_AGE_S,) * 2)
        remove_orphans(storage)
        assert [path.exists() for path in (dead, young, held)] == [False, True, True]


def test_artifacts_that_are_older_than_the_store_stay(tmp_path: Path) -> None:
    """A store that was moved away may come back, and then its artifacts must be there."""
    path = _make(artifact_path(tmp_path, "aa" + "0" * 62), 2 * ORPHAN_AGE_S)
    assert orphaned_artifacts(tmp_path, frozenset(), since=path.stat().st_mtime + 1) == []
    assert orphaned_artifacts(tmp_path, frozenset(), since=path.stat().st_mtime - 1) == [path]
    assert orphaned_artifacts(tmp_path / "objects", frozenset(), since=0) == []  # before the first job
