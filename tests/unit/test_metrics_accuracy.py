"""Accuracies, held against scikit-learn and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score, top_k_accuracy_score

from app.catalog.long_tail import class_groups
from tests.unit.metric_inputs import Case, every_case
from worker.verify.metrics.accuracy import (
    accuracy,
    balanced_accuracy,
    class_recalls,
    group_accuracy,
    legacy_balanced_accuracy,
    reweighted_accuracy,
    top_k_accuracy,
    worst_group_accuracy,
)


@every_case
def test_accuracy_is_sklearns(case: Case) -> None:
    """Plain accuracy is accuracy_score."""
    assert accuracy(case.predictions, case.labels) == pytest.approx(accuracy_score(case.labels, case.predictions))


@every_case
@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_sklearns(case: Case, k: int) -> None:
    """Top-k accuracy is top_k_accuracy_score, which agrees where no logits tie and 2 < C, k < C.

    Of equal logits scikit-learn takes the higher class first, here the lower one is, as in argmax. So it is given
    the classes in reverse, where that is the same.
    """
    if case.classes <= max(k, 2):
        assert top_k_accuracy(case.scores.rank, max(k, case.classes)) == 1.0
        return
    expected = top_k_accuracy_score(
        case.classes - 1 - case.labels, case.logits[:, ::-1], k=k, labels=range(case.classes)
    )
    assert top_k_accuracy(case.scores.rank, k) == pytest.approx(expected)


@every_case
def test_recalls_are_sklearns(case: Case) -> None:
    """The accuracy on a class is its recall, and NaN where the class has no rows."""
    present = np.unique(case.labels)
    found = class_recalls(case.predictions, case.labels, case.classes)
    expected = recall_score(case.labels, case.predictions, labels=present, average=None, zero_division=np.nan)
    np.testing.assert_allclose(found[present], expected)
    assert found.shape == (case.classes,)
    assert np.isnan(np.delete(found, present)).all()


@every_case
def test_balanced_accuracy_is_sklearns(case: Case) -> None:
    """Balanced accuracy is the macro recall over the classes present.

    `balanced_accuracy_score` is the same figure, but warns when a prediction is of an absent class.
    """
    found = balanced_accuracy(class_recalls(case.predictions, case.labels, case.classes))
    expected = recall_score(case.labels, case.predictions, labels=np.unique(case.labels), average="macro")
    assert found == pytest.approx(expected)


@every_case
def test_reweighted_accuracy_is_sklearns(case: Case) -> None:
    """Reweighted accuracy is accuracy_score with each row weighing w_c / (rows of its class)."""
    weights = np.random.default_rng(case.classes).random(case.classes) + 0.01
    found = reweighted_accuracy(class_recalls(case.predictions, case.labels, case.classes), weights)
    row_weights = (weights / np.maximum(np.bincount(case.labels, minlength=case.classes), 1))[case.labels]
    assert found == pytest.approx(accuracy_score(case.labels, case.predictions, sample_weight=row_weights))


@every_case
def test_group_accuracies_are_sklearns(case: Case) -> None:
    """A group's accuracy is accuracy_score on its rows, and None without rows; the worst is the least of them."""
    groups = [np.arange(case.classes) % 3 == rest for rest in range(3)]
    expected = []
    for group in groups:
        rows = group[case.labels]
        found = group_accuracy(case.predictions, case.labels, group)
        if rows.any():
            expected.append(accuracy_score(case.labels[rows], case.predictions[rows]))
            assert found == pytest.approx(expected[-1])
        else:
            assert found is None
    assert worst_group_accuracy(case.predictions, case.labels, groups) == pytest.approx(min(expected))
    assert worst_group_accuracy(case.predictions, case.labels, []) is None


def test_legacy_balanced_accuracy_leaves_out_what_is_never_right() -> None:
    """The old scripts' mean is over classes with a hit; without any it is 0."""
    assert legacy_balanced_accuracy(np.array([1.0, 0.5, 0.0, np.nan])) == 0.75
    assert legacy_balanced_accuracy(np.array([0.0, np.nan])) == 0.0


@every_case
def test_legacy_balanced_accuracy_flatters(case: Case) -> None:
    """It is never below the balanced accuracy, and equal when every class present is hit."""
    recalls = class_recalls(case.predictions, case.labels, case.classes)
    assert legacy_balanced_accuracy(recalls) >= balanced_accuracy(recalls) - 1e-15
    if not (recalls == 0).any():
        assert legacy_balanced_accuracy(recalls) == pytest.approx(balanced_accuracy(recalls))


def test_reweighted_accuracy_without_weight_is_none() -> None:
    """When only classes of weight 0 are present there is no figure."""
    assert reweighted_accuracy(np.array([1.0, np.nan]), np.array([0.0, 1.0])) is None


@pytest.mark.parametrize("scale", [1e-320, 1e308])
def test_reweighted_accuracy_does_not_depend_on_the_weights_scale(scale: float) -> None:
    """Weights far from sum 1, even near the limits of float64, give the same figure."""
    assert reweighted_accuracy(np.array([1.0, 0.0]), np.array([scale, scale])) == pytest.approx(0.5)


def test_groups_begin_where_they_are_said_to() -> None:
    """Head is above the threshold; many is above 100, medium 20 to 100, few below 20."""
    counts = np.array([0, 19, 20, 21, 100, 101])
    found = {name: np.flatnonzero(mask).tolist() for name, mask in class_groups(counts, 20).items()}
    assert found == {"head": [3, 4, 5], "tail": [0, 1, 2], "many": [5], "medium": [2, 3, 4], "few": [0, 1]}
    moved = class_groups(counts, 100)
    assert np.flatnonzero(moved["head"]).tolist() == [5]
    assert np.flatnonzero(moved["few"]).tolist() == [0, 1]
