"""Risk-coverage curves and their areas, held against torch-uncertainty, scikit-learn and every order of ties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.unit.metric_inputs import Case, every_case
from tests.unit.oracles import torch_uncertainty_file
from worker.verify.metrics.selective import (
    Curve,
    area,
    areas,
    group_risk_coverage,
    risk_coverage,
    thinned,
)
from worker.verify.metrics.ties import tie_groups

# A few rows of few confidences, so that ties are the rule: (confidence, right, group).
some_rows = st.lists(
    st.tuples(st.sampled_from([0.3, 0.5, 0.9]), st.booleans(), st.integers(0, 2)), min_size=1, max_size=6
)


def _area(name: str, confidence: np.ndarray, correct: np.ndarray) -> float:
    return float(getattr(areas(tie_groups(confidence, correct)), name)[0])


def _orders(confidence: np.ndarray) -> list[np.ndarray]:
    """Every order in which rows of falling confidence can be accepted."""
    orders = map(np.array, permutations(range(len(confidence))))
    return [order for order in orders if (np.diff(confidence[order]) <= 0).all()]


def _library(name: str, confidence: np.ndarray, correct: np.ndarray) -> float:
    """torch-uncertainty's area, through two-class probabilities of that confidence. Float32: to some 1e-6."""
    metric = getattr(torch_uncertainty_file("risk_coverage.py"), name)()
    probabilities = torch.from_numpy(np.column_stack([confidence, confidence - 1]))  # the first class is predicted
    metric.update(probabilities, torch.from_numpy((~correct).astype(np.int64)))
    return float(metric.compute())


def _risks(wrong: np.ndarray) -> np.ndarray:
    """The selective risks of rows accepted in this order."""
    return np.asarray(np.cumsum(wrong) / np.arange(1, len(wrong) + 1))


@every_case
def test_areas_are_torch_uncertaintys_where_nothing_ties(case: Case) -> None:
    """AURC and AUGRC follow from torch-uncertainty's, which weighs the first and the last coverage differently.

    It takes the trapezoids between the coverages 1/N and 1 and stretches them: (Σ_k r_k − (r_1 + r_N)/2)/(N−1), where
    AURC as Geifman et al. define it is Σ_k r_k/N, and the generalised curve of Traub et al. begins at (0, 0). For one
    row the library is NaN; of equal confidences it takes whatever its sort leaves.
    """
    confidence, correct = case.scores.confidence, case.scores.correct
    rows = len(confidence)
    if rows == 1:
        assert np.isnan(_library("AURC", confidence, correct))
        assert _area("aurc", confidence, correct) == (not correct[0])
        assert _area("augrc", confidence, correct) == (not correct[0]) / 2
        return
    # Ranks in place of confidences: distinct, also in the library's float32.
    confidence = 0.5 + np.argsort(np.argsort(confidence, kind="stable")) / (2 * rows)
    risks = _risks(~correct[np.argsort(-confidence)])
    generalised = risks * np.arange(1, rows + 1) / rows
    trapezoids = _library("AURC", confidence, correct) * (rows - 1)
    assert _area("aurc", confidence, correct) == pytest.approx(
        (trapezoids + (risks[0] + risks[-1]) / 2) / rows, abs=1e-6
    )
    trapezoids = _library("AUGRC", confidence, correct) * (rows - 1)
    assert _area("augrc", confidence, correct) == pytest.approx((trapezoids + generalised[0] / 2) / rows, abs=1e-6)


@every_case
def test_augrc_is_its_closed_form(case: Case) -> None:
    """AUGRC is (1 − AUROC)·acc·(1 − acc) + (1 − acc)²/2, with scikit-learn's AUROC, ties or not."""
    confidence, correct = case.scores.confidence, case.scores.correct
    right = correct.mean()
    expected = (1 - right) ** 2 / 2
    if 0 < right < 1:
        expected += (1 - roc_auc_score(correct, confidence)) * right * (1 - right)
    assert _area("augrc", confidence, correct) == pytest.approx(expected, abs=1e-12)


@every_case
def test_aurc_is_the_mean_of_the_curve(case: Case) -> None:
    """AURC is the mean risk, the last risk is 1 − accuracy, and the coverages are 1/N…1."""
    confidence, correct = case.scores.confidence, case.scores.correct
    curve = risk_coverage(confidence, correct)
    assert curve.coverage.tolist() == (np.arange(1, len(correct) + 1) / len(correct)).tolist()
    assert area(curve) == pytest.approx(_area("aurc", confidence, correct), abs=1e-12)
    assert curve.risk[-1] == pytest.approx(1 - correct.mean())


@every_case
def test_e_aurc_is_what_the_best_order_saves(case: Case) -> None:
    """E-AURC is AURC less that of the same rows with every wrong one last, and 0 for that order."""
    confidence, correct = case.scores.confidence, case.scores.correct
    best = _risks(np.sort(~correct)).mean()
    assert _area("e_aurc", confidence, correct) == pytest.approx(_area("aurc", confidence, correct) - best, abs=1e-12)
    assert _area("e_aurc", np.where(correct, 0.75, 0.25), correct) == pytest.approx(0, abs=1e-12)


@given(some_rows)
def test_ties_are_the_mean_over_all_orders(drawn: list[tuple[float, bool, int]]) -> None:
    """With ties the curve and the areas are the mean over every order in which equal rows can be accepted."""
    confidence, correct = np.array([row[0] for row in drawn]), np.array([row[1] for row in drawn])
    risks = np.mean([_risks(~correct[order]) for order in _orders(confidence)], axis=0)
    np.testing.assert_allclose(risk_coverage(confidence, correct).risk, risks, atol=1e-12)
    assert _area("aurc", confidence, correct) == pytest.approx(risks.mean(), abs=1e-12)
    wrong = np.concatenate(([0.0], risks * np.arange(1, len(drawn) + 1) / len(drawn)))
    assert _area("augrc", confidence, correct) == pytest.approx(np.trapezoid(wrong, dx=1 / len(drawn)), abs=1e-12)


@given(some_rows)
def test_group_curves_are_expected_wrong_over_expected_accepted(drawn: list[tuple[float, bool, int]]) -> None:
    """A group's error is its expected wrong over its expected accepted rows; groups without are left out."""
    confidence, correct, group = (np.array(column) for column in zip(*drawn, strict=True))
    orders = _orders(confidence)
    mean, worst = [], []
    for accepted in range(1, len(drawn) + 1):
        errors = []
        for number in range(3):
            chosen = [order[:accepted][group[order[:accepted]] == number] for order in orders]
            rows = sum(len(part) for part in chosen)
            if rows:
                errors.append(sum((~correct[part]).sum() for part in chosen) / rows)
        mean.append(np.mean(errors))
        worst.append(max(errors))
    for found, expected in zip(group_risk_coverage(confidence, correct, group, 3), (mean, worst), strict=True):
        np.testing.assert_allclose(found.risk, expected, atol=1e-12)


@every_case
def test_of_one_group_the_curves_are_the_plain_one(case: Case) -> None:
    """One group's balanced and worst-group errors are the selective risk; a group without rows changes nothing."""
    confidence, correct = case.scores.confidence, case.scores.correct
    group = np.ones(len(correct), dtype=np.int64)
    expected = risk_coverage(confidence, correct).risk
    for curve in group_risk_coverage(confidence, correct, group, 3):
        np.testing.assert_allclose(curve.risk, expected, atol=1e-12)


@pytest.mark.parametrize(("size", "kept"), [(1, 1), (2, 2), (200, 200), (201, 200), (10_000, 200)])
def test_thinned_keeps_the_ends(size: int, kept: int) -> None:
    """A thinned curve has at most 200 points of the curve, rising, with its first and last."""
    curve = Curve(np.arange(1, size + 1) / size, np.arange(size) / size)
    found = thinned(curve)
    assert len(found.coverage) == kept
    assert (found.coverage[0], found.coverage[-1]) == (1 / size, 1)
    assert (np.diff(found.coverage) > 0).all()
    np.testing.assert_allclose(found.coverage - found.risk, 1 / size)
