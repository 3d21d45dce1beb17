"""Confidence scores, their areas and the intervals of areas, held against scipy, plain loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import entropy

from tests.unit.metric_inputs import Case, drawn, every_case
from worker.analyses.confidence_scores import OF_RAW_SCALE, SCORES, compare_scores, confidence_scores
from worker.analyses.group_areas import group_area_intervals
from worker.verify.metrics import bootstrap, selective


def _group(case: Case) -> np.ndarray:
    """0 for the lower half of the classes, 1 for the rest."""
    return (case.labels >= case.classes / 2).astype(np.int64)


@every_case
def test_scores_are_those_of_scipy(case: Case) -> None:
    """MSP, entropy, margin, max logit and energy are scipy's, for every shape and dtype of logits."""
    values = case.logits.astype(np.float64)
    shares = softmax(values, axis=1)
    ordered = np.sort(np.concatenate((np.zeros((len(shares), 1)), shares), axis=1), axis=1)
    found = confidence_scores(case.logits, "logits")
    assert tuple(found) == SCORES
    assert found["msp"] == pytest.approx(shares.max(axis=1))
    assert found["entropy"] == pytest.approx(-entropy(shares, axis=1), abs=1e-12)
    assert found["margin"] == pytest.approx(ordered[:, -1] - ordered[:, -2], abs=1e-12)
    assert found["max_logit"] == pytest.approx(values.max(axis=1))
    assert found["energy"] == pytest.approx(logsumexp(values, axis=1))


@pytest.mark.parametrize("kind", ["probabilities", "log-probabilities"])
def test_without_raw_logits_only_scores_of_probabilities_are_left(kind: str) -> None:
    """They are those of the logits that the probabilities came from; the others have a reason and no area."""
    case = drawn(1, 80, 6)
    shares = case.probabilities
    stored = shares if kind == "probabilities" else np.log(shares)
    found = confidence_scores(stored, kind)  # type: ignore[arg-type]  # parametrized
    whole = confidence_scores(case.logits, "logits")
    assert found.keys() == whole.keys() - set(OF_RAW_SCALE)
    for name, values in found.items():
        assert values == pytest.approx(whole[name], abs=1e-9)
    compared = compare_scores(found, case.scores.correct, _group(case))
    for item in compared.scores:
        missing = item.score in OF_RAW_SCALE
        assert (item.aurc is None) == (item.worst_group_aurc is None) == (item.reason is not None) == missing


def test_a_probability_of_zero_adds_nothing_to_the_entropy() -> None:
    """0·log 0 is 0, also where rounding left a small negative number; logits of any size give no warning."""
    found = confidence_scores(np.array([[1.0, 0.0], [0.5, 0.5], [1.0, -1e-9]]), "probabilities")
    assert found["entropy"] == pytest.approx([0.0, -np.log(2), 0.0], abs=1e-12)
    huge = confidence_scores(np.array([[1e308, -1e308], [0.0, 0.0]]), "logits")
    assert huge["entropy"] == pytest.approx([0.0, -np.log(2)])
    assert huge["energy"] == pytest.approx([1e308, np.log(2)])


@every_case
def test_areas_are_means_of_the_curves(case: Case) -> None:
    """Each score's areas are those of the risk-coverage curves where rows are sorted by it."""
    values, group = confidence_scores(case.logits, "logits"), _group(case)
    compared = compare_scores(values, case.scores.correct, group)
    for item in compared.scores:
        score = values[item.score]
        balanced, worst = selective.group_risk_coverage(score, case.scores.correct, group, 2)
        plain = selective.risk_coverage(score, case.scores.correct)
        expected = (plain.risk.mean(), balanced.risk.mean(), worst.risk.mean())
        assert (item.aurc, item.balanced_aurc, item.worst_group_aurc) == pytest.approx(expected)


def test_areas_of_five_rows_are_those_of_the_hand() -> None:
    """Accepted by MSP: head right, right, wrong, tail wrong, right; by energy the two wrong rows come early."""
    correct, group = np.array([True, False, True, True, False]), np.array([1, 1, 0, 0, 0])
    msp, energy = np.array([1.0, 2, 5, 4, 3]), np.array([4.0, 3, 2, 1, 5])
    found = compare_scores({"msp": msp, "energy": energy}, correct, group)
    areas = {item.score: (item.aurc, item.worst_group_aurc) for item in found.scores}
    assert areas["msp"] == pytest.approx(((0 + 0 + 1 / 3 + 2 / 4 + 2 / 5) / 5, (0 + 0 + 1 / 3 + 1 + 1 / 2) / 5))
    assert areas["energy"] == pytest.approx(
        ((1 + 1 / 2 + 2 / 3 + 2 / 4 + 2 / 5) / 5, (1 + 1 + 1 + 1 / 2 + 1 / 2) / 5)
    )
    assert (found.best_overall, found.best_worst_group, found.flips) == ("msp", "msp", [])
    assert found.message == "MSP has the smallest area overall and in the worst group; no order differs."


def test_flips_are_the_pairs_in_which_the_worst_group_reverses_the_order() -> None:
    """They are named with the score first that is better overall, and the message names such a pair."""
    flips = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        values = {name: random.random(12) for name in SCORES}
        found = compare_scores(values, random.random(12) < 0.6, np.arange(12) % 2)
        areas = {item.score: (item.aurc or 0.0, item.worst_group_aurc or 0.0) for item in found.scores}
        expected = {
            (first, second)
            for first in SCORES
            for second in SCORES
            if areas[first][0] < areas[second][0] - 1e-9 and areas[first][1] > areas[second][1] + 1e-9
        }
        assert set(found.flips) == expected
        assert (f"in {len(expected)} pair" in found.message) == bool(expected)
        assert found.best_worst_group == min(SCORES, key=lambda name: areas[name][1])
        flips += len(expected)
    assert flips > 20


def test_scores_of_one_order_do_not_flip() -> None:
    """With two classes MSP, entropy and margin sort alike: equal areas, of which the first is the best."""
    case = drawn(5, 150, 2)
    found = compare_scores(confidence_scores(case.logits, "logits"), case.scores.correct, _group(case))
    first, *others = (item for item in found.scores if item.score not in OF_RAW_SCALE)
    for item in others:
        assert (item.aurc, item.worst_group_aurc) == pytest.approx((first.aurc, first.worst_group_aurc))
    assert not {frozenset(pair) for pair in found.flips} & {
        frozenset(("msp", "margin")),
        frozenset(("msp", "entropy")),
    }


def test_of_equal_areas_the_one_that_is_best_in_both_is_named() -> None:
    """Both orders are as good overall; only the second is the best in the worst group."""
    correct, group = np.array([True, True, True, False, False, False]), np.arange(6) % 2
    values = {"msp": np.array([2.0, 3, 4, 5, 0, 1]), "margin": np.array([2.0, 3, 4, 1, 5, 0])}
    found = compare_scores(values, correct, group)
    areas = {score.score: score for score in found.scores}
    assert areas["msp"].aurc == pytest.approx(areas["margin"].aurc)
    assert (areas["msp"].worst_group_aurc or 0) > (areas["margin"].worst_group_aurc or 1)
    assert (found.best_overall, found.best_worst_group, found.flips) == ("margin", "margin", [])
    assert found.message.startswith("Margin has the smallest area overall and in the worst group")


def test_without_groups_there_are_overall_areas_alone() -> None:
    """Nothing is said of a worst group where nothing tells head from tail."""
    case = drawn(2, 50, 4)
    found = compare_scores(confidence_scores(case.logits, "logits"), case.scores.correct, None)
    assert found.best_worst_group is None
    assert found.flips == []
    assert all(item.aurc is not None and item.worst_group_aurc is None for item in found.scores)
    assert "without train counts" in found.message


@every_case
def test_intervals_of_areas_are_of_the_figures_own_definition(case: Case) -> None:
    """Each end is the quantile of the plain areas, one resample at a time on the draws of the other figures."""
    group = _group(case)
    found = group_area_intervals(case.scores, group, 2, resamples=6, level=0.8, seed=3)
    (draws,) = bootstrap.draw(case.scores.labels, case.scores.confidence, 6, 3)
    plain = []
    for rows in draws:
        curves = selective.group_risk_coverage(
            case.scores.confidence[rows], case.scores.correct[rows], group[rows], 2
        )
        plain.append([selective.area(curve) for curve in curves])
    for name, values in zip(("balanced_aurc", "worst_group_aurc"), np.transpose(plain), strict=True):
        assert found[name] == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])), abs=1e-9), name
