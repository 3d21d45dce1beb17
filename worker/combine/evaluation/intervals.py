"""Percentile intervals of resampled figures. Source: Efron & Tibshirani, 1993, chapter 13."""

from __future__ import annotations

import numpy as np

from app.domain.evaluations import Difference, Interval
from worker.combine.rows import Floats

ROUNDING = 1e-12
"""Of figures up to some hundred nats: a difference that is smaller is none."""


def interval(values: Floats, level: float) -> Interval | None:
    """Return the quantiles (1 ∓ level)/2 of values [B].

    Resamples on which the figure is undefined (NaN) are left out; None if it is undefined on all.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def difference(
    value: float | None, other: float | None, values: Floats | None, others: Floats | None, level: float
) -> Difference | None:
    """Compare a figure with another method's, on the same resamples.

    None if either is undefined. What differs by rounding alone is 0, so that equal methods never seem to differ.
    """
    if value is None or other is None or values is None or others is None:
        return None
    gaps = values - others
    gaps[np.abs(gaps) < ROUNDING] = 0.0
    ends = interval(gaps, level)
    gap = value - other
    return None if ends is None else Difference(0.0 if abs(gap) < ROUNDING else gap, *ends)


def optional(value: float) -> float | None:
    """Return None for NaN."""
    return None if np.isnan(value) else float(value)
