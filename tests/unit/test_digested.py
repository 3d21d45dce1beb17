"""Bytes that are read under a digest are those that were digested, or an error."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from app.files.digested import BLOCK_BYTES, ContentChanged, DigestedFile
from app.files.disk import file_sha256
from tests.unit.mapped import mapped

SIZES = (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 17)


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_like_the_file_with_the_digest_of_the_whole(tmp_path: Path, size: int) -> None:
    """Sizes around a block's: whole, at any place, from the end, and beyond it."""
    content = os.urandom(size)
    path = tmp_path / "f"
    path.write_bytes(content)
    with DigestedFile(path) as stream:
        assert stream.sha256 == file_sha256(path) == hashlib.sha256(content).hexdigest()
        assert stream.size == size
        assert stream.read() == content
        for start in {0, size // 2, max(size - 3, 0), size + 5}:
            stream.seek(start)
            assert stream.read(BLOCK_BYTES // 2) == content[start : start + BLOCK_BYTES // 2]
        stream.seek(-size, io.SEEK_END)
        assert stream.read(7) == content[:7]
        assert stream.seek(0, io.SEEK_CUR) == min(size, 7)


def test_a_change_after_the_digest_is_never_read(tmp_path: Path) -> None:
    """Through a memory map that moves no time; blocks that are as they were can still be read."""
    path = tmp_path / "f"
    path.write_bytes(os.urandom(3 * BLOCK_BYTES))
    content = path.read_bytes()
    with mapped(path) as rewriter, DigestedFile(path) as stream:
        rewriter.flip(2 * BLOCK_BYTES + 5)
        assert stream.read(BLOCK_BYTES) == content[:BLOCK_BYTES]
        stream.seek(2 * BLOCK_BYTES)
        with pytest.raises(ContentChanged):
            stream.read(1)


def test_a_file_that_was_cut_off_after_the_digest_is_never_read_as_shorter(tmp_path: Path) -> None:
    """A short file would look like one that ends there."""
    path = tmp_path / "f"
    path.write_bytes(os.urandom(2 * BLOCK_BYTES))
    with DigestedFile(path) as stream:
        os.truncate(path, BLOCK_BYTES + 100)
        stream.seek(BLOCK_BYTES)
        with pytest.raises(ContentChanged):
            stream.read(100)


def test_a_file_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    """Absent files and folders alike."""
    with pytest.raises(FileNotFoundError):
        DigestedFile(tmp_path / "f")
    with pytest.raises(IsADirectoryError):
        DigestedFile(tmp_path)


def test_a_place_before_its_beginning_is_refused_as_a_file_refuses_it(tmp_path: Path) -> None:
    """Readers of archives look for an end that may not be there, and expect this very error."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    for opened in (DigestedFile(path), path.open("rb")):
        with opened as stream, pytest.raises(OSError, match="Invalid argument") as caught:
            stream.seek(-2, io.SEEK_END)
        assert caught.value.errno == errno.EINVAL


def test_nobody_gets_at_its_descriptor(tmp_path: Path) -> None:
    """What reads the descriptor itself would read bytes that nothing compares."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    with DigestedFile(path) as stream, pytest.raises(io.UnsupportedOperation):
        stream.fileno()
