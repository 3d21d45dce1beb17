"""Signs of life of a worker's threads, so that one that hangs can be told from one that computes for hours.

They are shown as the time of a file that the worker holds anyway, and whoever looks only asks whether that time
moves: no clock of one process is held against another's, and the job store is not written to.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHOWN_EVERY_S = 1.0


class Heartbeat:
    """The pulse of one worker; its file's time is that of the thread that has been silent for longest.

    Args:
        path: a file that is there for as long as the worker lives.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beats: dict[int, float] = {}
        self._began = time.time() - time.monotonic()  # so that the file's time looks like one; clocks may be set
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def beat(self) -> None:
        """The calling thread goes on, and counts from now on. Costs a tenth of a microsecond."""
        self._beats[threading.get_ident()] = time.monotonic()

    def still(self) -> None:
        """The same, for what is called by any thread: one that has never called `beat` does not count after it."""
        if threading.get_ident() in self._beats:
            self.beat()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for as long as the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SHOWN_EVERY_S):
            silent_since = self._began + min(list(self._beats.values()), default=time.monotonic())
            try:
                os.utime(self._path, (silent_since, silent_since))
            except OSError:  # a disk that refuses now; what lasts is seen as a hang
                continue
