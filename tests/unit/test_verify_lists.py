"""Checks of index lists and class weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check
from worker.verify.lists import check_class_weights, check_missing_classes, check_overlap, check_repeats


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _json(check: Check) -> None:
    json.dumps(check.to_dict(), allow_nan=False)


def test_repeats_are_counted_and_shown_in_the_order_of_the_list() -> None:
    """Rows beyond a sample's first are repeats; the evidence is as the list has them, with the first two rows."""
    check = check_repeats(_ints(9, 4, 9, 1, 4, 9), "test")
    assert (check.id, check.level, check.verdict) == ("repeats", "warning", "failed")
    assert check.measured == {"repeated_rows": 3, "distinct": 3}
    assert check.evidence == ({"index": 9, "times": 3, "rows": [0, 2]}, {"index": 4, "times": 2, "rows": [1, 4]})
    assert "3 of 6 rows repeat a sample of 'test'" in check.message
    _json(check)


@pytest.mark.parametrize("indices", [_ints(), _ints(3), _ints(3, 1, 2)])
def test_a_list_without_repeats_passes(indices: NDArray[np.int64]) -> None:
    """Different samples, one, or none: passed."""
    check = check_repeats(indices, "test")
    assert (check.verdict, check.measured) == ("passed", {"repeated_rows": 0, "distinct": indices.size})


def test_the_evidence_of_repeats_is_bounded() -> None:
    """However many samples repeat, ten are shown."""
    check = check_repeats(np.tile(np.arange(500), 2), "test")
    assert (len(check.evidence), check.measured["repeated_rows"]) == (MAX_EVIDENCE, 500)


def test_missing_classes_are_counted_and_named() -> None:
    """Classes without a row are a warning; labels out of range stand for no class."""
    check = check_missing_classes(_ints(0, 3, 3, 7, -1), 5)
    assert (check.id, check.level, check.verdict) == ("missing-classes", "warning", "failed")
    assert (check.measured, check.evidence) == ({"missing": 3}, (1, 2, 4))
    assert len(check_missing_classes(_ints(), 100).evidence) == MAX_EVIDENCE
    assert check_missing_classes(_ints(1, 0, 1), 2).verdict == "passed"
    _json(check)


def test_overlap_is_counted_for_each_pair_in_distinct_samples() -> None:
    """One check a pair; repeats within a list count once, and the first list's order is the evidence's."""
    lists = {"val": _ints(8, 3, 8, 5), "test": _ints(5, 8, 8), "tunev": _ints(1)}
    checks = check_overlap("cifar", lists)
    assert [check.measured for check in checks] == [
        {"base": "cifar", "splits": ["val", "test"], "shared": 2},
        {"base": "cifar", "splits": ["val", "tunev"], "shared": 0},
        {"base": "cifar", "splits": ["test", "tunev"], "shared": 0},
    ]
    assert [check.verdict for check in checks] == ["failed", "passed", "passed"]
    assert checks[0].evidence == ({"index": 8}, {"index": 5})
    assert {(check.id, check.level) for check in checks} == {("overlap", "warning")}
    _json(checks[0])


def test_the_evidence_of_overlap_is_bounded() -> None:
    """However many samples are shared, ten are shown."""
    (check,) = check_overlap("cifar", {"a": np.arange(50), "b": np.arange(50)})
    assert (len(check.evidence), check.measured["shared"]) == (MAX_EVIDENCE, 50)


@pytest.mark.parametrize("lists", [{}, {"val": np.arange(3)}])
def test_one_list_overlaps_with_nothing(lists: dict[str, NDArray[np.int64]]) -> None:
    """Without a pair the check is skipped, and says so."""
    (check,) = check_overlap("cifar", lists)
    assert (check.id, check.verdict) == ("overlap", "skipped")
    assert "'cifar'" in check.message


COUNTS = _ints(60, 30, 10, 0)
SHARES = COUNTS / 100


@pytest.mark.parametrize("weights", [SHARES, SHARES.astype(np.float32), SHARES * (1 + 5e-7)])
def test_the_shares_of_the_train_split_pass(weights: NDArray[np.floating]) -> None:
    """n_c / Σ n passes, in float32 too, and within the tolerance."""
    check = check_class_weights(weights, COUNTS)
    assert (check.id, check.level, check.verdict, check.evidence) == ("class-weights", "warning", "passed", ())
    assert check.measured["sum"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("weights", "classes", "said"),
    [
        ([0.6, 0.3, 0.1, 1e-9], [3], "1 of 4 are not the class's share"),
        ([0.6, 0.3 + 1e-6, 0.1 - 1e-6, 0], [1, 2], "2 of 4 are not the class's share"),
        ([0.3, 0.6, 0.1, 0], [0, 1], "2 of 4 are not the class's share"),
        ([0.6, 0.3, 0.2, -0.1], [2, 3], "1 are negative or not finite"),
        ([0.6, 0.3, float("nan"), 0], [2], "1 are negative or not finite"),
        ([float("inf"), 0.3, 0.1, 0], [0], "1 are negative or not finite"),
        ([6.0, 3.0, 1.0, 0], [0, 1, 2], "their sum is 10 where 1"),
    ],
)
def test_other_weights_fail_with_the_classes(weights: list[float], classes: list[int], said: str) -> None:
    """What is not the share of its class, not finite or negative, or of another sum, is named by class."""
    check = check_class_weights(np.array(weights), COUNTS)
    assert check.verdict == "failed"
    assert said in check.message
    assert [item["class"] for item in check.evidence] == classes
    assert check.evidence[0]["expected"] == SHARES[classes[0]]
    _json(check)


def test_without_counts_only_the_sum_and_the_signs_are_held() -> None:
    """Any weights of sum 1 pass where the counts are unknown, and the message says what was not done."""
    check = check_class_weights(np.array([0.5, 0.5]), None)
    assert check.verdict == "passed"
    assert "not compared with the train split" in check.message
    wrong = check_class_weights(np.array([0.5, 0.5 + 2e-6]), None)
    assert (wrong.verdict, wrong.evidence) == ("failed", ())
    assert check_class_weights(np.array([1.5, -0.5]), None).evidence == (
        {"class": 1, "weight": -0.5, "expected": None},
    )


@pytest.mark.parametrize("counts", [_ints(0, 0), _ints(3, -1), np.ones((1, 2), dtype=np.int64), np.array(["1", "2"])])
def test_unusable_counts_count_as_none(counts: NDArray[np.int64]) -> None:
    """Counts that no share can come from are not held against the weights."""
    check = check_class_weights(np.array([0.5, 0.5]), counts)
    assert check.verdict == "passed"
    assert "not compared with" in check.message


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(3) / 3, np.ones((2, 2)) / 4, np.array(0.5), np.array([]), np.array(["a"] * 4),
        np.array([None] * 4), np.full(4, 0.25j),
    ],
)  # fmt: skip
def test_no_weights_at_all_fail_and_raise_nothing(weights: NDArray[np.generic]) -> None:
    """Another length, rank or dtype is a failed check."""
    check = check_class_weights(weights, COUNTS)
    assert check.verdict == "failed"
    assert str(list(weights.shape)) in check.message
    _json(check)
    _json(check_class_weights(weights, None))


def test_sums_beyond_float64_are_named() -> None:
    """Huge weights overflow to a sum of infinity: a failed check, not a warning of numpy's."""
    check = check_class_weights(np.full(4, 1e308), COUNTS)
    assert (check.verdict, check.measured) == ("failed", {"sum": "inf"})
