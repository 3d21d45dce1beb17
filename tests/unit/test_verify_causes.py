"""The search for the cause of an accuracy no better than chance."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.verify.causes import MAX_TRIED, Candidate, Causes, count_shifts, search

CLASSES = 10
ROWS = 600
Ints = NDArray[np.int64]


def _candidate(seed: int, base: str = "test", split: str = "val", rows: int = ROWS) -> Candidate:
    random = np.random.default_rng(seed)
    return Candidate(base, split, random.permutation(5 * rows)[:rows], random.integers(0, CLASSES, rows))


def _predict(labels: Ints, accuracy: float = 0.5, seed: int = 9) -> Ints:
    """Predictions that are the label on this share of the rows, and anything on the others."""
    random = np.random.default_rng(seed)
    return np.where(random.random(labels.size) < accuracy, labels, random.integers(0, CLASSES, labels.size))


OWN = _candidate(0)


def _found(causes: Causes) -> tuple[str, str, str] | None:
    return (causes.found.base, causes.found.split, causes.found.order) if causes.found else None


@pytest.mark.parametrize("classes", [1, 2, 7, 40])
@pytest.mark.parametrize("rows", [1, 2, 64, 97])
def test_shifts_are_counted_exactly(rows: int, classes: int) -> None:
    """The matches under every cyclic shift are those of shifting and comparing."""
    random = np.random.default_rng(rows + classes)
    share = 0.5 ** np.arange(classes)  # the common classes go through Fourier, the rare ones through their pairs
    predictions, labels = (random.choice(classes, rows, p=share / share.sum()) for _ in range(2))
    right = [int((predictions == np.roll(labels, -shift)).sum()) for shift in range(rows)]
    assert count_shifts(predictions, labels, classes).tolist() == right


@pytest.mark.parametrize(
    ("order", "rows", "said"),
    [
        ("reversed", np.arange(ROWS)[::-1], "in reversed order"),
        ("sorted by index", np.argsort(OWN.indices), "in ascending order of the index"),
        ("sorted by class", np.argsort(OWN.labels), "in ascending order of the class"),
        ("shifted by 3 rows", np.roll(np.arange(ROWS), -3), "row 0 of the logits is entry 3 of the list"),
        ("shifted by 599 rows", np.roll(np.arange(ROWS), 1), "row 0 of the logits is entry 599 of the list"),
    ],
)
def test_another_order_is_found(order: str, rows: Ints, said: str) -> None:
    """Rows in another order are found, and the message says in which."""
    causes = search(_predict(OWN.labels[rows]), CLASSES, OWN)
    assert _found(causes) == ("test", "val", order)
    assert causes.found is not None
    assert causes.found.accuracy == pytest.approx(0.55, abs=0.05)
    assert causes.found.by_chance == pytest.approx(0.1, abs=0.02)
    assert said in causes.message
    assert f"{causes.found.accuracy:.2%}" in causes.message


def test_another_base_is_found_at_the_same_indices() -> None:
    """Logits of another base's images are named as such."""
    train = replace(_candidate(1, base="train"), indices=OWN.indices)
    causes = search(_predict(train.labels), CLASSES, OWN, [train])
    assert _found(causes) == ("train", "val", "as listed")
    assert causes.message.startswith("Against the labels of base 'train' at the same indices the accuracy is 5")
    assert causes.message.endswith("the logits were computed on images of 'train'.")


def test_another_list_and_another_order_are_found_together() -> None:
    """The logits of another split, backwards: both are said."""
    causes = search(_predict(_candidate(2).labels[::-1]), CLASSES, OWN, [_candidate(2, split="tunev")])
    assert _found(causes) == ("test", "tunev", "reversed")
    assert "of the list 'tunev' of base 'test' in reversed order" in causes.message
    assert causes.message.endswith("the logits are those of 'tunev', and the rows are in that order.")


def test_another_list_of_another_base_is_named_with_both() -> None:
    """Where base and list both differ, the indices are not said to be the same."""
    other = _candidate(8, base="train", split="gating")
    causes = search(_predict(other.labels), CLASSES, OWN, [other])
    assert "of the list 'gating' of base 'train' the accuracy" in causes.message
    assert "same indices" not in causes.message


def test_two_classes_are_enough() -> None:
    """Where the only other naming of the classes is the opposite one, an order is found as well."""
    own = replace(OWN, labels=OWN.labels % 2)
    flips = np.random.default_rng(1).random(ROWS) < 0.3
    assert _found(search(np.where(flips, 1 - own.labels, own.labels)[::-1], 2, own)) == ("test", "val", "reversed")


def test_a_biased_expert_on_a_long_tail_is_found() -> None:
    """Matches that come from how often classes are predicted and labelled count for no other naming."""
    random = np.random.default_rng(2)
    labels = random.choice(5, ROWS, p=[0.6, 0.2, 0.1, 0.05, 0.05])
    own = replace(OWN, labels=labels)
    predictions = np.where(random.random(ROWS) < 0.35, labels, 1)
    assert _found(search(predictions[::-1], 5, own)) == ("test", "val", "reversed")


def test_nothing_is_found_in_logits_of_nothing() -> None:
    """Predictions that fit nothing name no cause, in none of 200 searches over some 1,200 shifts each."""
    others = [_candidate(3, base="train")]
    causes = [search(_predict(OWN.labels, 0.0, seed), CLASSES, OWN, others) for seed in range(200)]
    assert [cause for cause in causes if cause.found] == []
    assert causes[0].message == "No base and no order was found under which the predictions fit."
    assert (
        max(cause.tried[0].accuracy for cause in causes) > 0.15
    )  # the best shift of one search is past 3 deviations


def test_a_few_matches_of_rare_classes_are_no_cause() -> None:
    """With 1,000 classes and 50 rows a shift with three matches is luck, however many deviations it is."""
    random = np.random.default_rng(4)
    own = Candidate("test", "val", np.arange(50), random.integers(0, 1000, 50))
    predictions = np.roll(own.labels, 20)
    predictions[3:] = random.integers(0, 1000, 47)
    causes = search(predictions, 1000, own)
    assert causes.tried[0].order == "shifted by 30 rows"
    assert causes.tried[0].accuracy >= 0.06
    assert causes.found is None


def test_renamed_classes_in_a_sorted_list_are_no_shift() -> None:
    """In a list sorted by class some whole classes match under some shift whatever the predictions are of."""
    labels = np.repeat(np.arange(CLASSES), 60)
    own = Candidate("test", "val", np.arange(ROWS), labels)
    renamed = np.array([3, 4, 5, 1, 0, 2, 8, 9, 7, 6])
    causes = search(renamed[labels], CLASSES, own)
    assert causes.tried[0].order.startswith("shifted by ")
    assert causes.tried[0].accuracy >= 0.3
    assert causes.found is None


def test_a_shift_of_a_sorted_list_is_found() -> None:
    """Where all classes match under one shift, it is the cause."""
    labels = np.repeat(np.arange(CLASSES), 60)
    own = Candidate("test", "val", np.arange(ROWS), labels)
    causes = search(_predict(np.roll(labels, -180)), CLASSES, own)
    assert _found(causes) == ("test", "val", "shifted by 180 rows")


def test_the_best_fit_is_the_one_that_is_named() -> None:
    """Of several that fit, the one of the highest accuracy is found, and the trials stand in that order."""
    near = replace(OWN, split="near", labels=_predict(OWN.labels, 0.6, seed=5))
    causes = search(_predict(OWN.labels[::-1], 0.9), CLASSES, OWN, [near])
    assert sum(trial.fits for trial in causes.tried) == 2
    assert _found(causes) == ("test", "val", "reversed")
    accuracies = [trial.accuracy for trial in causes.tried]
    assert accuracies == sorted(accuracies, reverse=True)


def test_what_cannot_be_tried_is_said_with_its_reason() -> None:
    """Lists of another length and labels of other classes are left out; so is what the caller could not read."""
    longer, other = _candidate(6, split="longer", rows=ROWS + 1), replace(OWN, base="other", labels=OWN.labels + 5)
    causes = search(_predict(OWN.labels, 0.0), CLASSES, OWN, [longer, other], [("train", "its file is not there")])
    assert {trial.split for trial in causes.tried} == {"val"}
    assert [item["base"] for item in causes.untried] == ["train", "test", "other"]
    assert "; not tried: train (its file is not there), test (the list 'longer' has 601 entries" in causes.message
    assert "other (its labels are not among the classes 0 to 9)" in causes.message


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_rows_raise_nothing(rows: int) -> None:
    """With none, one or two rows nothing is found."""
    own = _candidate(7, rows=rows)
    causes = search(own.labels[::-1].copy(), CLASSES, own)
    assert causes.found is None


def test_labels_of_one_class_fit_nothing() -> None:
    """Where every order has the same accuracy, none explains it."""
    own = replace(OWN, labels=np.full(ROWS, 3))
    assert search(_predict(own.labels), CLASSES, own).found is None
    assert search(own.labels, CLASSES, OWN).found is None


def test_the_report_is_json_and_short() -> None:
    """However many candidates, MAX_TRIED trials are reported and all is JSON."""
    others = [_candidate(seed, split=f"list{seed}") for seed in range(10, 20)]
    report = search(_predict(OWN.labels[::-1]), CLASSES, OWN, others, [("train", "no file")]).to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert len(report["tried"]) == MAX_TRIED
    assert report["found"] == report["tried"][0]
    assert report["untried"] == [{"base": "train", "reason": "no file"}]
