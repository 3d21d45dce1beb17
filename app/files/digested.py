"""A file whose bytes are compared with its digest while they are read."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 2**18
"""Bytes that are compared at once; a reader of scattered bytes reads whole blocks."""


class ContentChanged(OSError):
    """A file that changed after it was digested."""


class DigestedFile(io.BufferedReader):
    """A file open for reading that gives the digested bytes or raises.

    The content is digested once when the file is opened, whole and block by block, and every block that is read
    later is compared with its own digest. Times of the file do not matter: a memory map changes content without
    moving them. Needs one block of memory, whatever the file's size.

    Attributes:
        sha256: of the whole content, 64 hex digits.
        size: bytes.

    Raises:
        OSError: the file cannot be read; ContentChanged from any later read.
    """

    def __init__(self, path: Path) -> None:
        blocks = _Blocks(path.open("rb", buffering=0))
        self.sha256, self.size = blocks.sha256, blocks.size
        super().__init__(blocks, BLOCK_BYTES)


class _Blocks(io.RawIOBase):
    """The unbuffered file, compared block by block."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        # Compared within this process only: Python's own 64-bit SipHash takes a third of the time of SHA-256.
        self._hashes: list[int] = []
        self._block: tuple[int, bytes] = (-1, b"")
        self._position = 0
        self.size = 0
        whole = hashlib.sha256()
        try:
            while data := self._read(self.size):
                whole.update(data)
                self._hashes.append(hash(data))
                self.size += len(data)
        except OSError:
            self.close()
            raise
        self.sha256 = whole.hexdigest()

    def close(self) -> None:
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        # A reader of the descriptor would get bytes that nothing compares.
        raise io.UnsupportedOperation("a digested file has no descriptor of its own")

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # as a file does; `zipfile` relies on it
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self._position >= self.size:
            return 0
        number, start = divmod(self._position, BLOCK_BYTES)
        if self._block[0] != number:
            data = self._read(number * BLOCK_BYTES)
            if hash(data) != self._hashes[number]:
                raise ContentChanged("it was changed while it was read")
            self._block = (number, data)
        view = memoryview(buffer).cast("B")
        piece = self._block[1][start : start + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _read(self, start: int) -> bytes:
        """Read one block, in several parts if necessary."""
        self._file.seek(start)
        parts = []
        missing = BLOCK_BYTES
        while missing and (part := self._file.read(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
