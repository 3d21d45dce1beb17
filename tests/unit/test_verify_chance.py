"""Agreement by chance, and the check of the accuracy against it."""

from __future__ import annotations

import json
import math
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE
from worker.verify.chance import CHANCE_ROWS, check_accuracy, permutation_chance

Ints = NDArray[np.int64]


def _ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def _sure(rows: int, confidence: float = 0.9) -> NDArray[np.float64]:
    return np.full(rows, confidence)


def _orders(predictions: Ints, labels: Ints) -> NDArray[np.float64]:
    """The accuracy under every order of the rows."""
    return np.array([np.mean(predictions[list(order)] == labels) for order in permutations(range(len(labels)))])


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        (_ints(0, 0, 1, 2, 2, 1, 0), _ints(0, 1, 1, 2, 0, 0, 0)),
        (_ints(3, 3, 3, 0, 1, 2), _ints(0, 0, 0, 3, 3, 1)),
        (_ints(0, 1), _ints(0, 1)),
        (_ints(0, 0, 0, 1), _ints(2, 2, 3, 3)),
        (_ints(1, 1, 1), _ints(0, 1, 1)),
        (_ints(0, 1, 2), _ints(1, 1, 1)),
        (_ints(1), _ints(1)),
    ],
)
def test_the_moments_are_those_over_all_orders(predictions: Ints, labels: Ints) -> None:
    """Mean and deviation are those of the accuracy over every permutation of the rows."""
    chance = permutation_chance(predictions, labels, 4)
    orders = _orders(predictions, labels)
    assert chance.rows == len(labels)
    assert chance.expected == pytest.approx(orders.mean())
    assert chance.deviation == pytest.approx(orders.std(), abs=1e-12)


def test_the_surprise_bounds_how_often_shuffled_rows_get_there() -> None:
    """In no case do more than 2·e^−s of all orders reach an accuracy of surprise s; up to the mean s is 0."""
    random = np.random.default_rng(1)
    bounds = []
    pairs = [random.integers(0, classes, (2, 7)) for classes in (2, 3, 7)]
    for predictions, labels in [np.tile(np.arange(7), (2, 1)), *pairs]:
        chance, orders = permutation_chance(predictions, labels, 7), _orders(predictions, labels)
        assert chance.surprise(chance.expected) == chance.surprise(0.0) == 0
        for accuracy in np.unique(orders):
            bounds.append(2 * math.exp(-chance.surprise(accuracy)))
            assert np.mean(orders >= accuracy) <= bounds[-1]
    assert min(bounds) < 0.25


def test_the_surprise_is_the_published_one() -> None:
    """100 matches of 1,000 where 10 are expected: t²/(4·E + 2·t) = 8100/220."""
    balanced = np.arange(1000) % 100
    assert permutation_chance(balanced, balanced, 100).surprise(0.1) == pytest.approx(8100 / 220)


def test_the_bound_is_the_larger_of_shuffled_and_uniform() -> None:
    """On a long tail the shuffled rows set it; where all orders are equal, uniform guesses alone do."""
    tail = np.repeat(np.arange(4), (700, 200, 90, 10))
    shuffled = permutation_chance(tail, tail, 4)
    assert shuffled.bound(4) == pytest.approx(shuffled.expected + 3 * shuffled.deviation)
    assert shuffled.bound(4) > 0.53 > 0.3

    uniform = 0.25 + 3 * math.sqrt(0.25 * 0.75 / 1000)
    one_prediction = permutation_chance(np.zeros(1000, dtype=np.int64), tail, 4)
    assert one_prediction.expected == pytest.approx(0.7)
    assert one_prediction.deviation == 0
    assert one_prediction.bound(4) == pytest.approx(uniform)
    assert permutation_chance(tail, np.zeros(1000, dtype=np.int64), 4).bound(4) == pytest.approx(uniform)


def test_large_counts_stay_exact() -> None:
    """With rows whose cubes pass 2^64 one prediction still gives a variance of exactly 0."""
    labels = np.repeat(_ints(0, 1), (3_000_000, 1))
    assert permutation_chance(np.zeros_like(labels), labels, 2).deviation == 0
    assert permutation_chance(labels, labels, 2).deviation > 0


def test_better_than_chance_passes() -> None:
    """An accuracy above the bound passes, with what it was held against and no evidence."""
    labels = np.arange(1000) % 10
    predictions = np.where(np.arange(1000) < 300, labels, (labels + 1) % 10)
    check = check_accuracy(predictions, labels, _sure(1000), 10)
    assert (check.id, check.level, check.verdict, check.evidence) == ("accuracy", "error", "passed", ())
    assert check.measured == {"accuracy": pytest.approx(0.3), "mean_confidence": pytest.approx(0.9)}
    assert check.expected["by_chance"] == pytest.approx(0.1)
    assert 0.1 < check.expected["above"] < 0.3


def test_a_sure_expert_at_chance_has_the_logits_of_other_samples() -> None:
    """A sure expert no better than shuffled rows: an error that says so, with the first wrong rows."""
    labels = np.repeat(np.arange(10), 20)
    check = check_accuracy(np.tile(np.arange(10), 20), labels, _sure(200), 10)
    assert (check.level, check.verdict) == ("error", "failed")
    assert check.message.startswith("The logits do not belong to these samples: ")
    assert "mean confidence 90.0%" in check.message
    assert "10.00%" in check.message
    assert len(check.evidence) == MAX_EVIDENCE
    assert check.evidence[0] == {"row": 1, "predicted": 1, "label": 0}
    json.dumps(check.to_dict(), allow_nan=False)


def test_an_unsure_expert_at_chance_may_be_untrained() -> None:
    """Where the confidence is low as well, the logits are not said to be of other samples for certain."""
    labels = np.repeat(np.arange(10), 20)
    check = check_accuracy(np.tile(np.arange(10), 20), labels, _sure(200, 0.25), 10)
    assert (check.level, check.verdict) == ("error", "failed")
    assert check.message.startswith("The accuracy of 10.00% is no better than chance")
    assert "untrained" in check.message


def test_guessing_the_common_class_is_no_better_than_chance() -> None:
    """80 % by naming the class that has 90 % of the rows is far above 1/C, but not above shuffled rows."""
    random = np.random.default_rng(2)
    labels, predictions = (random.choice(3, 2000, p=[0.9, 0.05, 0.05]) for _ in range(2))
    check = check_accuracy(predictions, labels, _sure(2000), 3)
    assert (check.verdict, check.level) == ("failed", "error")
    assert check.measured["accuracy"] > 0.78


def test_few_rows_only_warn() -> None:
    """Below CHANCE_ROWS bad luck is possible, so the same failure is a warning."""
    labels = np.arange(CHANCE_ROWS) % 20
    wrong = (labels + 1) % 20
    assert check_accuracy(wrong, labels, _sure(CHANCE_ROWS), 20).level == "error"
    few = check_accuracy(wrong[1:], labels[1:], _sure(CHANCE_ROWS - 1), 20)
    assert (few.verdict, few.level) == ("failed", "warning")


def test_an_honest_weak_expert_is_warned_of_not_failed() -> None:
    """62 % of two classes on 150 rows misses the bound by bad luck, half the time: that proves nothing."""
    random = np.random.default_rng(0)
    levels = []
    for _ in range(100):
        labels = random.integers(0, 2, 150)
        predictions = np.where(random.random(150) < 0.62, labels, 1 - labels)
        check = check_accuracy(predictions, labels, _sure(150), 2)
        levels += [check.level] if check.verdict == "failed" else []
        assert not check.message.startswith("The logits do not belong")
    assert len(levels) > 20
    assert set(levels) == {"warning"}


def test_a_few_of_many_classes_prove_nothing() -> None:
    """102 rows of 30 of 100 classes that the expert does not know: a warning; 1,000 rows of them are an error."""
    random = np.random.default_rng(1)
    for rows, level in ((102, "warning"), (1000, "error")):
        labels = 70 + np.arange(rows) % 30
        check = check_accuracy(random.integers(0, 100, rows), labels, _sure(rows), 100)
        assert (check.verdict, check.level) == ("failed", level)


def test_one_answer_for_all_is_chance_whatever_its_accuracy() -> None:
    """The commonest of 100 classes for every row: 4 times 1/C, and exactly what shuffled rows would have."""
    labels = np.concatenate([np.zeros(40, np.int64), np.arange(960) % 99 + 1])
    check = check_accuracy(np.zeros(1000, np.int64), labels, _sure(1000, 0.05), 100)
    assert check.measured["accuracy"] > 1 / 100 + 3 * (0.01 * 0.99 / 1000) ** 0.5
    assert (check.verdict, check.level) == ("failed", "error")
    assert "All predictions are class 0" in check.message
    assert check.expected["by_chance"] == check.measured["accuracy"]


def test_a_split_of_one_class_only_warns() -> None:
    """An expert may honestly know nothing of one class, and no order of the rows can be told from another."""
    predictions = np.where(np.arange(500) < 10, 9, 0)
    check = check_accuracy(predictions, np.full(500, 9), _sure(500), 10)
    assert (check.verdict, check.level) == ("failed", "warning")
    assert "do not belong" not in check.message
    assert check.expected["by_chance"] == 0.1


def test_one_prediction_for_all_is_not_blamed_on_the_samples() -> None:
    """Where every row is predicted the same, an order or a base cannot be the reason."""
    check = check_accuracy(np.zeros(500, dtype=np.int64), np.arange(500) % 10, _sure(500), 10)
    assert (check.verdict, check.level) == ("failed", "error")
    assert "do not belong" not in check.message


def test_rare_classes_alone_only_warn_when_the_rows_carry_something() -> None:
    """Logits that beat their shuffled rows belong to their samples, though uniform guesses would do better."""
    labels = 90 + np.arange(1000) % 10
    predictions = np.where(np.arange(1000) < 12, labels, np.arange(1000) % 80)
    check = check_accuracy(predictions, labels, _sure(1000), 100)
    assert (check.verdict, check.level) == ("failed", "warning")
    assert "hardly knows the classes" in check.message


@pytest.mark.parametrize(("rows", "classes", "why"), [(0, 3, "too few"), (3, 3, "too few"), (1000, 1, "one class")])
def test_what_perfect_predictions_could_not_pass_is_skipped(rows: int, classes: int, why: str) -> None:
    """Where nothing could pass, nothing is held against the logits."""
    labels = np.arange(rows) % classes
    check = check_accuracy(labels, labels, _sure(rows), classes)
    assert check.verdict == "skipped"
    assert why in check.message


def test_whether_to_skip_does_not_depend_on_the_predictions() -> None:
    """Two rows of two classes are too few, though these predictions could be told from a right one."""
    assert check_accuracy(_ints(5, 6), _ints(0, 1), _sure(2), 1000).verdict == "skipped"


def test_one_row_of_many_classes_is_judged() -> None:
    """One row that is right among 1,000 classes passes, a wrong one warns; neither divides by N − 1 = 0."""
    right, wrong = (check_accuracy(_ints(c), _ints(7), _sure(1), 1000) for c in (7, 8))
    assert (right.verdict, wrong.verdict, wrong.level) == ("passed", "failed", "warning")


def test_a_confidence_that_is_no_number_is_named() -> None:
    """NaN confidences do not raise, and the report stays JSON."""
    labels = np.arange(200) % 10
    check = check_accuracy((labels + 1) % 10, labels, np.full(200, np.nan), 10)
    assert check.measured["mean_confidence"] == "nan"
