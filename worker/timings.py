"""Seconds that a unit spends in each phase."""

from __future__ import annotations

import time


class Timings:
    """A stopwatch that is read at the end of each phase. Runs from its construction."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """By phase; a phase that comes again adds up."""
        self._last = time.monotonic()

    def lap(self, phase: str) -> None:
        """Add the time since the last lap to a phase."""
        now = time.monotonic()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now
