"""Checks of the figures and between experts, through the reports that jobs get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.verified import CLASSES, LABELS, ROWS, TRUTH, good, verdicts, verify
from worker.verify.report import Truth


def test_accuracy_at_chance_is_a_warning() -> None:
    """An expert that always says one class warns, says what it may mean, and does not fail the artifact."""
    arrays = good()
    arrays["logits"][:] = [1, 0, 0, 0]
    arrays["predictions"][:] = 0
    report, checks = verify(arrays)
    assert report.verdict == "passed"
    assert (checks["accuracy"].verdict, checks["accuracy"].level) == ("failed", "warning")
    assert checks["accuracy"].measured == 0.25
    assert "other samples" in checks["accuracy"].message
    assert report.metrics["accuracy"] == 0.25


@pytest.mark.parametrize(("hits", "verdict"), [(25, "failed"), (26, "passed")])
def test_the_bound_is_three_binomial_deviations(hits: int, verdict: str) -> None:
    """Of 60 rows and 4 classes, 15 + 3·sqrt(60·0.25·0.75) = 25.06 hits are the bound."""
    predictions = np.where(np.arange(ROWS) < hits, LABELS, (LABELS + 1) % CLASSES)
    arrays = {"logits": np.eye(CLASSES, dtype=np.float32)[predictions], "targets": LABELS, "predictions": predictions}
    _, checks = verify(arrays)
    assert checks["accuracy"].verdict == verdict
    assert checks["accuracy"].expected["above"] == pytest.approx(25.0623 / 60, abs=1e-5)


@pytest.mark.parametrize(("labels", "classes"), [(np.zeros(60, np.int64), 1), (np.array([1]), 4)])
def test_chance_is_not_judged_where_it_cannot_be(labels: NDArray[np.int64], classes: int) -> None:
    """One class, or one row, cannot be told from guessing: skipped, with the accuracy still given."""
    truth = Truth(labels, classes, None, None, "No counts.", "No weights.")
    report, checks = verify(good(labels, classes), truth)
    assert checks["accuracy"].verdict == "skipped"
    assert report.metrics["accuracy"] == 1.0
    assert report.verdict == "passed"


def test_without_counts_and_weights_their_figures_are_null_with_the_reason() -> None:
    """What is not to be had is skipped with its reason, and fails nothing."""
    truth = Truth(LABELS, CLASSES, None, None, "There are no train labels.", "There is no weights file.")
    report, checks = verify(good(), truth)
    assert report.verdict == "passed"
    assert verdicts(checks, "skipped") == {"reweighted-accuracy", "head-tail-accuracy"}
    assert report.metrics["reasons"] == {
        "reweighted_accuracy": "There is no weights file.",
        "head_accuracy": "There are no train labels.",
        "tail_accuracy": "There are no train labels.",
    }


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([0.5, 0.5], "shape [2]"),
        ([[0.25] * 4], "shape [1, 4]"),
        (["a", "b", "c", "d"], "dtype <U1"),
        ([0.5, np.nan, 0.5, 0.5], "1 not finite or negative"),
        ([0.5, np.inf, 0.5, -0.5], "2 not finite or negative"),
        ([0.0, 0.0, 0.0, 0.0], "all zero"),
    ],
)
def test_unusable_weights_fail(weights: list[Any], said: str) -> None:
    """Weights must be C finite numbers, none negative, of positive sum; else the artifact fails."""
    report, checks = verify(good(), replace(TRUTH, weights=np.array(weights)))
    assert verdicts(checks, "failed") == {"reweighted-accuracy"}
    assert report.verdict == "passed"  # a figure is lost, not the logits
    assert said in checks["reweighted-accuracy"].message
    assert report.metrics["reweighted_accuracy"] is None
    assert report.metrics["head_accuracy"] is not None


def test_weights_evidence_names_the_class() -> None:
    """A bad weight is shown with its class, also where JSON has no number for it."""
    _, checks = verify(good(), replace(TRUTH, weights=np.array([1, np.nan, 1, -2])))
    assert checks["reweighted-accuracy"].evidence == ({"class": 1, "weight": "nan"}, {"class": 3, "weight": -2.0})


def test_present_classes_without_weight_have_no_reweighted_accuracy() -> None:
    """Weights that are right, but 0 for every class of the split, give null with the reason."""
    labels = np.zeros(ROWS, np.int64)
    truth = replace(TRUTH, labels=labels, weights=np.array([0.0, 0.0, 0.0, 1.0]))
    report, checks = verify(good(labels), truth)
    assert checks["reweighted-accuracy"].verdict == "skipped"
    assert "weight 0" in report.metrics["reasons"]["reweighted_accuracy"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (np.array([1, 2, 3]), "shape [3]"),
        (np.array([1.0, 2.0, 3.0, 4.0]), "float64"),
        (np.array([30, -1, 4, 4]), "1 negative"),
    ],
)
def test_unusable_counts_fail(counts: NDArray[Any], said: str) -> None:
    """Train counts must be C whole numbers, none negative; else the artifact fails."""
    report, checks = verify(good(), replace(TRUTH, train_counts=counts))
    assert verdicts(checks, "failed") == {"head-tail-accuracy"}
    assert report.verdict == "passed"
    assert said in checks["head-tail-accuracy"].message
    assert said in report.metrics["reasons"]["tail_accuracy"]
    assert report.metrics["reweighted_accuracy"] is not None


def test_a_group_without_rows_is_null_with_the_reason() -> None:
    """When no class is tail, the tail has no accuracy, and that is no failure."""
    report, checks = verify(good(), replace(TRUTH, train_counts=np.array([500, 400, 300, 200])))
    assert checks["head-tail-accuracy"].verdict == "passed"
    assert checks["head-tail-accuracy"].measured == {"head_accuracy": pytest.approx(0.75), "tail_accuracy": None}
    assert report.metrics["reasons"] == {"tail_accuracy": "The split has no row of a tail class."}


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
