"""Files are written complete or not at all, and measured and removed as what they are."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.files.disk import ORPHAN_AGE_S, copy, is_old, remove, replacing, tree_size


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A reader sees the old content or the new one; the group may read it."""
    path = tmp_path / "f"
    with replacing(path) as stream:
        stream.write(b"old")

    def fail() -> None:
        with replacing(path) as stream:
            stream.write(b"half of the ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"old", 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_is_complete(tmp_path: Path) -> None:
    """Also where the kernel cannot copy: from /dev/shm to another file system, on most machines."""
    content = os.urandom(100_000)
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        for source in (tmp_path / "f", Path(elsewhere, "f")):
            source.write_bytes(content)
            with source.open("rb", buffering=0) as reading, (tmp_path / "copy").open("wb") as writing:
                copy(reading, writing)
            assert (tmp_path / "copy").read_bytes() == content


def test_a_tree_is_the_sum_of_its_files(tmp_path: Path) -> None:
    """Holes take no room on disk, and a link to elsewhere counts as itself."""
    (tmp_path / "elsewhere").write_bytes(b"x" * 50_000)
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "f").write_bytes(b"x" * 1000)
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    assert tree_size(tree) == 1000 + (tree / "link").lstat().st_size
    with (tree / "holes").open("wb") as stream:
        stream.truncate(10**9)
    assert tree_size(tree) > 10**9
    assert 0 < tree_size(tree, on_disk=True) < 100_000
    (tmp_path / "loop").symlink_to(tree)
    assert tree_size(tmp_path / "loop") == (tmp_path / "loop").lstat().st_size
    assert tree_size(tmp_path / "nothing") == 0


def test_a_folder_is_as_young_as_its_youngest_file(tmp_path: Path) -> None:
    """A folder's own time does not show a write further below; what is not there is not old."""
    path = tmp_path / "tree" / "below" / "f"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    old = time.time() - ORPHAN_AGE_S - 10
    for folder in (path.parent, path.parent.parent):
        os.utime(folder, (old, old))
    assert not is_old(tmp_path / "tree")
    os.utime(path, (old, old))
    assert is_old(tmp_path / "tree")
    assert not is_old(tmp_path / "nothing")


def test_a_link_is_removed_without_what_it_leads_to(tmp_path: Path) -> None:
    """Files and folders are removed too, and a path that is not there is no error."""
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    for name in ("link", "nothing"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    remove(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
