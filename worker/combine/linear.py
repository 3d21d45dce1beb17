"""The weights of a linear pool of experts, by expectation maximisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.combine.rows import Floats

LEAST_GAIN = 1e-12
"""In nats: a step that gains less is the last."""

MOST_STEPS = 20_000


def fit_weights(log_probabilities: Floats, weights: Floats, check: Callable[[], None] = lambda: None) -> Floats:
    """Fit q on the simplex to the least weighted NLL of Σ_e q_e P_ne.

    q_e ← Σ_n w_n q_e P_ne / Σ_j q_j P_nj, from 1/E. The NLL is convex in q and falls with every step. Source:
    Dempster, Laird & Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977, for mixtures of
    known components.

    Args:
        log_probabilities: [N, E] log P_ne, of each row's label, finite.
        weights: [N], not negative, some positive.
        check: called before each step; what it raises passes through.

    Returns:
        [E] float64, 0…1, sum 1.
    """
    counted = weights > 0  # a row without weight could have only experts whose q underflowed
    shares = weights[counted] / weights[counted].sum()
    # Each row's largest P is scaled to 1, so that a row of tiny ones does not underflow; the optimum stays.
    scaled = np.exp(log_probabilities[counted] - log_probabilities[counted].max(axis=1, keepdims=True))  # [n, E]
    q = np.full(scaled.shape[1], 1 / scaled.shape[1])
    mixed = (scaled * q).sum(axis=1)
    value = -(shares * np.log(mixed)).sum()
    for _ in range(MOST_STEPS):
        check()
        q = q * (scaled * (shares / mixed)[:, None]).sum(axis=0)
        q /= q.sum()
        mixed = (scaled * q).sum(axis=1)
        before, value = value, -(shares * np.log(mixed)).sum()
        if before - value < LEAST_GAIN:
            break
    return q
