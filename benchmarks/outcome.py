"""The times and logits of a way to compute the main job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PREPARE, FIRST, REST = "prepare", "first", "rest"
"""The clocks: reading, loading, converting and compiling; each expert's first images; its remaining images."""
FIRST_SHARE = 0.1
"""Share of a loop's images that count as first: kernels and buffers are made with them."""


@dataclass
class Outcome:
    """The clocks and logits of a way, filled in while it runs."""

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    """[N, C] of each expert, in the experts' order, images in the pool's order."""
    seconds: dict[str, float] = field(default_factory=lambda: {PREPARE: 0.0, FIRST: 0.0, REST: 0.0})
    rest_share: float = 1.0
    """Share of the images that were computed on the clock `rest`."""

    @property
    def loop_s(self) -> float:
        """Seconds from images to logits."""
        return self.seconds[FIRST] + self.seconds[REST]

    @property
    def warm_loop_s(self) -> float:
        """Seconds of the loop at the speed of its later images."""
        return self.seconds[REST] / self.rest_share

    @property
    def total_s(self) -> float:
        """Seconds of the whole way."""
        return self.seconds[PREPARE] + self.loop_s

    @contextmanager
    def clock(self, what: str) -> Iterator[None]:
        """Add the block's time to a clock."""
        started = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - started

    def batches(self, images: int, batch: int) -> Iterator[range]:
        """Yield the starts of a loop's batches: first images, then the rest.

        The time that the caller takes for each part is added to its clock.
        """
        first = int(images * FIRST_SHARE) // batch * batch
        self.rest_share = 1 - first / images
        for clock, starts in ((FIRST, range(0, first, batch)), (REST, range(first, images, batch))):
            with self.clock(clock):
                yield starts
