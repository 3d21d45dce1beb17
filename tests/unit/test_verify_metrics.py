"""The figures, held against scikit-learn and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, recall_score

from worker.verify import metrics

Drawn = tuple[NDArray[np.int64], NDArray[np.int64], int]  # predictions [N], labels [N], C


def _draw(seed: int) -> Drawn:
    """A random split: few rows leave classes absent, many rows leave none, and some experts are good."""
    random = np.random.default_rng(seed)
    rows, classes = int(random.integers(1, 300)), int(random.integers(1, 30))
    labels = random.integers(0, classes, rows)
    guesses = random.integers(0, classes, rows)
    return np.where(random.random(rows) < random.random(), labels, guesses), labels, classes


drawn = pytest.mark.parametrize(
    ("predictions", "labels", "classes"), [pytest.param(*_draw(seed), id=f"seed{seed}") for seed in range(40)]
)


@drawn
def test_accuracy_is_sklearns(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> None:
    """Plain accuracy is accuracy_score."""
    assert metrics.accuracy(predictions, labels) == pytest.approx(accuracy_score(labels, predictions))


@drawn
def test_class_accuracies_are_sklearns_recalls(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> None:
    """The accuracy on a class is its recall, and NaN where the class has no rows."""
    present = np.unique(labels)
    found = metrics.class_accuracies(predictions, labels, classes)
    np.testing.assert_allclose(found[present], recall_score(labels, predictions, labels=present, average=None))
    assert found.shape == (classes,)
    assert np.isnan(np.delete(found, present)).all()


@drawn
def test_balanced_accuracy_is_sklearns(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> None:
    """Balanced accuracy is the macro recall over the classes present.

    `balanced_accuracy_score` is the same figure, but warns when a prediction is of an absent class.
    """
    found = metrics.balanced_accuracy(metrics.class_accuracies(predictions, labels, classes))
    expected = recall_score(labels, predictions, labels=np.unique(labels), average="macro")
    assert found == pytest.approx(expected)


@drawn
def test_reweighted_accuracy_is_sklearns(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> None:
    """Reweighted accuracy is accuracy_score with each row weighing w_c / (rows of its class)."""
    weights = np.random.default_rng(classes).random(classes) + 0.01
    found = metrics.reweighted_accuracy(metrics.class_accuracies(predictions, labels, classes), weights)
    row_weights = (weights / np.maximum(np.bincount(labels, minlength=classes), 1))[labels]
    assert found == pytest.approx(accuracy_score(labels, predictions, sample_weight=row_weights))


@drawn
def test_group_accuracy_is_sklearns(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> None:
    """A group's accuracy is accuracy_score on its rows, and None without rows."""
    group = np.arange(classes) % 2 == 0
    rows = group[labels]
    found = metrics.group_accuracy(predictions, labels, group)
    if rows.any():
        assert found == pytest.approx(accuracy_score(labels[rows], predictions[rows]))
    else:
        assert found is None


def test_balanced_accuracy_counts_a_class_that_is_never_right() -> None:
    """A present class with no hit counts with 0; only absent classes are left out."""
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
    assert metrics.balanced_accuracy(metrics.class_accuracies(predictions, labels, 3)) == 0.5


def test_reweighted_accuracy_is_the_plain_sum_when_all_classes_are_present() -> None:
    """With every class present and weights of sum 1 the figure is Σ w_c·a_c."""
    accuracies, weights = np.array([1.0, 0.5, 0.0]), np.array([0.7, 0.2, 0.1])
    assert metrics.reweighted_accuracy(accuracies, weights) == pytest.approx(0.8)


def test_reweighted_accuracy_leaves_absent_classes_out() -> None:
    """The weight of an absent class is given to the others in their proportion."""
    accuracies, weights = np.array([1.0, 0.5, np.nan]), np.array([0.3, 0.1, 0.6])
    assert metrics.reweighted_accuracy(accuracies, weights) == pytest.approx((0.3 + 0.05) / 0.4)


def test_reweighted_accuracy_without_weight_is_none() -> None:
    """When only classes of weight 0 are present there is no figure."""
    assert metrics.reweighted_accuracy(np.array([1.0, np.nan]), np.array([0.0, 1.0])) is None


@pytest.mark.parametrize("scale", [1e-320, 1e308])
def test_reweighted_accuracy_does_not_depend_on_the_weights_scale(scale: float) -> None:
    """Weights far from sum 1, even near the limits of float64, give the same figure."""
    assert metrics.reweighted_accuracy(np.array([1.0, 0.0]), np.array([scale, scale])) == pytest.approx(0.5)


def test_head_begins_above_twenty() -> None:
    """A class with exactly 20 train samples is tail, one with 21 is head."""
    assert metrics.head_classes(np.array([0, 20, 21, 500])).tolist() == [False, False, True, True]


def test_one_row_of_one_class() -> None:
    """One row and one class are enough for every figure."""
    row = np.array([0])
    accuracies = metrics.class_accuracies(row, row, 1)
    assert metrics.accuracy(row, row) == 1.0
    assert metrics.balanced_accuracy(accuracies) == 1.0
    assert metrics.reweighted_accuracy(accuracies, np.array([1.0])) == 1.0


def test_figures_are_exact_for_many_rows() -> None:
    """Figures are computed in float64: a million rows lose nothing to rounding."""
    labels = np.zeros(1_000_001, dtype=np.int64)
    predictions = labels.copy()
    predictions[0] = 1
    assert metrics.accuracy(predictions, labels) == 1_000_000 / 1_000_001
