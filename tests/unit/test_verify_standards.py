"""Train counts, and floors that somebody has set."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Metrics
from worker.verify.criteria import check_floors, check_train_counts


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint64"])
def test_whole_numbers_pass(dtype: str) -> None:
    """C counts of any integer dtype, zeros among them, are right."""
    check = check_train_counts(np.array([5, 0, 2], dtype), 3)
    assert (check.id, check.level, check.verdict) == ("train-counts", "warning", "passed")
    assert check.measured == {"sum": 7, "negative": 0}


@pytest.mark.parametrize(
    "counts",
    [
        np.array([1, 2]), np.array([[1, 2, 3]]), np.array(3), np.array([1.0, 2.0, 3.0]),
        np.array([True, True, False]), np.array(["1", "2", "3"]), np.array([1, None, 3]),
    ],
)  # fmt: skip
def test_another_shape_or_dtype_warns(counts: NDArray[Any]) -> None:
    """What is not C whole numbers is named with its shape and dtype, beside what would be right."""
    check = check_train_counts(counts, 3)
    assert (check.level, check.verdict) == ("warning", "failed")
    assert f"shape {list(counts.shape)} and dtype {counts.dtype}" in check.message
    assert "3 whole numbers" in check.message
    json.dumps(check.to_dict(), allow_nan=False)


def test_negative_counts_warn_with_their_classes() -> None:
    """Each is counted, and the first ten classes are shown."""
    check = check_train_counts(np.array([4, -1, *[-2] * 20]), 22)
    assert (check.verdict, check.measured["negative"], len(check.evidence)) == ("failed", 21, MAX_EVIDENCE)
    assert check.evidence[0] == {"class": 1, "count": -1}
    json.dumps(check.to_dict(), allow_nan=False)


FIGURES = Metrics({"accuracy": 0.5, "balanced_accuracy": None}, {"balanced_accuracy": "There are no rows."})


@pytest.mark.parametrize(("floor", "verdict"), [(0.0, "passed"), (0.5, "passed"), (0.501, "failed"), (1.0, "failed")])
def test_a_floor_is_the_lowest_that_passes(floor: float, verdict: str) -> None:
    """The floor itself is high enough; below it is a warning, with both values."""
    (check,) = check_floors({"accuracy": floor}, FIGURES)
    assert (check.id, check.level, check.verdict) == ("floor", "warning", verdict)
    assert (check.measured, check.expected) == ({"accuracy": 0.5}, {"at_least": floor})


def test_each_floor_is_a_check_of_its_own() -> None:
    """In the order given; a figure that there is not is skipped with its reason, and no floor is no check."""
    checks = check_floors({"balanced_accuracy": 0.1, "accuracy": 0.9, "tail_accuracy": 0.1}, FIGURES)
    assert [check.verdict for check in checks] == ["skipped", "failed", "skipped"]
    assert "no balanced accuracy" in checks[0].message
    assert "There are no rows." in checks[0].message
    assert check_floors({}, FIGURES) == []
