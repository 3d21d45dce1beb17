"""Checks of how rows were computed: against kept rows, and against exact arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, error_check, skipped, warning_check
from worker.verify.json_values import finite_or_name
from worker.verify.sample import relative_tolerance


def check_kept_rows(differing: NDArray[np.int64], indices: NDArray[np.int64]) -> Check:
    """Check that recomputed rows have the kept rows' bits.

    `differing` are [n] places in the split `indices` [N] where the bits differ.
    """
    count = int(differing.size)
    message = (
        f"{count} of {indices.size} rows came out with other bits than they were kept with, by equal weights, pixels "
        "and arithmetic: memory, disk or processor is at fault. Neither is kept now; submit the job again."
        if count
        else "No row differs from one that was kept."
    )
    evidence = [{"row": int(row), "image": int(indices[row])} for row in differing[:MAX_EVIDENCE]]
    return error_check("kept-rows", not count, {"differing_rows": count}, {"differing_rows": 0}, message, evidence)


def check_precision(
    precision: str, rows: NDArray[np.float32], exact: NDArray[np.float32], images: NDArray[np.int64], total: int
) -> Check:
    """Check how many argmaxes a precision below fp32 changes.

    `rows` and `exact` are [n, C] float32 raw logits of `images` [n], in that precision and in fp32. The split has
    `total` distinct images; those that were not compared are not judged.
    """
    if not images.size:
        return skipped("precision", "warning", "No row could be compared with exact ones.")
    before, after = exact.argmax(axis=1), rows.argmax(axis=1)
    flipped = np.flatnonzero(before != after)
    largest = float(np.abs(rows.astype(np.float64) - exact).max())
    share = flipped.size / images.size
    measured = {
        "compared_rows": int(images.size),
        "argmax_flips": int(flipped.size),
        "flip_share": share,
        "largest_difference": largest,
    }
    message = (
        f"{precision} gives {flipped.size} of {images.size} compared rows ({share:.2%}) another argmax than fp32; "
        f"{total} images are in the split. The largest difference of a logit is {largest:.3g}."
    )
    evidence = [
        {"image": int(images[i]), "fp32": int(before[i]), precision: int(after[i])} for i in flipped[:MAX_EVIDENCE]
    ]
    return warning_check("precision", not flipped.size, measured, {"argmax_flips": 0}, message, evidence)


def check_plain_forward(
    precision: str, rows: NDArray[np.float32], plain: NDArray[np.float32], images: NDArray[np.int64], in_split: int
) -> Check:
    """Compare rows with another implementation's plain forward pass.

    `rows` and `plain` are [n, C] float32 raw logits of `images` [n]; `in_split` of these are of the unit's split, the
    others of the same base.
    """
    tolerance = relative_tolerance(rows.dtype, precision)
    if not images.size:
        return skipped("plain-forward", "error", "No row could be compared with a plain forward pass.")
    with np.errstate(invalid="ignore", over="ignore"):
        differences = np.abs(rows.astype(np.float64) - plain).max(axis=1)  # [n]; NaN where either is
        scales = np.abs(plain.astype(np.float64)).max(axis=1)
        # A row may be small by cancellation, which float32 does not make more exact than the other rows.
        scales = np.maximum(scales, np.median(scales))
        relative = differences / np.maximum(scales, np.finfo(np.float32).tiny)
    wrong = ~(relative <= tolerance)  # NaN is wrong
    largest = relative.max() if not np.isnan(relative).any() else np.nan
    measured = {
        "rows": int(images.size),
        "rows_of_split": in_split,
        "largest_difference": finite_or_name(differences.max()),
        "largest_relative_difference": finite_or_name(largest),
    }
    compared = f"{images.size} rows of this expert over the base, {in_split} of them of this split,"
    message = (
        f"{int(wrong.sum())} of {compared} differ from a plain float32 forward pass by more than {tolerance:g} of "
        f"their largest logit. Either the engine computes wrongly here, or the expert's numbers are too extreme for "
        f"{precision}; RELOGIT_ENGINE=torch takes another engine."
        if wrong.any()
        else f"{compared} agree with a plain float32 forward pass of another implementation."
    )
    evidence = [
        {"image": int(images[i]), "difference": finite_or_name(differences[i]), "scale": finite_or_name(scales[i])}
        for i in np.flatnonzero(wrong)[:MAX_EVIDENCE]
    ]
    expected = {"largest_relative_difference": tolerance}
    return error_check("plain-forward", not wrong.any(), measured, expected, message, evidence)
