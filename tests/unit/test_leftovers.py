"""What killed processes left half-written is removed once it is old; nothing else is."""

from __future__ import annotations

import os
import time
from pathlib import Path

from app.files.artifacts import LEFT_S
from app.retention.orphans import sweep_leftovers, sweep_locks
from app.store.liveness import hold_lock


def _make(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_only_old_unfinished_files_of_ours_go(tmp_path: Path) -> None:
    """A file that somebody may be writing, one with a name of its own, and one elsewhere stay."""
    outputs, data = tmp_path / "outputs", tmp_path / "data"
    gone = _make(outputs / "fixed" / "ce" / ".abc_12yz.part", 2 * LEFT_S)
    stay = [
        _make(outputs / "fixed" / "ce" / ".abc_34yz.part", LEFT_S / 2),
        _make(outputs / "fixed" / "ce" / "val_logits.npz", 2 * LEFT_S),
        _make(outputs / "fixed" / "ce" / ".val_logits.npz.1a2b3c4d.part", 2 * LEFT_S),
        _make(outputs / ".relogit" / "objects" / ".abc_12yz.part", 2 * LEFT_S),
        _make(data / "lt" / ".abc_12yz.part", 2 * LEFT_S),
    ]
    assert sweep_leftovers(outputs, data) == [gone]
    assert all(path.exists() for path in stay)


def test_a_set_of_splits_that_was_never_named_goes(tmp_path: Path) -> None:
    """It is a folder, beside those that are."""
    unnamed = _make(tmp_path / "data" / ".abc_12yz.part" / "val_indices.json", 0).parent
    os.utime(unnamed, (time.time() - 2 * LEFT_S,) * 2)
    assert sweep_leftovers(tmp_path / "outputs", tmp_path / "data") == [unnamed]
    assert not unnamed.exists()


def test_locks_that_nobody_holds_go(tmp_path: Path) -> None:
    """A worker holds its own for as long as it lives, be that weeks."""
    dead, young = _make(tmp_path / "dead.lock", 2 * LEFT_S), _make(tmp_path / "young.lock", 0)
    held = tmp_path / "held.lock"
    with hold_lock(held):
        os.utime(held, (time.time() - 2 * LEFT_S,) * 2)
        assert sweep_locks(tmp_path) == [dead]
    assert young.exists()
    assert held.exists()
