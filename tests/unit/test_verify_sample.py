"""Rows computed anew against those of a file: which are chosen, what passes, and what a difference is called."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.domain.checks import Check
from worker.verify.sample import (
    ABSOLUTE,
    EXACT,
    OF_HALF_FILE,
    OF_PRECISION,
    Sample,
    check_recomputed_sample,
    relative_tolerance,
    spread_images,
)

N, C = 40, 5
RAW: NDArray[np.float32] = (np.random.default_rng(0).normal(size=(N, C)) * 8).astype(np.float32)
SAMPLE = Sample(
    rows=np.arange(N) * 2,
    images=np.arange(N) + 100,
    logits=RAW,
    computed=N,
    distinct=400,
    checkpoint="best_ce.pth",
    sha256="c" * 64,
    temperature=1.5,
    transform={"mean": [0.5], "std": [0.2]},
)
NONE = {"mode": "none", "divided_by": None}
DIVIDED = {"mode": "checkpoint", "divided_by": 1.5}


def _check(stored: NDArray[np.floating[Any]], stated: dict[str, Any] | None = None, **changes: Any) -> Check:
    check = check_recomputed_sample(stored, replace(SAMPLE, **changes), stated)
    json.dumps(check.to_dict(), allow_nan=False)
    assert (check.id, check.level) == ("recomputed-sample", "error")
    assert check.message.endswith(".")
    return check


def test_images_are_spread_over_the_list() -> None:
    """One of each equal part, distinct, in the list's order, and the same for the same seed."""
    indices = np.random.default_rng(1).permutation(1000)
    chosen = spread_images(indices, 10)
    places = np.flatnonzero(np.isin(indices, chosen))
    assert np.array_equal(indices[places], chosen)
    assert np.array_equal(places // 100, np.arange(10))
    assert np.array_equal(chosen, spread_images(indices, 10))
    assert not np.array_equal(chosen, spread_images(indices, 10, seed=1))
    assert np.unique(np.diff(places)).size > 1, "evenly spaced rows alone would miss what has the same period"


@pytest.mark.parametrize("count", [3, 4, 100])
def test_no_image_is_chosen_twice(count: int) -> None:
    """Of a list with repeats each distinct image counts once; all of them, if there are fewer than asked for."""
    indices = np.array([7, 7, 7, 1, 9, 7, 1])
    assert sorted(spread_images(indices, count)) == [1, 7, 9]
    assert spread_images(np.array([4]), count).tolist() == [4]


def test_the_same_rows_pass() -> None:
    """With how many were compared, of how many images, and how many wrong ones would have been noticed."""
    check = _check(RAW)
    assert check.verdict == "passed"
    assert check.measured == {
        "rows": N, "differing_rows": 0, "largest_difference": 0.0, "largest_relative": 0.0, "argmax_differences": 0,
        "divided_by": None, "checkpoint": "best_ce.pth", "checkpoint_sha256": "c" * 64,
    }  # fmt: skip
    assert check.expected == {"differing_rows": 0, "relative": EXACT, "absolute": ABSOLUTE}
    assert "40 of 400 images" in check.message
    assert f"more than {1 - 0.05 ** (1 / N):.1%} of the images wrong" in check.message
    assert "every row of the file" in _check(RAW, distinct=N).message


@pytest.mark.parametrize(("off", "verdict"), [(0.9e-4, "passed"), (1.2e-4, "failed")])
def test_float32_rows_may_differ_by_a_ten_thousandth_of_their_scale(off: float, verdict: str) -> None:
    """Of the row's largest logit; and by that absolutely where all logits are small."""
    stored = RAW.copy()
    stored[7, 2] += np.float32(off) * np.abs(RAW[7]).max()
    assert _check(stored).verdict == verdict
    small = RAW / np.float32(1000)
    stored = small.copy()
    stored[7, 2] += np.float32(off)
    assert _check(stored, logits=small, temperature=None).verdict == verdict


def test_float16_rows_may_differ_by_their_rounding() -> None:
    """The rounding of half precision passes, twice as much fails."""
    assert _check(RAW.astype(np.float16)).verdict == "passed"
    off = RAW + np.float32(2.2 * OF_HALF_FILE) * np.abs(RAW).max(axis=1, keepdims=True)
    assert _check(off.astype(np.float16)).verdict == "failed"
    assert _check(RAW.astype(np.float16).astype(np.float32)).verdict == "failed", (
        "a float32 file has no such rounding"
    )


@pytest.mark.parametrize("precision", OF_PRECISION)
def test_a_manifest_with_a_lower_precision_allows_for_it(precision: str) -> None:
    """What was computed in it is not exact; without such a manifest the same rows fail."""
    off = RAW + np.float32(0.9 * OF_PRECISION[precision]) * np.abs(RAW).max(axis=1, keepdims=True)
    assert _check(off, {"precision": precision}).verdict == "passed"
    assert _check(off, {"precision": "fp32"}).verdict == "failed"
    assert _check(off).verdict == "failed"


@pytest.mark.parametrize(
    ("dtype", "precision", "right"),
    [("float32", None, EXACT), ("float64", "fp32", EXACT), ("float16", "fp32", OF_HALF_FILE),
     ("float16", "bf16", OF_PRECISION["bf16"]), ("float32", "unheard of", EXACT)],
)  # fmt: skip
def test_the_tolerance_is_the_wider_of_file_and_precision(dtype: str, precision: str | None, right: float) -> None:
    """An unknown precision widens nothing."""
    assert relative_tolerance(np.dtype(dtype), precision) == right


def test_rows_divided_by_the_stored_temperature_pass_and_say_so() -> None:
    """Where no manifest says otherwise, calibrated logits are the checkpoint's as well."""
    divided = RAW / np.float32(1.5)
    for stored in (divided, divided.astype(np.float16)):
        check = _check(stored)
        assert (check.verdict, check.measured["divided_by"]) == ("passed", 1.5)
        assert "divided by the stored temperature 1.5" in check.message
    assert _check(divided, {"calibration": DIVIDED}).verdict == "passed"
    assert _check(divided, temperature=None).verdict == "failed"
    assert _check(divided, temperature=1.4).verdict == "failed"


def test_a_manifest_states_which_calibration_is_right() -> None:
    """Rows in the other one fail, and the message says how they would fit."""
    check = _check(RAW / np.float32(1.5), {"calibration": NONE})
    assert check.verdict == "failed"
    assert "They fit divided by the stored temperature 1.5, which is not what the manifest says." in check.message
    check = _check(RAW, {"calibration": DIVIDED})
    assert check.verdict == "failed"
    assert "They fit undivided" in check.message


@pytest.mark.parametrize("divisor", [1, 1.5])
def test_moved_rows_fail_and_are_named(divisor: float) -> None:
    """Only they, with what differs most first, raw or divided; rows of one class keep their argmax and fail too."""
    stored = RAW / np.float32(divisor)
    stored[[3, 20]] = stored[[20, 3]]
    check = _check(stored)
    assert check.verdict == "failed"
    assert check.measured["differing_rows"] == 2
    assert {item["row"] for item in check.evidence} == {6, 40}
    assert {item["image"] for item in check.evidence} == {103, 120}
    assert "2 of 40 rows are not what best_ce.pth gives" in check.message
    differences = [item["difference"] for item in check.evidence]
    assert differences == sorted(differences, reverse=True)
    assert check.measured["argmax_differences"] == 2 * (RAW[3].argmax() != RAW[20].argmax())


def test_evidence_is_the_ten_worst_rows() -> None:
    """However many differ."""
    check = _check(RAW[::-1].copy())
    assert check.measured["differing_rows"] == N
    assert len(check.evidence) == 10
    assert check.evidence[0]["difference"] == check.measured["largest_difference"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_fail(value: float) -> None:
    """A NaN compares with nothing, and must not pass for that."""
    stored = RAW.copy()
    stored[5, 1] = value
    check = _check(stored)
    assert (check.verdict, check.measured["differing_rows"]) == ("failed", 1)
    assert check.measured["largest_difference"] == "inf"


@pytest.mark.parametrize("name", ["softmax", "log-softmax"])
def test_softmaxed_rows_fail_and_are_called_so(name: str) -> None:
    """The checkpoint's rows, but not its logits."""
    raw = torch.from_numpy(RAW).double()
    stored = (raw.softmax(1) if name == "softmax" else raw.log_softmax(1)).float().numpy()
    check = _check(stored)
    assert check.verdict == "failed"
    assert f"They are the {name} of what it gives" in check.message


def test_small_differences_are_called_so() -> None:
    """Another mean and std, or TF32, is likelier than wrong rows; large ones are not called small."""
    assert "TF32" in _check(RAW * np.float32(1.004)).message
    assert "TF32" not in _check(RAW[::-1].copy()).message


def test_another_transform_in_the_manifest_is_named() -> None:
    """Where the declaration was changed since, that is the likely cause."""
    transform = {"mean": [0.4], "std": [0.2], "scale": "1/255"}
    assert "another mean or std" in _check(RAW * 2, {"transform": transform}).message
    assert "another mean or std" not in _check(RAW * 2, {"transform": transform | {"mean": [0.5]}}).message


def test_rows_of_zeros_are_compared_absolutely() -> None:
    """An expert whose logits are all 0 divides nothing by 0."""
    assert _check(np.zeros((N, C), np.float32), logits=np.zeros((N, C), np.float32)).verdict == "passed"
    assert _check(np.ones((N, C), np.float32), logits=np.zeros((N, C), np.float32)).verdict == "failed"
