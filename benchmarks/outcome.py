"""What a way to compute logits took, and what it computed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PREPARE, FIRST, REST = "prepare", "first", "rest"
"""The clocks: reading, loading, converting and compiling; each expert's first images; all the others."""
FIRST_SHARE = 0.1
"""Of a loop's images that come first: after them whatever is made at first use is there."""


@dataclass
class Outcome:
    """Filled in while a way runs: the clocks, and the logits."""

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    """[N, C] of each expert in their order, images in the pool's."""
    seconds: dict[str, float] = field(default_factory=lambda: {PREPARE: 0.0, FIRST: 0.0, REST: 0.0})
    rest_share: float = 1.0
    """Of the images, those that the clock `rest` was running for."""

    @property
    def loop_s(self) -> float:
        """From images to logits."""
        return self.seconds[FIRST] + self.seconds[REST]

    @property
    def warm_loop_s(self) -> float:
        """What the loop would have taken if all images had gone as the later ones did."""
        return self.seconds[REST] / self.rest_share

    @property
    def total_s(self) -> float:
        """All that the way takes."""
        return self.seconds[PREPARE] + self.loop_s

    @contextmanager
    def clock(self, what: str) -> Iterator[None]:
        """Count the block's time on that clock."""
        started = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - started

    def batches(self, images: int, batch: int) -> Iterator[range]:
        """Where a loop's batches begin: the first images' and then the rest's, each counted on its clock."""
        first = int(images * FIRST_SHARE) // batch * batch
        self.rest_share = 1 - first / images
        for clock, starts in ((FIRST, range(0, first, batch)), (REST, range(first, images, batch))):
            with self.clock(clock):
                yield starts
