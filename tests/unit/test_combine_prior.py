"""Weights give a list's classes the shares of the prior that is wanted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import JobError
from worker.combine.prior import effective_size, log_prior, row_weights

COUNTS = np.array([80, 15, 5, 0])
LABELS = np.array([0, 0, 1, 1, 1, 2, 3, 3])


def test_listed_rows_all_count_the_same() -> None:
    assert row_weights(LABELS, "listed", None).tolist() == [1.0] * 8


def test_the_train_prior_gives_classes_their_train_shares() -> None:
    """Every class's weight is its share of the train counts; within a class rows are equal, and the mean is 1."""
    weights = row_weights(LABELS, "train", COUNTS)
    assert weights.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(np.bincount(LABELS, weights) / 8, [0.8, 0.15, 0.05, 0.0])
    assert weights[0] == weights[1]
    assert (weights[LABELS == 3] == 0).all()


def test_classes_that_are_not_listed_share_nothing() -> None:
    """The others keep their proportions."""
    weights = row_weights(np.array([0, 2, 2]), "train", COUNTS)
    assert weights.sum() == pytest.approx(3.0)
    assert weights[0] / (weights[1] + weights[2]) == pytest.approx(80 / 5)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30).filter(lambda labels: labels != [3] * len(labels)))
def test_a_mean_over_weighted_rows_is_a_mean_over_classes(labels: list[int]) -> None:
    """Σ w f / Σ w = Σ_c π_c f̄_c / Σ_c π_c over the classes listed."""
    rows = np.array(labels)
    values = np.sin(np.arange(len(rows)))
    present = np.unique(rows)
    means = np.array([values[rows == c].mean() for c in present])
    expected = np.average(means, weights=COUNTS[present])
    assert np.average(values, weights=row_weights(rows, "train", COUNTS)) == pytest.approx(expected, abs=1e-12)


def test_a_train_prior_needs_counts_and_rows_of_its_classes() -> None:
    with pytest.raises(JobError) as caught:
        row_weights(LABELS, "train", None)
    assert caught.value.code == "train-counts-unknown"
    with pytest.raises(JobError) as caught:
        row_weights(np.array([3, 3]), "train", COUNTS)
    assert caught.value.code == "no-row-has-weight"


def test_the_effective_size_is_kishs() -> None:
    """N for equal weights, one for a single heavy row, (Σw)²/Σw² between."""
    assert effective_size(np.ones(10)) == 10
    assert effective_size(np.array([5.0, 0.0])) == 1
    assert effective_size(np.array([1.0, 3.0])) == pytest.approx(1.6)


def test_log_prior_counts_an_absent_class_as_half_a_sample() -> None:
    np.testing.assert_allclose(np.exp(log_prior(COUNTS)), [0.8, 0.15, 0.05, 0.005])
    with pytest.raises(JobError) as caught:
        log_prior(np.zeros(3, dtype=np.int64))
    assert caught.value.code == "train-counts-unknown"
