"""What a unit's time goes into."""

from __future__ import annotations

import time


class Timings:
    """A stop-watch that is read at the end of each phase. Runs from when it is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """By phase; one that comes again adds up."""
        self._last = time.monotonic()

    def lap(self, phase: str) -> None:
        """What has passed since the last lap went into that phase."""
        now = time.monotonic()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now
