"""What was read out of a file, kept in memory for as long as the file stays as it is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

from app.bases import FileId, file_id

SETTLED_NS = 2 * 10**9
"""A file that was changed so short ago is read each time: two changes within a tick of its clock look alike."""

T = TypeVar("T")


class FileCache(Generic[T]):
    """Values by the identity of the file that they were read from. Safe to use from any thread.

    Args:
        max_bytes: of the files that are remembered; those used last stay.
        now_ns: the clock that files' times are compared with, since the epoch.
    """

    def __init__(self, max_bytes: int, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._kept: OrderedDict[tuple[FileId, Hashable], T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, identity: FileId, also: Hashable, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the file's bytes.

        Args:
            identity: of the file, as it is now.
            also: whatever else the value depends on.
            read: called when nothing is remembered; what it raises is not.

        Raises:
            OSError: the file cannot be read.
        """
        key = (identity, also)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        name, size, _, changed_ns, _ = identity
        value = read(Path(name).read_bytes())
        settled = self._now_ns() - changed_ns > SETTLED_NS and file_id(Path(name)) == identity
        if settled and size <= self._max_bytes:
            with self._lock:
                # What the file was before, nobody asks for any more.
                for old in [old for old in self._kept if old[0][0] == name and old[0] != identity]:
                    del self._kept[old]
                self._kept[key] = value
                while sum(kept[1] for kept, _ in self._kept) > self._max_bytes:
                    self._kept.popitem(last=False)
        return value
