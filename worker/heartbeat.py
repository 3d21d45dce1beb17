"""The heartbeat of a worker, which tells one that hangs from one that computes for hours.

It is the modification time of a file that the worker holds anyway. An observer only asks whether that time moves, so
no two clocks are compared and the job store is not written.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITE_EVERY_S = 1.0


class Heartbeat:
    """The heartbeat of one worker: the last beat of its longest silent thread, as the time of a file.

    Args:
        path: a file that exists for as long as the worker lives.
        every_s: seconds between two updates of the file's time.
    """

    def __init__(self, path: Path, every_s: float = WRITE_EVERY_S) -> None:
        self._path, self._every_s = path, every_s
        self._beats: dict[int, float] = {}
        # The wall clock may be set at any time, so it is read once; after that only the monotonic clock counts.
        self._epoch = time.time() - time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def beat(self) -> None:
        """Record that the calling thread goes on. Takes 0.1 µs.

        From its first call on, the thread counts: its silence is the worker's.
        """
        self._beats[threading.get_ident()] = time.monotonic()

    def beat_if_counted(self) -> None:
        """Beat if the calling thread has called `beat` before."""
        if threading.get_ident() in self._beats:
            self.beat()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Update the file for as long as the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            silent_since = self._epoch + min(list(self._beats.values()), default=time.monotonic())
            try:
                os.utime(self._path, (silent_since, silent_since))
            except OSError:  # a disk that refuses for a moment; one that goes on refusing is taken for a hang
                continue
