"""Checks of the arrays themselves, passing, failing and skipped, through the reports that jobs get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.checks import error_check
from tests.unit.verified import CHECK_IDS, CLASSES, LABELS, ROWS, TRUTH, good, truth_of, verdicts, verify
from worker.verify.file_schema import BARE
from worker.verify.report import verify_unit
from worker.verify.summary_metrics import FIGURES

OF_ROWS = {"finite", "predictions", "targets", "raw-logits", "accuracy", "constant"}
"""Checks that need to know which sample each row is of."""
BY_HAND = {
    "samples": 60,
    "classes": 4,
    "accuracy": pytest.approx(0.75),
    "balanced_accuracy": pytest.approx(0.75),
    "legacy_balanced_accuracy": pytest.approx(1.0),
    "reweighted_accuracy": pytest.approx(142 / 147),
    "head_accuracy": pytest.approx(1.0),
    "tail_accuracy": pytest.approx(0.5),
    "many_accuracy": pytest.approx(1.0),
    "medium_accuracy": pytest.approx(1.0),
    "few_accuracy": pytest.approx(0.0),
    "worst_group_accuracy": pytest.approx(0.5),
    "class_recalls": [1.0, 1.0, 1.0, 0.0],
}
"""Of `good()`: every class but the last is known, and the train counts are 101, 21, 20 and 5."""


def test_a_right_artifact_passes_every_check() -> None:
    """A right artifact passes with all its figures."""
    report, checks = verify(good())
    assert report.verdict == "passed"
    assert verdicts(checks, "passed") == set(CHECK_IDS)
    assert {name: value for name, value in report.metrics.values.items() if name in BY_HAND} == BY_HAND
    assert report.metrics.reasons == {"top5_accuracy": "With 4 classes every label is among the first five."}


def test_a_file_without_logits_fails_and_skips_the_rest() -> None:
    """Without logits nothing can be said of them; what concerns the split alone is said all the same."""
    arrays = good()
    del arrays["logits"]
    report, checks = verify(arrays)
    assert verdicts(checks, "failed") == {"arrays"}
    assert "logits" in checks["arrays"].message
    assert verdicts(checks, "skipped") == {*OF_ROWS, "shapes", "dtypes"}
    assert "'arrays'" in checks["accuracy"].message
    assert report.metrics.values["accuracy"] is None


@pytest.mark.parametrize(("name", "said"), [("targets", "has no targets"), ("predictions", "has no predictions")])
def test_a_file_without_targets_or_predictions_fails_but_the_rest_is_verified(name: str, said: str) -> None:
    """The split has labels and the logits an argmax: the file fails, and its figures are given."""
    arrays = good()
    del arrays[name]
    report, checks = verify(arrays)
    assert verdicts(checks, "failed") == {"arrays"}
    assert name in checks["arrays"].message
    assert said in checks[name].message
    assert report.metrics.number("accuracy") == pytest.approx(0.75)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_bare_tensor_is_held_against_the_labels(dtype: str) -> None:
    """Logits alone, in half or single precision, are a whole file of their kind, with the same figures."""
    report, checks = verify({"logits": good()["logits"].astype(dtype)}, kind=BARE)
    assert report.verdict == "passed"
    assert verdicts(checks, "skipped") == {"predictions"}
    assert report.metrics.number("accuracy") == pytest.approx(0.75)


def test_a_bare_tensor_of_another_width_fails() -> None:
    """float64 is no form of such a file; the sentence says what is."""
    report, checks = verify({"logits": good()["logits"].astype(np.float64)}, kind=BARE)
    assert report.verdict == "failed"
    assert "float16 or float32" in checks["dtypes"].message


def test_an_extra_array_fails_but_the_rest_is_verified() -> None:
    """A fourth array is not an artifact's, but does not hide the others' state."""
    report, checks = verify({**good(), "notes": np.zeros(3)})
    assert verdicts(checks, "failed") == {"arrays"}
    assert "notes" in checks["arrays"].message
    assert report.metrics.number("accuracy") == pytest.approx(0.75)


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
    _, checks = verify({**good(), name: array})
    assert verdicts(checks, "failed") == {"shapes"}
    assert f"{name} has shape {list(array.shape)}" in checks["shapes"].message
    assert str(checks["shapes"].expected[name]) in checks["shapes"].message
    assert verdicts(checks, "skipped") == OF_ROWS
    assert checks["dtypes"].verdict == "passed"
    assert "'shapes'" in checks["predictions"].message


def test_a_split_without_samples_fails() -> None:
    """Nothing cannot be verified: an empty split does not pass."""
    report, checks = verify(good(np.zeros(0, np.int64)), truth_of(np.zeros(0, np.int64)))
    assert report.verdict == "failed"
    assert verdicts(checks, "failed") == {"shapes", "missing-classes"}
    assert "no samples" in checks["shapes"].message


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("logits", "float64"), ("logits", "float16"), ("logits", ">f4"), ("targets", "int32"),
        ("predictions", "uint64"),
    ],
)  # fmt: skip
def test_a_wrong_number_type_fails_but_the_values_are_verified(name: str, dtype: str) -> None:
    """Numbers of another width fail `dtypes` alone: their values are still looked at."""
    arrays = good()
    arrays[name] = arrays[name].astype(dtype)
    arrays["predictions"] = arrays["logits"].argmax(axis=1).astype(arrays["predictions"].dtype)
    report, checks = verify(arrays)
    assert verdicts(checks, "failed") == {"dtypes"}
    assert name in checks["dtypes"].message
    assert dtype in checks["dtypes"].message
    assert verdicts(checks, "skipped") == set()
    assert report.metrics.number("accuracy") == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["logits", "targets", "predictions"])
@pytest.mark.parametrize("dtype", ["object", "str", "complex128", "bool", "datetime64[s]"])
def test_arrays_that_hold_no_fit_numbers_fail_and_skip_the_rest(name: str, dtype: str) -> None:
    """Objects, text, dates and the like fail `dtypes` and never raise."""
    arrays = good()
    arrays[name] = np.zeros(arrays[name].shape, "int64").astype(dtype)
    _, checks = verify(arrays)
    assert verdicts(checks, "failed") == {"dtypes"}
    assert verdicts(checks, "skipped") == OF_ROWS


def test_float_targets_are_not_compared() -> None:
    """Targets that are no integers are not taken for labels."""
    arrays = good()
    arrays["targets"] = arrays["targets"].astype(np.float32)
    _, checks = verify(arrays)
    assert checks["targets"].verdict == "skipped"


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_row_that_is_not_finite_fails(value: float, shown: str) -> None:
    """NaN and infinities fail, with row, class and value; the argmax of such rows is not asked for."""
    arrays = good()
    arrays["logits"][[5, 41], 2] = value
    report, checks = verify(arrays)
    assert verdicts(checks, "failed") == {"finite"}
    assert checks["finite"].measured == {"rows": 2}
    assert checks["finite"].evidence == tuple({"row": row, "class": 2, "value": shown} for row in (5, 41))
    assert checks["predictions"].verdict == "skipped"
    assert checks["targets"].verdict == "passed"
    assert "'finite'" in report.metrics.reasons["accuracy"]


def test_evidence_is_the_first_ten_rows() -> None:
    """However many rows offend, the first ten are shown and all are counted."""
    arrays = good()
    arrays["logits"][3:] = np.nan
    _, checks = verify(arrays)
    assert [item["row"] for item in checks["finite"].evidence] == list(range(3, 13))
    assert checks["finite"].measured == {"rows": ROWS - 3}


def test_a_prediction_that_is_not_the_argmax_fails() -> None:
    """One wrong prediction fails, with its row and both classes, and no figure is given."""
    arrays = good()
    right = int(arrays["predictions"][17])
    arrays["predictions"][17] = wrong = (right + 1) % CLASSES
    report, checks = verify(arrays)
    assert verdicts(checks, "failed") == {"predictions"}
    assert checks["predictions"].evidence == ({"row": 17, "found": wrong, "expected": right, "tied": False},)
    assert report.metrics.values["accuracy"] is None


def test_a_tie_goes_to_the_first_class_and_is_counted() -> None:
    """Of equal largest logits the first class is right, the second is not, and ties are counted."""
    arrays = good()
    arrays["logits"][9] = [0, 5, 5, 1]
    arrays["predictions"][9] = 1
    _, checks = verify(arrays)
    assert checks["predictions"].verdict == "passed"
    assert checks["predictions"].measured == {"differing_rows": 0, "tied_rows": 1}
    arrays["predictions"][9] = 2
    _, checks = verify(arrays)
    assert checks["predictions"].evidence == ({"row": 9, "found": 2, "expected": 1, "tied": True},)


def test_permuted_rows_are_seen_in_the_targets() -> None:
    """Rows in another order are consistent in themselves, and fail against the labels."""
    order = np.roll(np.arange(ROWS), 1)
    arrays = {name: array[order] for name, array in good().items()}
    report, checks = verify(arrays)
    differing = np.flatnonzero(LABELS[order] != LABELS)
    first = int(differing[0])
    assert verdicts(checks, "failed") == {"targets"}
    assert checks["targets"].measured == {"differing_rows": len(differing), "labels_out_of_range": 0}
    found, expected = int(LABELS[order][first]), int(LABELS[first])
    assert checks["targets"].evidence[0] == {"row": first, "found": found, "expected": expected}
    assert report.metrics.reasons.keys() == set(FIGURES)


@pytest.mark.parametrize("label", [CLASSES, -1])
def test_labels_that_are_no_class_fail(label: int) -> None:
    """A class count that does not fit the labels fails, even where the targets repeat the labels."""
    labels = LABELS.copy()
    labels[2] = label
    arrays = {**good(), "targets": labels}
    report, checks = verify(arrays, replace(TRUTH, labels=labels))
    assert report.verdict == "failed"
    assert verdicts(checks, "failed") == {"targets"}
    assert "class count" in checks["targets"].message
    assert checks["targets"].evidence == ({"row": 2, "found": label, "expected": label},)


def test_outcomes_of_other_checks_are_part_of_the_verdict() -> None:
    """A check of how the rows came about fails the file, as one of the arrays does, but takes away no figure."""
    report = verify_unit(good(), TRUTH, [error_check("manifest-file", False, 1, 0, "Stale.")])
    assert report.verdict == "failed"
    assert report.metrics.number("accuracy") == pytest.approx(0.75)
    assert [check.id for check in report.checks].index("manifest-file") == CHECK_IDS.index("targets") + 1


def test_repeats_and_missing_classes_warn() -> None:
    """A split with repeats and a class without rows is verified, with two warnings and a null for the class."""
    labels = LABELS[LABELS != 3]
    truth = replace(TRUTH, labels=labels, indices=np.arange(len(labels)) // 2)
    report, checks = verify(good(labels), truth)
    assert report.verdict == "passed"
    assert verdicts(checks, "failed") == {"repeats", "missing-classes"}
    assert report.metrics.values["class_recalls"] == [1.0, 1.0, 1.0, None]


@pytest.mark.parametrize("scale", [1e30, 3e38])
def test_huge_logits_are_figured_without_overflow(scale: float) -> None:
    """Finite logits of any size give finite figures, and no warning of numpy's."""
    arrays = good()
    arrays["logits"] *= np.float32(scale / 3)
    report, _ = verify(arrays)
    assert report.metrics.number("accuracy") == pytest.approx(0.75)
