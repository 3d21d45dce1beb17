"""What a way to compute logits took, and what it computed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Outcome:
    """Filled in while a way runs: two clocks, and the logits."""

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    """[N, C] of each expert in their order, images in the pool's."""
    seconds: dict[str, float] = field(default_factory=lambda: {"prepare": 0.0, "loop": 0.0})
    """`prepare` is reading, loading, converting and compiling; `loop` is from images to logits."""

    @property
    def total_s(self) -> float:
        """All that the way takes."""
        return sum(self.seconds.values())

    @contextmanager
    def clock(self, what: str) -> Iterator[None]:
        """Count the block's time as `prepare` or `loop`."""
        started = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - started
