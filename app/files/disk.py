"""Write, flush, digest, measure and remove files: one way for each."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""How rename(2) fails where the new name is taken. It does replace an empty folder."""

ORPHAN_AGE_S = 3600.0
"""A file that nothing refers to, or that is still unfinished, after so long belongs to a process that died."""


def file_sha256(path: Path) -> str:
    """Hash a file with SHA-256, as 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def part_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new `.xxxxxxxx.part`; remove it if the block fails."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, 0o644)  # mkstemp's 0600 would hide the file from the rest of the group
            yield path, stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a hidden file that replaces `path` on success."""
    with part_file(path.parent) as (part, stream):
        yield stream
        stream.flush()
        part.replace(path)


def write_beside(folder: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a complete hidden file and return its path."""
    with part_file(folder) as (path, stream):
        write(stream)
    return path


def flush(*paths: Path) -> None:
    """Have files or folders written to the disk.

    Several at once: one after the other takes several times as long.
    """

    def fsync(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    with ThreadPoolExecutor(len(paths)) as threads:
        for _ in threads.map(fsync, paths):
            pass


def copy(source: BinaryIO, target: BinaryIO) -> None:
    """Copy an unbuffered file, sharing blocks where possible."""
    missing = os.fstat(source.fileno()).st_size
    try:
        while missing > 0 and (copied := os.copy_file_range(source.fileno(), target.fileno(), missing)) > 0:
            missing -= copied
    except (OSError, AttributeError):  # two file systems, one that cannot, or no Linux
        pass
    if missing:
        shutil.copyfileobj(source, target)


def tree_size(path: Path, *, on_disk: bool = False) -> int:
    """Sum the bytes of a file or folder; 0 if missing.

    Links count as themselves. On disk, holes in sparse files count for nothing.
    """
    files = (entry for entry in _tree(path) if not stat.S_ISDIR(entry.st_mode))
    return sum(entry.st_blocks * 512 if on_disk else entry.st_size for entry in files)


def is_old(path: Path) -> bool:
    """Tell whether a path was not modified for ORPHAN_AGE_S."""
    # A folder's own time does not tell what is written further below. False where nothing is there.
    newest = max((entry.st_mtime for entry in _tree(path)), default=math.inf)
    return newest < time.time() - ORPHAN_AGE_S


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder.

    Raises:
        OSError: part of it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o700)  # a folder that nobody may read is removed as well
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tree(path: Path) -> Iterator[os.stat_result]:
    """Yield the readable states of a path and everything below."""
    folders = [] if path.is_symlink() else os.walk(path)
    below = (Path(folder, name) for folder, names, files in folders for name in (*names, *files))
    for entry in (path, *below):
        with contextlib.suppress(OSError):  # removed meanwhile
            yield entry.lstat()
