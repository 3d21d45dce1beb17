"""Checks of how rows came about."""

from __future__ import annotations

import json

import numpy as np

from worker.verify.consistency import check_kept_rows, check_plain_forward, check_precision

EXACT = np.array([[1.0, 2.0, 0.0], [5.0, 4.0, 4.5], [0.0, 0.0, 1.0]], np.float32)
IMAGES = np.array([7, 3, 9])


def test_rows_that_came_out_as_kept_pass() -> None:
    """No difference is a passed check, with its count."""
    found = check_kept_rows(np.array([], np.int64), np.array([4, 4, 2]))
    assert (found.verdict, found.level, found.measured) == ("passed", "error", {"differing_rows": 0})


def test_rows_that_came_out_otherwise_are_named() -> None:
    """Row and image of the first ones; the check is an error, for one of two results is wrong."""
    found = check_kept_rows(np.arange(1, 30), np.arange(30) * 10)
    assert (found.verdict, found.level, found.measured) == ("failed", "error", {"differing_rows": 29})
    assert len(found.evidence) == 10
    assert found.evidence[0] == {"row": 1, "image": 10}
    json.dumps(found.to_dict())


def test_argmax_flips_are_counted() -> None:
    """Flips, their share of the rows compared, and the largest difference; a flip is a failed warning."""
    half = EXACT.copy()
    half[1] = [4.0, 4.25, 4.5]
    found = check_precision("bf16", half, EXACT, IMAGES, 10)
    assert (found.verdict, found.level) == ("failed", "warning")
    assert found.measured == {"compared_rows": 3, "argmax_flips": 1, "flip_share": 1 / 3, "largest_difference": 1.0}
    assert found.evidence == ({"image": 3, "fp32": 0, "bf16": 2},)
    assert "10 images" in found.message
    json.dumps(found.to_dict())


def test_a_precision_that_flips_nothing_passes() -> None:
    """Small differences without a flip cost nothing in argmax."""
    found = check_precision("tf32", EXACT + np.float32(1e-3), EXACT, IMAGES, 3)
    assert found.verdict == "passed"


def test_nothing_compared_is_skipped_not_passed() -> None:
    """Without rows there is no figure, and no verdict."""
    assert check_precision("bf16", EXACT[:0], EXACT[:0], IMAGES[:0], 3).verdict == "skipped"


def test_rows_that_are_small_by_cancellation_are_no_fault() -> None:
    """Two float32 passes differ by as much on a row near 0 as on any other: the sample's own scale counts."""
    plain = np.array([[10.0, -10.0], [12.0, -12.0], [1e-3, -1e-3]], np.float32)
    rows, images = plain + np.float32(3e-6), np.arange(3)
    assert check_plain_forward("fp32", rows, plain, images, 3).verdict == "passed"
    assert check_plain_forward("fp32", plain + np.float32(3e-3), plain, images, 3).verdict == "failed"


def test_plain_rows_that_are_not_finite_fail() -> None:
    """NaN compares with nothing, so it must not pass for agreement; JSON gets its name."""
    plain = np.array([[np.nan, 1.0], [2.0, 1.0]], np.float32)
    check = check_plain_forward("fp32", np.ones((2, 2), np.float32), plain, np.arange(2), 2)
    assert check.fatal
    assert check.measured["largest_difference"] == "nan"
