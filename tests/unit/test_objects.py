"""What may be swept away at a start, and what may not."""

from __future__ import annotations

import os
from pathlib import Path

from app.files.artifacts import artifact_path, orphaned_artifacts
from app.files.disk import ORPHAN_AGE_S


def test_only_old_files_that_nobody_refers_to_go(tmp_path: Path) -> None:
    """A referred file stays however old; a young one may be on its way into the store."""
    kept, left, young = "aa" + "0" * 62, "bb" + "0" * 62, "cc" + "0" * 62
    unfinished = tmp_path / ".x.part"
    for path in [*(artifact_path(tmp_path, sha256) for sha256 in (kept, left, young)), unfinished]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        if path != artifact_path(tmp_path, young):
            past = path.stat().st_mtime - ORPHAN_AGE_S - 60
            os.utime(path, (past, past))
    orphans = orphaned_artifacts(tmp_path, frozenset([kept]), since=0)
    assert set(orphans) == {artifact_path(tmp_path, left), unfinished}


def test_a_folder_that_is_not_there_yet_is_clean(tmp_path: Path) -> None:
    """The first start has nothing to sweep."""
    assert orphaned_artifacts(tmp_path / "objects", frozenset(), since=0) == []


def test_what_is_older_than_the_store_is_not_its_to_remove(tmp_path: Path) -> None:
    """A store that was moved away may come back, and then its artifacts must be there."""
    path = artifact_path(tmp_path, "aa" + "0" * 62)
    path.parent.mkdir()
    path.write_bytes(b"x")
    past = path.stat().st_mtime - ORPHAN_AGE_S - 60
    os.utime(path, (past, past))
    assert orphaned_artifacts(tmp_path, frozenset(), since=past + 1) == []
