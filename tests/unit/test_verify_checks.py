"""Every check, passing, failing and skipped, through the reports that jobs get."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.verify.checks import MAX_EVIDENCE, Check
from worker.verify.report import FIGURES, Truth, UnitReport, verify_job, verify_unit

Arrays = dict[str, NDArray[Any]]

ROWS, CLASSES = 60, 4
LABELS = np.random.default_rng(7).permutation(np.arange(ROWS) % CLASSES)  # 15 of each class, mixed
TRUTH = Truth(
    labels=LABELS,
    classes=CLASSES,
    train_counts=np.array([100, 21, 20, 5]),
    weights=np.array([0.4, 0.3, 0.2, 0.1]),
    counts_reason=None,
    weights_reason=None,
)
CHECK_IDS = [
    "arrays",
    "shapes",
    "dtypes",
    "finite",
    "predictions",
    "targets",
    "accuracy",
    "reweighted-accuracy",
    "head-tail-accuracy",
]


def _good(labels: NDArray[np.int64] = LABELS, classes: int = CLASSES) -> Arrays:
    """A right artifact whose expert knows every class but the last, which it takes for the first."""
    logits = np.random.default_rng(1).random((len(labels), classes), dtype=np.float32)
    believed = np.where(labels == classes - 1, 0, labels)
    logits[np.arange(len(labels)), believed] += 2
    return {"logits": logits, "targets": labels.copy(), "predictions": logits.argmax(axis=1)}


def _verify(arrays: Arrays, truth: Truth = TRUTH) -> tuple[UnitReport, dict[str, Check]]:
    report = verify_unit(arrays, truth)
    # What every report owes: all checks in order, strict JSON, the verdict's rule, a reason for each None.
    assert [check.id for check in report.checks] == CHECK_IDS
    json.dumps(report.to_dict(), allow_nan=False)
    failed = any(check.level == "error" and check.verdict == "failed" for check in report.checks)
    assert report.verdict == ("failed" if failed else "passed")
    assert all(check.message.endswith(".") for check in report.checks)
    assert all(len(check.evidence) <= MAX_EVIDENCE for check in report.checks)
    assert report.metrics.keys() == {"samples", "classes", "reasons", *FIGURES}
    assert set(report.metrics["reasons"]) == {name for name in FIGURES if report.metrics[name] is None}
    return report, {check.id: check for check in report.checks}


def _verdicts(checks: dict[str, Check], verdict: str) -> set[str]:
    return {check.id for check in checks.values() if check.verdict == verdict}


def test_a_right_artifact_passes_every_check() -> None:
    """A right artifact passes with all its figures."""
    report, checks = _verify(_good())
    assert report.verdict == "passed"
    assert _verdicts(checks, "passed") == set(CHECK_IDS)
    assert report.metrics == {
        "samples": 60,
        "classes": 4,
        "accuracy": pytest.approx(0.75),
        "balanced_accuracy": pytest.approx(0.75),
        "reweighted_accuracy": pytest.approx(0.9),
        "head_accuracy": pytest.approx(1.0),
        "tail_accuracy": pytest.approx(0.5),
        "reasons": {},
    }


@pytest.mark.parametrize("name", ["logits", "targets", "predictions"])
def test_a_missing_array_fails_and_skips_the_rest(name: str) -> None:
    """Without one of the three arrays nothing else can be said."""
    arrays = _good()
    del arrays[name]
    report, checks = _verify(arrays)
    assert _verdicts(checks, "failed") == {"arrays"}
    assert name in checks["arrays"].message
    assert _verdicts(checks, "skipped") == set(CHECK_IDS) - {"arrays"}
    assert "'arrays'" in checks["accuracy"].message
    assert report.metrics["accuracy"] is None


def test_an_extra_array_fails_but_the_rest_is_verified() -> None:
    """A fourth array is not an artifact's, but does not hide the others' state."""
    report, checks = _verify({**_good(), "notes": np.zeros(3)})
    assert _verdicts(checks, "failed") == {"arrays"}
    assert "notes" in checks["arrays"].message
    assert report.metrics["accuracy"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("logits", np.zeros((ROWS - 1, CLASSES), np.float32)),
        ("logits", np.zeros((ROWS, CLASSES + 1), np.float32)),
        ("logits", np.zeros(ROWS, np.float32)),
        ("logits", np.zeros((ROWS, CLASSES, 1), np.float32)),
        ("targets", np.zeros((ROWS, 1), np.int64)),
        ("targets", np.int64(3)),
        ("predictions", np.zeros(ROWS + 1, np.int64)),
        ("predictions", np.zeros((), np.int64)),
    ],
)
def test_a_wrong_shape_fails(name: str, array: NDArray[Any]) -> None:
    """Too few rows, too many classes or another rank fail, and name the array with both shapes."""
    _, checks = _verify({**_good(), name: array})
    assert _verdicts(checks, "failed") == {"shapes"}
    assert f"{name} has shape {list(array.shape)}" in checks["shapes"].message
    assert str(checks["shapes"].expected[name]) in checks["shapes"].message
    assert _verdicts(checks, "passed") == {"arrays", "dtypes"}
    assert "'shapes'" in checks["predictions"].message


def test_a_split_without_samples_fails() -> None:
    """Nothing cannot be verified: an empty split does not pass."""
    empty = replace(TRUTH, labels=np.zeros(0, np.int64))
    _, checks = _verify(_good(empty.labels), empty)
    assert _verdicts(checks, "failed") == {"shapes"}
    assert "no samples" in checks["shapes"].message


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("logits", "float64"),
        ("logits", "float16"),
        ("logits", ">f4"),
        ("targets", "int32"),
        ("predictions", "uint64"),
    ],
)
def test_a_wrong_number_type_fails_but_the_values_are_verified(name: str, dtype: str) -> None:
    """Numbers of another width fail `dtypes` alone: their values are still looked at."""
    arrays = _good()
    arrays[name] = arrays[name].astype(dtype)
    arrays["predictions"] = arrays["logits"].argmax(axis=1).astype(arrays["predictions"].dtype)
    report, checks = _verify(arrays)
    assert _verdicts(checks, "failed") == {"dtypes"}
    assert name in checks["dtypes"].message
    assert dtype in checks["dtypes"].message
    assert _verdicts(checks, "skipped") == set()
    assert report.metrics["accuracy"] == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["logits", "targets", "predictions"])
@pytest.mark.parametrize("dtype", ["object", "str", "complex128", "bool", "datetime64[s]"])
def test_arrays_that_hold_no_fit_numbers_fail_and_skip_the_rest(name: str, dtype: str) -> None:
    """Objects, text, dates and the like fail `dtypes` and never raise."""
    arrays = _good()
    arrays[name] = np.zeros(arrays[name].shape, "int64").astype(dtype)
    _, checks = _verify(arrays)
    assert _verdicts(checks, "failed") == {"dtypes"}
    assert _verdicts(checks, "skipped") == set(CHECK_IDS) - {"arrays", "shapes", "dtypes"}


def test_float_targets_are_not_compared() -> None:
    """Targets that are no integers are not taken for labels."""
    arrays = _good()
    arrays["targets"] = arrays["targets"].astype(np.float32)
    _, checks = _verify(arrays)
    assert checks["targets"].verdict == "skipped"


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_row_that_is_not_finite_fails(value: float, shown: str) -> None:
    """NaN and infinities fail, with row, class and value; the argmax of such rows is not asked for."""
    arrays = _good()
    arrays["logits"][[5, 41], 2] = value
    report, checks = _verify(arrays)
    assert _verdicts(checks, "failed") == {"finite"}
    assert checks["finite"].measured == {"rows": 2}
    assert checks["finite"].evidence == tuple({"row": row, "class": 2, "value": shown} for row in (5, 41))
    assert checks["predictions"].verdict == "skipped"
    assert checks["targets"].verdict == "passed"
    assert "'finite'" in report.metrics["reasons"]["accuracy"]


def test_evidence_is_the_first_ten_rows() -> None:
    """However many rows offend, the first ten are shown and all are counted."""
    arrays = _good()
    arrays["logits"][3:] = np.nan
    _, checks = _verify(arrays)
    assert [item["row"] for item in checks["finite"].evidence] == list(range(3, 13))
    assert checks["finite"].measured == {"rows": ROWS - 3}


def test_a_prediction_that_is_not_the_argmax_fails() -> None:
    """One wrong prediction fails, with its row and both classes, and no figure is given."""
    arrays = _good()
    right = int(arrays["predictions"][17])
    arrays["predictions"][17] = wrong = (right + 1) % CLASSES
    report, checks = _verify(arrays)
    assert _verdicts(checks, "failed") == {"predictions"}
    assert checks["predictions"].evidence == ({"row": 17, "found": wrong, "expected": right, "tied": False},)
    assert report.metrics["accuracy"] is None


def test_a_tie_goes_to_the_first_class_and_is_counted() -> None:
    """Of equal largest logits the first class is right, the second is not, and ties are counted."""
    arrays = _good()
    arrays["logits"][9] = [0, 5, 5, 1]
    arrays["predictions"][9] = 1
    _, checks = _verify(arrays)
    assert checks["predictions"].verdict == "passed"
    assert checks["predictions"].measured == {"differing_rows": 0, "tied_rows": 1}
    arrays["predictions"][9] = 2
    _, checks = _verify(arrays)
    assert checks["predictions"].evidence == ({"row": 9, "found": 2, "expected": 1, "tied": True},)


def test_permuted_rows_are_seen_in_the_targets() -> None:
    """Rows in another order are consistent in themselves, and fail against the labels."""
    order = np.roll(np.arange(ROWS), 1)
    arrays = {name: array[order] for name, array in _good().items()}
    report, checks = _verify(arrays)
    differing = np.flatnonzero(LABELS[order] != LABELS)
    first = int(differing[0])
    assert _verdicts(checks, "failed") == {"targets"}
    assert checks["targets"].measured == {"differing_rows": len(differing), "labels_out_of_range": 0}
    found, expected = int(LABELS[order][first]), int(LABELS[first])
    assert checks["targets"].evidence[0] == {"row": first, "found": found, "expected": expected}
    assert report.metrics["reasons"].keys() == set(FIGURES)


@pytest.mark.parametrize("label", [CLASSES, -1])
def test_labels_that_are_no_class_fail(label: int) -> None:
    """A class count that does not fit the labels fails, even where the targets repeat the labels."""
    labels = LABELS.copy()
    labels[2] = label
    arrays = {**_good(), "targets": labels}
    _, checks = _verify(arrays, replace(TRUTH, labels=labels))
    assert _verdicts(checks, "failed") == {"targets"}
    assert "class count" in checks["targets"].message
    assert checks["targets"].evidence == ({"row": 2, "found": label, "expected": label},)


def test_accuracy_at_chance_is_a_warning() -> None:
    """An expert that always says one class warns, says what it may mean, and does not fail the artifact."""
    arrays = _good()
    arrays["logits"][:] = [1, 0, 0, 0]
    arrays["predictions"][:] = 0
    report, checks = _verify(arrays)
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
    _, checks = _verify(arrays)
    assert checks["accuracy"].verdict == verdict
    assert checks["accuracy"].expected["above"] == pytest.approx(25.0623 / 60, abs=1e-5)


@pytest.mark.parametrize(("labels", "classes"), [(np.zeros(60, np.int64), 1), (np.array([1]), 4)])
def test_chance_is_not_judged_where_it_cannot_be(labels: NDArray[np.int64], classes: int) -> None:
    """One class, or one row, cannot be told from guessing: skipped, with the accuracy still given."""
    truth = Truth(labels, classes, None, None, "No counts.", "No weights.")
    report, checks = _verify(_good(labels, classes), truth)
    assert checks["accuracy"].verdict == "skipped"
    assert report.metrics["accuracy"] == 1.0
    assert report.verdict == "passed"


def test_without_counts_and_weights_their_figures_are_null_with_the_reason() -> None:
    """What is not to be had is skipped with its reason, and fails nothing."""
    truth = Truth(LABELS, CLASSES, None, None, "There are no train labels.", "There is no weights file.")
    report, checks = _verify(_good(), truth)
    assert report.verdict == "passed"
    assert _verdicts(checks, "skipped") == {"reweighted-accuracy", "head-tail-accuracy"}
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
    report, checks = _verify(_good(), replace(TRUTH, weights=np.array(weights)))
    assert _verdicts(checks, "failed") == {"reweighted-accuracy"}
    assert report.verdict == "passed"  # a figure is lost, not the logits
    assert said in checks["reweighted-accuracy"].message
    assert report.metrics["reweighted_accuracy"] is None
    assert report.metrics["head_accuracy"] is not None


def test_weights_evidence_names_the_class() -> None:
    """A bad weight is shown with its class, also where JSON has no number for it."""
    _, checks = _verify(_good(), replace(TRUTH, weights=np.array([1, np.nan, 1, -2])))
    assert checks["reweighted-accuracy"].evidence == ({"class": 1, "weight": "nan"}, {"class": 3, "weight": -2.0})


def test_present_classes_without_weight_have_no_reweighted_accuracy() -> None:
    """Weights that are right, but 0 for every class of the split, give null with the reason."""
    labels = np.zeros(ROWS, np.int64)
    truth = replace(TRUTH, labels=labels, weights=np.array([0.0, 0.0, 0.0, 1.0]))
    report, checks = _verify(_good(labels), truth)
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
    report, checks = _verify(_good(), replace(TRUTH, train_counts=counts))
    assert _verdicts(checks, "failed") == {"head-tail-accuracy"}
    assert report.verdict == "passed"
    assert said in checks["head-tail-accuracy"].message
    assert said in report.metrics["reasons"]["tail_accuracy"]
    assert report.metrics["reweighted_accuracy"] is not None


def test_a_group_without_rows_is_null_with_the_reason() -> None:
    """When no class is tail, the tail has no accuracy, and that is no failure."""
    report, checks = _verify(_good(), replace(TRUTH, train_counts=np.array([500, 400, 300, 200])))
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


def test_equal_targets_between_experts_pass() -> None:
    """Experts with the same targets pass, split by split."""
    units = {("a", "val"): "11", ("b", "val"): "11", ("a", "test"): "22", ("b", "test"): "22"}
    checks = verify_job(units)
    assert [(check.verdict, check.measured["split"]) for check in checks] == [("passed", "val"), ("passed", "test")]


def test_different_targets_between_experts_fail_with_who_has_which() -> None:
    """One expert with other targets fails that split alone, and the evidence groups the experts."""
    units = {("a", "val"): "11", ("b", "val"): "99", ("c", "val"): "11", ("a", "test"): "2", ("b", "test"): "2"}
    val, test = verify_job(units)
    assert (val.id, val.level, val.verdict) == ("targets-between-experts", "error", "failed")
    assert val.evidence == ({"sha256": "11", "experts": ["a", "c"]}, {"sha256": "99", "experts": ["b"]})
    assert val.measured == {"split": "val", "experts": 3, "distinct_targets": 2}
    assert test.verdict == "passed"
    json.dumps([val.to_dict(), test.to_dict()], allow_nan=False)


def test_evidence_of_many_different_targets_is_bounded() -> None:
    """However many experts differ, ten groups are shown and all are counted."""
    (check,) = verify_job({(f"expert{n}", "val"): str(n) for n in range(30)})
    assert len(check.evidence) == MAX_EVIDENCE
    assert check.measured["distinct_targets"] == 30


def test_one_expert_has_nothing_to_be_compared_with() -> None:
    """A split of one expert is skipped, with the reason; no units give no checks."""
    (check,) = verify_job({("a", "val"): "11"})
    assert check.verdict == "skipped"
    assert "'val'" in check.message
    assert verify_job({}) == ()
