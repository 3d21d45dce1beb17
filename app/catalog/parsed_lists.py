"""Index lists that were parsed before, by the content that they were parsed from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class ParsedLists:
    """Arrays of the index lists used last. Safe to use from any thread.

    Parsing a million indices takes twenty times as long as reading and digesting them, so an array is kept under
    the digest of the very bytes that were just read. A file's times and size say nothing about its content.

    Args:
        max_bytes: of the arrays that are kept; those used last stay.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, int], NDArray[np.int64]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str, size: int, parse: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Take the array of that content, or parse it.

        Args:
            sha256: of the bytes.
            size: of the base that the indices were checked against.
            parse: called when nothing is kept; what it raises is not.

        Returns:
            [N] int64, read-only.
        """
        key = (sha256, size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        indices = parse()
        indices.flags.writeable = False  # one array for all who ask
        if indices.nbytes <= self._max_bytes:
            with self._lock:
                if key not in self._kept:
                    self._kept[key] = indices
                    self._bytes += indices.nbytes
                while self._bytes > self._max_bytes:
                    self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return indices
