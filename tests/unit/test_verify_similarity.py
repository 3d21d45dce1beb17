"""Constant outputs of an expert, experts that are copies of each other, and data that units have to share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check
from app.domain.jobs import Unit, UnitState
from tests.fakes import artifact
from worker.tasks.verify import compare
from worker.verify.similarity import (
    OTHER_ROWS,
    check_constant,
    check_data_between_units,
    check_duplicates,
    check_targets_between_experts,
    sample_rows,
)

Logits = NDArray[np.floating[Any]]


def _logits(seed: int, rows: int = 200, classes: int = 10) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, (rows, classes)).astype(np.float32)


def _constant(logits: Logits, labels: NDArray[np.int64]) -> tuple[str, str]:
    check = check_constant(logits, logits.argmax(axis=1), labels)
    json.dumps(check.to_dict(), allow_nan=False)
    assert (check.id, check.level) == ("constant", "warning")
    return check.verdict, check.message


LABELS = np.arange(200) % 10


def test_outputs_that_differ_pass() -> None:
    """An expert whose logits and predictions differ between rows passes."""
    assert _constant(_logits(1), LABELS)[0] == "passed"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_same_logits_for_all_rows_fail(dtype: type[np.floating[Any]]) -> None:
    """One row for all samples, but for the last bits of its dtype, is a constant output."""
    first = _logits(2, rows=1).astype(dtype)
    logits = np.repeat(first, 200, axis=0)
    logits[1::2] = np.nextafter(logits[1::2], dtype(100))
    verdict, message = _constant(logits, LABELS)
    assert verdict == "failed"
    assert "same logits" in message


def test_a_late_row_that_differs_shows() -> None:
    """Rows are compared to the last, beyond those that are looked at first."""
    logits = np.repeat(_logits(3, rows=1), 9000, axis=0)
    logits[-1] += 1
    _, message = _constant(logits, np.arange(9000) % 10)
    assert "same logits" not in message


def test_small_differences_beside_a_mask_are_no_constant() -> None:
    """A class masked with −1e9 does not drown the differences of the others."""
    logits = _logits(4)
    logits[:, 3] = -1e9
    assert _constant(logits, LABELS)[0] == "passed"


def test_one_prediction_for_many_other_rows_fails() -> None:
    """One class for all rows fails from OTHER_ROWS rows that are not of the commonest class."""
    logits = _logits(5)
    logits[:, 7] = 50
    labels = np.where(np.arange(200) < OTHER_ROWS, 1, 0)
    verdict, message = _constant(logits, labels)
    assert verdict == "failed"
    assert "class 7" in message
    labels[0] = 0
    verdict, message = _constant(logits, labels)
    assert verdict == "passed"
    assert "too few" in message


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.ones((200, 1)), LABELS), (np.ones((200, 10)), np.full(200, 4)), (np.ones((1, 10)), np.array([2])),
        (np.ones((0, 10)), np.zeros(0, dtype=np.int64)),
    ],
)  # fmt: skip
def test_where_constant_may_be_right_it_is_skipped(logits: Logits, labels: NDArray[np.int64]) -> None:
    """One class, labels of one class, one row or none: nothing can be said."""
    assert _constant(logits, labels)[0] == "skipped"


@pytest.mark.parametrize("rows", [0, 1, 5, 255, 256, 257, 1446, 50_000])
def test_the_sample_is_spread_over_the_split(rows: int) -> None:
    """At most 256 distinct places, ascending, from the first on, at even distances."""
    places = sample_rows(rows)
    assert places.dtype == np.int64
    assert places.size == min(rows, 256)
    if rows:
        steps = np.diff(places, append=rows)
        assert places[0] == 0
        assert steps.min() >= 1
        assert steps.max() <= -(-rows // 256)


def test_likeness_is_the_cosine_of_centred_rows() -> None:
    """By hand: rows (1, −1) and (2, −2) against (1, −1) and (0, 0): 2/sqrt(10·2)."""
    one, other = np.tile([[2.0, 0.0], [5.0, 1.0]], (5, 1)), np.tile([[8.0, 6.0], [3.0, 3.0]], (5, 1))
    likeness = 2 / np.sqrt(10 * 2)
    pairs = [(one, other), (one, -other), (one, np.ones((10, 2))), (one * 1e200, other * 1e200)]
    for (a, b), expected in zip(pairs, (likeness, -likeness, 0, likeness), strict=True):
        assert check_duplicates("val", {"a": a, "b": b}).measured["highest_likeness"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "copy",
    [
        _logits(6),
        _logits(6).astype(np.float16),
        (_logits(6) / np.float32(1.7)).astype(np.float16),
        _logits(6) + np.arange(200, dtype=np.float32)[:, None],
    ],
    ids=["same", "float16", "temperature", "shift"],
)
def test_a_copy_is_found_under_rounding_temperature_and_shift(copy: Logits) -> None:
    """The same logits, rounded, divided or shifted by row, are a copy; the others' pairs are not."""
    check = check_duplicates("val", {"a": _logits(6), "b": _logits(7), "c": copy})
    assert (check.id, check.level, check.verdict) == ("duplicate-outputs", "warning", "failed")
    assert [item["experts"] for item in check.evidence] == [["a", "c"]]
    assert check.evidence[0]["likeness"] == pytest.approx(1, abs=1e-4)
    assert check.evidence[0]["agreement"] > 0.98
    assert check.measured["compared_pairs"] == 3
    json.dumps(check.to_dict(), allow_nan=False)


def test_experts_much_alike_pass() -> None:
    """A likeness of 0.999 is no copy, nor is a logit adjustment, nor two experts with the same masked class."""
    a, b = _logits(8), _logits(9)
    alike = check_duplicates("val", {"a": a, "b": a + b / 25})
    assert alike.verdict == "passed"
    assert 0.999 < alike.measured["highest_likeness"] < 0.9999
    assert np.mean(a.argmax(axis=1) == (a + b / 25).argmax(axis=1)) > 0.9
    assert check_duplicates("val", {"a": a, "b": a + np.arange(10, dtype=np.float32)}).verdict == "passed"
    a[:, 3] = b[:, 3] = -1e9
    masked = check_duplicates("val", {"a": a, "b": b})
    assert (masked.verdict, masked.measured["highest_likeness"]) == ("passed", pytest.approx(1))


def test_other_shapes_are_said_and_the_rest_is_compared() -> None:
    """Experts of other shapes cannot be compared; that is said, and nothing raises."""
    check = check_duplicates("val", {"a": _logits(1), "b": _logits(1), "c": _logits(1, classes=7)})
    assert (check.verdict, check.measured["compared_pairs"]) == ("failed", 1)
    assert "c [200, 7]" in check.message
    assert check_duplicates("val", {"a": _logits(1), "c": _logits(1, rows=7)}).verdict == "skipped"


@pytest.mark.parametrize(
    "samples",
    [
        {},
        {"a": _logits(1)},
        {"a": _logits(1, rows=9), "b": _logits(1, rows=9)},
        {"a": _logits(1, rows=0), "b": _logits(1, rows=0)},
        {"a": _logits(1, classes=1), "b": _logits(1, classes=1)},
        {"a": _logits(1), "b": np.full((200, 10), np.nan)},
        {"a": np.ones(200), "b": np.ones(200)},
    ],
)
def test_what_cannot_be_compared_is_skipped(samples: dict[str, Logits]) -> None:
    """No second expert, too few rows, one class, another rank or logits that are no numbers: skipped, not raised."""
    check = check_duplicates("val", samples)
    assert check.verdict == "skipped"
    assert "'val'" in check.message


BOTH = pytest.mark.parametrize("check", [check_targets_between_experts, check_data_between_units])


@BOTH
def test_equal_digests_pass(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """All the same: passed, with how many were compared."""
    found = check("val", {"a": "11", "b": "11"})
    assert (found.verdict, found.level, found.measured["compared"]) == ("passed", "error", 2)


@BOTH
def test_different_digests_fail_with_who_has_which(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """One that differs fails the check, and the evidence groups them."""
    found = check("val", {"a": "11", "b": "99", "c": "11"})
    assert (found.verdict, found.measured["distinct"]) == ("failed", 2)
    assert found.evidence == ({"sha256": "11", "of": ["a", "c"]}, {"sha256": "99", "of": ["b"]})
    assert "'val'" in found.message
    json.dumps(found.to_dict(), allow_nan=False)


@BOTH
def test_evidence_is_bounded(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """However many differ, ten groups are shown and all are counted."""
    found = check("val", {f"expert{n}": str(n) for n in range(30)})
    assert (len(found.evidence), found.measured["distinct"]) == (MAX_EVIDENCE, 30)


@BOTH
def test_one_alone_has_nothing_to_be_compared_with(check: Callable[[str, Mapping[str, str]], Check]) -> None:
    """Skipped, with the reason."""
    found = check("val", {"a": "11"})
    assert found.verdict == "skipped"
    assert "two are needed" in found.message


def _unit(expert: str, split: str, targets: str, data: str, base: str = "test") -> Unit:
    made = replace(artifact(), targets_sha256=targets, data_sha256=data, base=base)
    return Unit(expert, split, UnitState.SUCCEEDED, total=1, split_sha256="s", artifact=made)


def test_splits_are_compared_by_targets_and_bases_by_data() -> None:
    """An expert that was computed on other images fails the job, though its targets are the same."""
    units = [
        _unit("a", "val", "1", "old"),
        _unit("b", "val", "1", "new"),
        _unit("a", "train", "2", "old", base="train"),
        _unit("b", "train", "2", "old", base="train"),
    ]
    done = [(unit, unit.artifact) for unit in units if unit.artifact is not None]
    assert [(check.id, check.verdict) for check in compare(done)] == [
        ("targets-between-experts", "passed"),
        ("targets-between-experts", "passed"),
        ("data-between-units", "failed"),
        ("data-between-units", "passed"),
    ]
