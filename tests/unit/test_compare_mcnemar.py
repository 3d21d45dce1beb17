"""McNemar's exact test and Holm's correction, against statsmodels, SciPy and enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from app.domain.comparisons import McNemar
from worker.compare.mcnemar import adjusted, holm, mcnemar


def of_counts(both: int, only_a: int, only_b: int, neither: int) -> McNemar:
    right_a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    right_b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    order = np.random.default_rng(0).permutation(len(right_a))
    return mcnemar(right_a[order], right_b[order])


@pytest.mark.parametrize("counts", [(10, 3, 12, 7), (0, 1, 0, 0), (5, 8, 8, 2), (612, 97, 141, 150), (0, 0, 40, 0)])
def test_p_is_that_of_statsmodels(counts: tuple[int, int, int, int]) -> None:
    """`mcnemar(exact=True)` on the same table."""
    both, only_a, only_b, neither = counts
    expected = statsmodels_mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
    result = of_counts(*counts)
    assert result.p == pytest.approx(expected, rel=1e-12)
    assert (result.both_right, result.only_a, result.only_b, result.both_wrong) == counts


@given(st.integers(0, 12), st.integers(0, 12))
def test_p_is_the_probability_of_a_count_that_is_no_more_likely(only_a: int, only_b: int) -> None:
    """By enumeration of Bin(n, 1/2); 1 without a discordant row."""
    total = only_a + only_b
    chances = binom.pmf(np.arange(total + 1), total, 0.5)
    expected = chances[chances <= chances[only_a] * (1 + 1e-9)].sum()
    assert of_counts(1, only_a, only_b, 1).p == pytest.approx(expected, rel=1e-9)


def test_no_row_that_one_alone_has_right_gives_p_1() -> None:
    """Nothing speaks for either; one row is no division by zero."""
    assert of_counts(3, 0, 0, 2).p == of_counts(1, 0, 0, 0).p == 1.0


@pytest.mark.parametrize(
    "p_values", [[0.3], [0.01, 0.01, 0.04], [0.0, 1.0, 0.5, 0.02], list(np.random.default_rng(0).random(12) / 10)]
)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    """Ties, zeros and ones included; a single test is not changed."""
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected, rtol=1e-12, atol=0)
    if len(p_values) == 1:
        assert holm(p_values) == p_values


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    """Holm 1979: in rising order, reject while p ≤ α / (tests left)."""
    for p_values in product((0.004, 0.012, 0.018, 0.03, 0.2), repeat=4):
        rejected, order = set(), sorted(range(4), key=lambda number: p_values[number])
        for step, number in enumerate(order):
            if p_values[number] > 0.05 / (4 - step):
                break
            rejected.add(number)
        assert {number for number, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def test_tests_of_a_split_know_their_number() -> None:
    """`p` stays, `p_holm` is adjusted."""
    tests = [of_counts(5, 2, 14, 3), of_counts(5, 9, 7, 3), of_counts(5, 1, 9, 3)]
    results = adjusted(tests)
    assert [test.p for test in results] == [test.p for test in tests]
    assert [test.p_holm for test in results] == pytest.approx(multipletests([t.p for t in tests], method="holm")[1])
    assert {test.pairs for test in results} == {3}
