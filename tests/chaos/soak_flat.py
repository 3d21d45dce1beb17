"""Whether a measured quantity is flat: a robust line through its samples, held against what it may grow by.

The line is Theil and Sen's: the median of the slopes between all pairs of samples (Sen, 1968, "Estimates of the
regression coefficient based on Kendall's tau"). Up to 29 % of the samples may be anything: a peak while a large
answer is sent, or the teeth of what garbage collection cuts back, do not move it, and a leak does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP = 0.5
"""Of the time: what is loaded, cached and pooled comes then, and is not growth."""
MOST = 600
"""Samples that the line is laid through; of more, neighbours are put together."""
FEWEST = 5


@dataclass(frozen=True)
class Allowance:
    """What a quantity may grow by from the end of the warm-up to the end of the run, however long that takes.

    So the longer the run, the slower a leak it finds. An allowance is what the measurement itself varies by.
    """

    least: float
    share: float
    """Of its own size, if that is more."""

    def of(self, level: float) -> float:
        return max(self.least, self.share * level)


@dataclass(frozen=True)
class Trend:
    """What became of one quantity after the warm-up."""

    level: float
    """The median."""
    growth: float
    """Of the line, from the end of the warm-up to the end of the run."""
    seconds: float
    """In which it grew by that."""
    allowed: float

    @property
    def flat(self) -> bool:
        return self.growth <= self.allowed

    @property
    def an_hour(self) -> float:
        return self.growth / self.seconds * 3600


def trend(times: Sequence[float], values: Sequence[float], allowance: Allowance) -> Trend:
    """The trend of what was measured at those times, in seconds from any moment, ascending.

    Raises:
        ValueError: too few samples for a line.
    """
    at, measured = np.asarray(times, np.float64), np.asarray(values, np.float64)
    warm = at >= at[0] + WARM_UP * (at[-1] - at[0]) if at.size else np.zeros(0, np.bool_)
    at, measured = at[warm], measured[warm]
    if at.size < FEWEST:
        raise ValueError(f"{at.size} samples after the warm-up are too few for a line")
    seconds, level = float(at[-1] - at[0]), float(np.median(measured))
    return Trend(level, _slope(_thinned(at), _thinned(measured)) * seconds, seconds, allowance.of(level))


def _slope(at: NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    """[N], [N] → the median slope over all N (N - 1) / 2 pairs."""
    first, second = np.triu_indices(at.size, 1)
    return float(np.median((measured[second] - measured[first]) / (at[second] - at[first])))


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    parts = np.array_split(values, min(MOST, values.size))
    return np.array([np.median(part) for part in parts])
