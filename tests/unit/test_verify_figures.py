"""The accuracy against chance, the figures and their reasons, and what they are made with, through whole reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.standards import AccuracyName, Standards
from tests.unit.verified import CLASSES, COUNTS, LABELS, ROWS, TRUTH, good, truth_of, verdicts, verify


@pytest.mark.parametrize(("rows", "level"), [(200, "warning"), (400, "error")])
def test_accuracy_at_chance_is_an_error_where_it_cannot_be_bad_luck(rows: int, level: str) -> None:
    """One class for every row fails where that cannot be bad luck, and the sentence says what it means."""
    labels = np.arange(rows) % CLASSES
    arrays = good(labels)
    arrays["logits"] = np.tile(np.array([1, 0, 0, 0], np.float32), (rows, 1))
    arrays["predictions"][:] = 0
    report, checks = verify(arrays, truth_of(labels))
    assert verdicts(checks, "failed") == {"accuracy", "constant"}
    assert (checks["accuracy"].level, report.verdict) == (level, {"warning": "passed", "error": "failed"}[level])
    assert "All predictions are class 0" in checks["accuracy"].message
    assert report.metrics.values["accuracy"] == checks["accuracy"].measured["accuracy"] == 0.25


def test_logits_of_other_samples_fail_with_the_cause() -> None:
    """A sure expert at chance: the error says that the logits do not belong to these samples."""
    labels = np.random.default_rng(3).permutation(np.arange(400) % 10)
    arrays = good(np.random.default_rng(4).permutation(labels), 10)
    arrays["targets"] = labels
    arrays["logits"] *= 9
    report, checks = verify(arrays, truth_of(labels, 10))
    assert report.verdict == "failed"
    assert "do not belong to these samples" in checks["accuracy"].message


@pytest.mark.parametrize(("hits", "verdict"), [(25, "failed"), (26, "passed")])
def test_the_bound_is_three_deviations(hits: int, verdict: str) -> None:
    """Of 60 rows and 4 classes, 15 + 3·sqrt(60·0.25·0.75) = 25.06 hits are the bound of uniform guesses.

    Shuffled rows of equally common classes deviate by a factor sqrt(60/59) more: 25.15.
    """
    order = np.argsort(LABELS, kind="stable").reshape(CLASSES, -1).T.ravel()  # the classes in turn
    predictions = (LABELS + 1) % CLASSES
    predictions[order[:hits]] = LABELS[order[:hits]]
    arrays = {"logits": np.eye(CLASSES, dtype=np.float32)[predictions], "targets": LABELS, "predictions": predictions}
    _, checks = verify(arrays)
    assert checks["accuracy"].verdict == verdict
    assert 25.06 <= checks["accuracy"].expected["above"] * ROWS <= 25.2


@pytest.mark.parametrize(("labels", "classes"), [(np.zeros(60, np.int64), 1), (np.array([1]), 4)])
def test_chance_is_not_judged_where_it_cannot_be(labels: NDArray[np.int64], classes: int) -> None:
    """One class, or one row, cannot be told from guessing: skipped, with the accuracy still given."""
    report, checks = verify(good(labels, classes), truth_of(labels, classes))
    assert checks["accuracy"].verdict == "skipped"
    assert report.metrics.values["accuracy"] == 1.0
    assert report.verdict == "passed"


GROUPED = ("head", "tail", "many", "medium", "few", "worst_group")


def test_without_counts_and_weights_their_figures_are_null_with_the_reason() -> None:
    """What is not to be had is skipped with its reason, and fails nothing."""
    report, checks = verify(good(), truth_of(LABELS))
    assert report.verdict == "passed"
    assert verdicts(checks, "skipped") == {"train-counts", "class-weights"}
    reasons = dict(report.metrics.reasons)
    assert reasons.pop("top5_accuracy")
    assert reasons == {
        "reweighted_accuracy": "There is no weights file.",
        **{f"{name}_accuracy": "There are no train labels." for name in GROUPED},
    }


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([0.5, 0.5], "shape [2]"),
        ([[0.25] * 4], "shape [1, 4]"),
        (["a", "b", "c", "d"], "dtype <U1"),
        ([0.5, np.nan, 0.5, 0.5], "1 are negative or not finite"),
        ([0.5, np.inf, 0.5, -0.5], "2 are negative or not finite"),
        ([0.0, 0.0, 0.0, 0.0], "their sum is 0"),
    ],
)
def test_unusable_weights_cost_their_figure(weights: list[Any], said: str) -> None:
    """Weights must be C finite numbers, none negative, of positive sum; else there is a warning and no figure."""
    report, checks = verify(good(), replace(TRUTH, weights=np.array(weights)))
    assert verdicts(checks, "failed") == {"class-weights"}
    assert report.verdict == "passed"  # a figure is lost, not the logits
    assert said in checks["class-weights"].message
    assert report.metrics.values["reweighted_accuracy"] is None
    assert "'class-weights'" in report.metrics.reasons["reweighted_accuracy"]
    assert report.metrics.values["head_accuracy"] is not None


def test_weights_of_another_sum_warn_and_keep_their_figure() -> None:
    """Only the weights' ratios count for the figure: the scripts' weights of another sum give the same."""
    report, checks = verify(good(), replace(TRUTH, weights=COUNTS / 7))
    assert verdicts(checks, "failed") == {"class-weights"}
    assert report.metrics.values["reweighted_accuracy"] == pytest.approx(142 / 147)


def test_weights_evidence_names_the_class() -> None:
    """A bad weight is shown with its class, also where JSON has no number for it."""
    truth = replace(TRUTH, train_counts=None, counts_reason="None.", weights=np.array([1, np.nan, 1, -2]))
    _, checks = verify(good(), truth)
    shown = [(item["class"], item["weight"]) for item in checks["class-weights"].evidence]
    assert shown == [(1, "nan"), (3, -2.0)]


def test_present_classes_without_weight_have_no_reweighted_accuracy() -> None:
    """Weights that are right, but 0 for every class of the split, give null with the reason."""
    labels = np.zeros(ROWS, np.int64)
    counts = np.array([0, 0, 0, 7])
    report, checks = verify(good(labels), replace(TRUTH, labels=labels, train_counts=counts, weights=counts / 7))
    assert checks["class-weights"].verdict == "passed"
    assert "weight 0" in report.metrics.reasons["reweighted_accuracy"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (np.array([1, 2, 3]), "shape [3]"),
        (np.array([1.0, 2.0, 3.0, 4.0]), "float64"),
        (np.array([30, -1, 4, 4]), "1 of the train counts are negative"),
    ],
)
def test_unusable_counts_cost_the_groups(counts: NDArray[Any], said: str) -> None:
    """Train counts must be C whole numbers, none negative; else there is a warning and no group of classes."""
    report, checks = verify(good(), replace(TRUTH, train_counts=counts))
    assert verdicts(checks, "failed") == {"train-counts"}  # the weights are not held against such counts
    assert report.verdict == "passed"
    assert said in checks["train-counts"].message
    assert "'train-counts'" in report.metrics.reasons["tail_accuracy"]
    assert report.metrics.values["reweighted_accuracy"] is not None


def test_a_group_without_rows_is_null_with_the_reason() -> None:
    """When no class is tail, the tail has no accuracy, and that is no failure."""
    counts = np.array([500, 400, 300, 200])
    report, checks = verify(good(), replace(TRUTH, train_counts=counts, weights=counts / counts.sum()))
    assert verdicts(checks, "failed") == set()
    assert (
        report.metrics.values["head_accuracy"] == report.metrics.values["worst_group_accuracy"] == pytest.approx(0.75)
    )
    assert report.metrics.reasons["tail_accuracy"] == "The split has no row of a tail class."


@pytest.mark.parametrize(("threshold", "head", "tail"), [(0, 0.75, None), (19, 1.0, 0.0), (20, 1.0, 0.5)])
def test_the_head_threshold_can_be_set(threshold: int, head: float, tail: float | None) -> None:
    """A class with more train samples than the threshold is head: 20 samples are tail at 20, and head at 19."""
    report, _ = verify(good(), replace(TRUTH, standards=Standards(head_threshold=threshold)))
    assert report.metrics.values["head_accuracy"] == pytest.approx(head)
    assert report.metrics.values["tail_accuracy"] == tail


@pytest.mark.parametrize(
    ("floors", "verdict", "said"),
    [
        ({"accuracy": 0.75}, "passed", "The accuracy of 75.00% is at least its floor of 75.00%."),
        ({"tail_accuracy": 0.51}, "failed", "The tail accuracy of 50.00% is below its floor of 51.00%."),
        ({"top5_accuracy": 0.5}, "skipped", "no top5 accuracy to compare with its floor. With 4 classes"),
    ],
)
def test_a_floor_warns_by_the_name_of_its_accuracy(
    floors: Mapping[AccuracyName, float], verdict: str, said: str
) -> None:
    """An accuracy below its floor is a warning that names it; one that there is not is skipped with the reason."""
    report, checks = verify(good(), replace(TRUTH, standards=Standards(floors=floors)))
    assert (checks["floor"].verdict, checks["floor"].level) == (verdict, "warning")
    assert said in checks["floor"].message
    assert report.verdict == "passed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": LABELS.astype(np.int32)}, "labels"),
        ({"labels": LABELS[None]}, "labels"),
        ({"classes": 0}, "classes"),
        ({"train_counts": None}, "counts_reason"),
        ({"weights": None}, "weights_reason"),
        ({"counts_reason": "None to be had."}, "counts_reason"),
        ({"weights_reason": "None to be had."}, "weights_reason"),
    ],
)
def test_a_truth_that_contradicts_itself_cannot_be_made(change: dict[str, Any], said: str) -> None:
    """A truth has int64 labels [N], a class, and either the counts and weights or the reason why not."""
    with pytest.raises(ValueError, match=said):
        replace(TRUTH, **change)
