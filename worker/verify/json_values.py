"""Numbers of arrays as JSON can carry them, for what a check measured and for its evidence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE


def first_rows(mask: NDArray[np.bool_]) -> list[int]:
    """List the mask's first set places, at most MAX_EVIDENCE."""
    return [int(row) for row in np.flatnonzero(mask)[:MAX_EVIDENCE]]


def finite_or_name(value: float | np.floating[Any]) -> float | str:
    """Return a finite number as a float, others by name."""
    number = float(value)
    return number if math.isfinite(number) else str(number)
