"""Thresholds accept the wanted share of the rows' weight, whatever rounding does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.combine.rows import Floats
from worker.combine.thresholds import LOWEST_SCORE, threshold_at, thresholds_at

SCORES = st.lists(st.integers(0, 8), min_size=1, max_size=30)


def by_definition(score: Floats, weights: Floats, coverage: float) -> float:
    """Try every score as the threshold."""
    enough = [t for t in score if weights[score >= t].sum() >= coverage * weights.sum() * (1 - 1e-9)]
    return float(max(enough))


def test_the_threshold_is_the_largest_with_enough_accepted_weight() -> None:
    score, weights = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 1.0, 4.0, 2.0])
    assert [threshold_at(score, weights, c) for c in (0.1, 0.125, 0.25, 0.26, 0.75, 0.76)] == [
        0.9, 0.9, 0.8, 0.7, 0.7, 0.6,
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(SCORES, st.integers(1, 99), st.booleans(), st.integers(0, 2**32 - 1))
def test_thresholds_agree_with_the_definition(values: list[int], percent: int, equal: bool, seed: int) -> None:
    score = np.array(values) / 8
    drawn = np.random.default_rng(seed).integers(0, 4, len(values)).astype(float)
    weights = np.ones(len(values)) if equal or not drawn.any() else drawn
    assert threshold_at(score, weights, percent / 100) == by_definition(score, weights, percent / 100)


def test_tied_rows_are_accepted_together() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    threshold = threshold_at(score, np.ones(5), 0.4)
    assert threshold == 0.5
    assert (score >= threshold).sum() == 4


@pytest.mark.parametrize("weight", [1.0, 0.1, 1 / 3])
@pytest.mark.parametrize("rows", [10, 20, 100, 1000])
def test_rounding_accepts_no_row_too_many(weight: float, rows: int) -> None:
    """0.55·100 is 55.00000000000001 in float64, and ten times 0.1 is 0.9999999999999999."""
    score = np.arange(rows, 0, -1.0)
    nearly_equal = np.full(rows, weight)
    nearly_equal[0] *= 1 + 1e-15  # equal weights are counted, others are summed
    for weights in (np.full(rows, weight), nearly_equal):
        for step in range(1, 20):
            count = rows * step // 20
            if count * 20 == rows * step:
                assert threshold_at(score, weights, step / 20) == rows + 1 - count


def test_many_thresholds_are_those_of_each_alone() -> None:
    generator = np.random.default_rng(1)
    coverages = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
    scores = np.round(generator.normal(size=(7, 203)), 2)
    for weights in (np.ones(203), generator.gamma(1, size=203)):
        together = thresholds_at(scores, weights, coverages)
        alone = [[threshold_at(score, weights, coverage) for coverage in coverages] for score in scores]
        assert together.tolist() == alone


def test_full_coverage_accepts_all_rows_and_is_json() -> None:
    threshold = threshold_at(np.array([0.5, 0.25]), np.ones(2), 1.0)
    assert threshold == LOWEST_SCORE
    assert threshold <= -1e300
    assert json.loads(json.dumps(threshold, allow_nan=False)) == threshold


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.01, float("nan")])
def test_coverages_outside_their_range_are_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        threshold_at(np.ones(3), np.ones(3), coverage)
