"""Rewrites a file through a memory map, which moves none of its times while its pages are dirty."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.catalog.bases import file_id


class Rewriter:
    """Exchanges a file's content for another of the same length, with every time as it was."""

    def __init__(self, path: Path, view: mmap.mmap) -> None:
        self._path, self._view = path, view
        view[:] = view[:]  # marks each page dirty: only the first write to a clean page moves the times

    def write(self, content: bytes) -> None:
        before = file_id(self._path)
        self._view[:] = content
        assert file_id(self._path) == before, "the kernel wrote the pages back in between; run the test again"

    def flip(self, offset: int) -> None:
        """Change one byte."""
        content = bytearray(self._view[:])
        content[offset] ^= 0xFF
        self.write(bytes(content))


@contextmanager
def mapped(path: Path) -> Iterator[Rewriter]:
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as view:
        yield Rewriter(path, view)
