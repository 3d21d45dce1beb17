"""Calibration by group, shifted priors and confusion, held against other libraries and enumeration."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from app.domain.result_figures import ConfusedPair
from tests.unit.metric_inputs import Case, drawn, every_case
from tests.unit.oracles import torchmetrics_classification
from worker.analyses.calibration import calibration_of
from worker.analyses.confusion import PAIRS, confusion_of, frequent_pairs
from worker.analyses.shifted_priors import SHIFTS, shifted_accuracies, shifted_prior
from worker.verify.metrics.accuracy import class_recalls


@every_case
def test_calibration_of_a_group_is_that_of_its_rows_alone(case: Case) -> None:
    """The error is torchmetrics' over the group's rows, and the bins sum to it; without rows there is none."""
    rows = case.labels >= case.classes / 2
    found = calibration_of(case.scores, rows)
    if not rows.any():
        assert found is None
        return
    assert found is not None
    confidence, right = (torch.from_numpy(values[rows]) for values in (case.scores.confidence, case.scores.correct))
    if (confidence < 1).all():  # torchmetrics gives a confidence of 1 a bin of its own
        expected = torchmetrics_classification().binary_calibration_error(confidence, right.long(), n_bins=15)
        assert found.ece == pytest.approx(float(expected), abs=1e-6)
    gaps = [item.rows * abs((item.accuracy or 0) - (item.confidence or 0)) for item in found.reliability]
    assert sum(gaps) / found.rows == pytest.approx(found.ece, abs=1e-12)
    assert sum(item.rows for item in found.reliability) == found.rows == rows.sum()
    assert found.accuracy == pytest.approx(float(right.double().mean()))
    assert found.confidence == pytest.approx(float(confidence.mean()))


def test_groups_can_be_worse_calibrated_than_the_whole() -> None:
    """Of four rows in one bin, over- and underconfidence of two groups cancel: 0 overall, ½ in each."""
    case = Case(np.log(np.array([[0.5, 0.5]] * 4)), np.array([0, 0, 1, 1]))
    parts = [calibration_of(case.scores, rows) for rows in (np.ones(4, bool), case.labels == 0, case.labels == 1)]
    assert [part and part.ece for part in parts] == pytest.approx([0.0, 0.5, 0.5])


def test_shifted_priors_have_the_ratio_and_order_of_their_name() -> None:
    """The most and the least frequent class differ by the ratio, on a straight line of logs; backward reverses it."""
    counts = np.array([5, 500, 20, 100, 20])
    for name, direction, ratio in SHIFTS:
        prior = shifted_prior(counts, direction, ratio)
        assert prior.sum() == pytest.approx(1)
        order = [1, 3, 2, 4, 0] if direction == "forward" else [0, 4, 2, 3, 1]
        assert np.diff(np.log(prior[order])) == pytest.approx(np.full(4, -np.log(ratio) / 4))
        assert name == ("Uniform" if ratio == 1 else f"{direction.title()}-{ratio}")
    assert [ratio for _, _, ratio in SHIFTS] == [50, 25, 10, 5, 2, 1, 2, 5, 10, 25, 50]


@every_case
def test_shifted_accuracies_are_weighted_accuracies(case: Case) -> None:
    """They are scikit-learn's accuracy with each row weighted by prior over the rows of its class."""
    counts = np.linspace(150, 3, case.classes).astype(np.int64)
    found = shifted_accuracies(class_recalls(case.predictions, case.labels, case.classes), counts)
    rows = np.bincount(case.labels, minlength=case.classes)
    assert found.absent_classes == np.count_nonzero(rows == 0)
    for item in found.accuracies:
        prior = shifted_prior(counts, item.direction, item.ratio)
        weights = prior[case.labels] / rows[case.labels]
        expected = recall_score(
            case.labels == case.labels, case.predictions == case.labels, sample_weight=weights, zero_division=0
        )
        assert item.accuracy == pytest.approx(expected), item.name
        assert item.covered == pytest.approx(prior[rows > 0].sum())


def test_the_uniform_prior_gives_the_balanced_accuracy() -> None:
    """Whatever the shares of the classes in the split, and their train counts."""
    recalls = np.array([0.9, 0.5, np.nan, 0.1])
    found = shifted_accuracies(recalls, np.array([9, 5, 3, 1]))
    [uniform] = [item for item in found.accuracies if item.name == "Uniform"]
    assert uniform.accuracy == pytest.approx(0.5)
    assert (uniform.covered, found.absent_classes) == (0.75, 1)


@every_case
def test_confusion_by_group_is_that_of_the_whole_matrix(case: Case) -> None:
    """The shares are sums over blocks of the table of labels against predictions, counted row by row."""
    tail = np.arange(case.classes) >= case.classes / 2
    found = confusion_of(case.predictions, case.labels, tail).groups
    matrix = np.zeros((case.classes, case.classes))
    for label, predicted in zip(case.labels, case.predictions, strict=True):
        matrix[label, predicted] += 1
    off = matrix - np.diag(np.diag(matrix))
    assert found is not None
    for name, members in (("head", ~tail), ("tail", tail)):
        rows, group = matrix[members].sum(), found[name]
        if rows == 0:
            assert group is None
            continue
        assert group is not None
        assert group.rows == rows
        assert group.right * rows == pytest.approx(np.diag(matrix)[members].sum())
        assert group.as_head * rows == pytest.approx(off[members][:, ~tail].sum())
        assert group.as_tail * rows == pytest.approx(off[members][:, tail].sum())


@every_case
def test_frequent_pairs_are_those_of_a_plain_count(case: Case) -> None:
    """By falling count, of equals the lower classes first, at most ten, with shares of the label's rows."""
    rows = zip(case.labels.tolist(), case.predictions.tolist(), strict=True)
    counted = Counter((label, predicted) for label, predicted in rows if label != predicted)
    totals = Counter(case.labels.tolist())
    expected = [
        ConfusedPair(label, predicted, often, often / totals[label])
        for (label, predicted), often in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]
    ]
    assert frequent_pairs(case.predictions, case.labels) == expected


def test_without_train_counts_there_are_pairs_alone() -> None:
    """Nothing tells head from tail then; an expert without errors has no pair."""
    case = drawn(1, 40, 4)
    found = confusion_of(case.predictions, case.labels, None)
    assert found.groups is None
    assert found.pairs
    assert confusion_of(case.labels, case.labels, None).pairs == []
