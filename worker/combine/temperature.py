"""Temperature scaling: the T that minimises the NLL of softmax(z / T).

Source: Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from worker.combine.rows import ExpertRows, Floats

BOUNDS = (0.05, 20.0)
"""Of T."""


def fit_temperature(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    weights: Floats,
    check: Callable[[], None] = lambda: None,
) -> float:
    """Fit the temperature of one expert.

    The NLL is convex in s = 1/T, so its minimum is where the derivative Σ_n w_n (Σ_c p_nc z_nc − z_ny), rising in s,
    passes 0. Where it has one sign the minimum lies at a bound.

    Args:
        logits: [N, C] finite.
        labels: [N], 0…C−1.
        weights: [N], not negative, some positive.
        check: called before each pass over the rows; what it raises passes through.

    Returns:
        T in BOUNDS; 1 if no T changes the NLL, as with equal logits.
    """
    rows = ExpertRows((logits,), labels, weights)

    def slope(inverse: float) -> float:
        check()
        return _slope(rows, inverse)

    hottest, coldest = 1 / BOUNDS[1], 1 / BOUNDS[0]
    at_hottest, at_coldest = slope(hottest), slope(coldest)
    if at_hottest == at_coldest == 0:
        return 1.0
    if at_hottest >= 0:
        return BOUNDS[1]
    if at_coldest <= 0:
        return BOUNDS[0]
    inverse = brentq(slope, hottest, coldest, xtol=1e-15, rtol=4 * np.finfo(float).eps, maxiter=200)
    return 1 / float(inverse)


def _slope(rows: ExpertRows, inverse: float) -> float:
    """Compute the derivative of the weighted NLL by s = 1/T."""
    total = 0.0
    for part, logits in rows.blocks():
        gaps = logits[:, 0]  # [n, C]
        gaps -= np.take_along_axis(gaps, rows.labels[part, None], axis=1)  # z_c − z_y
        shares = np.exp(inverse * (gaps - gaps.max(axis=1, keepdims=True)))
        means = np.einsum("nc,nc->n", shares, gaps) / shares.sum(axis=1)
        total += float((rows.weights[part] * means).sum())
    return total
