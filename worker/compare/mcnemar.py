"""McNemar's exact test, and Holm's correction for several tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from app.domain.comparisons import McNemar


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> McNemar:
    """Test whether A and B are equally often right on the same distinct samples, [N] each.

    If they are, a sample that one alone has right is as likely A's as B's: of only_a + only_b such samples, only_a
    follows Bin(only_a + only_b, 1/2). p is two-sided: the probability of a count that is no more likely. It holds for
    samples that are drawn independently, so each may be given once only. Source: McNemar, "Note on the sampling error
    of the difference between correlated proportions or percentages", Psychometrika 1947; the exact form as in
    Edwards, "Note on the 'correction for continuity' in testing the significance of the difference between
    correlated proportions", Psychometrika 1948, is preferred to the χ² with its correction.
    """
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    discordant = only_a + only_b
    p = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
    return McNemar(
        both_right=int(np.sum(right_a & right_b)),
        only_a=only_a,
        only_b=only_b,
        both_wrong=int(np.sum(~right_a & ~right_b)),
        p=p,
        p_holm=p,
        pairs=1,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number by Holm's step-down method.

    In rising order p_(1) ≤ … ≤ p_(m), the adjusted value is max_{j≤i} min(1, (m − j + 1)·p_(j)). To call a difference
    real where it is below α is wrong for any of the m with probability α at most, however they depend on each other.
    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(np.arange(len(values), 0, -1) * values[order])
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def adjusted(tests: Sequence[McNemar]) -> list[McNemar]:
    """Adjust the tests of one split for their number."""
    values = holm([test.p for test in tests])
    return [replace(test, p_holm=p, pairs=len(tests)) for test, p in zip(tests, values, strict=True)]
