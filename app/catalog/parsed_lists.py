"""Parsed index lists, cached under the digest of their file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class ParsedLists:
    """The arrays of the index lists used last. Safe to use from any thread.

    Parsing a million indices takes twenty times as long as reading and digesting them, so an array is cached under
    the digest of the very bytes that were just read. A file's times and size say nothing about its content.

    Args:
        max_bytes: of the cached arrays; those used last stay.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._arrays: OrderedDict[tuple[str, int], NDArray[np.int64]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str, size: int, parse: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the cached array of a content, or parse it.

        Args:
            sha256: of the bytes.
            size: of the base that the indices were checked against.
            parse: called when nothing is cached; its errors are not cached.

        Returns:
            [N] int64, read-only.
        """
        key = (sha256, size)
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        indices = parse()
        indices.flags.writeable = False  # all callers share the array
        if indices.nbytes <= self._max_bytes:
            with self._lock:
                if key not in self._arrays:
                    self._arrays[key] = indices
                    self._bytes += indices.nbytes
                while self._bytes > self._max_bytes:
                    self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return indices
