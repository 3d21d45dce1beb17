"""Checks of how rows came about: against those kept from earlier, and against exact arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.verify.check import MAX_EVIDENCE, Check, error_check, skipped


def check_kept_rows(differing: NDArray[np.int64], indices: NDArray[np.int64]) -> Check:
    """Rows that were computed again have the bits that they were kept with.

    Args:
        differing: [n] int64, places in the split where they have not.
        indices: [N] int64, the split.
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
    precision: str,
    found: NDArray[np.float32],
    exact: NDArray[np.float32],
    images: NDArray[np.int64],
    total: int,
) -> Check:
    """What a precision other than fp32 costs: rows whose largest logit is another class's.

    Args:
        precision: what `found` was computed in.
        found: [n, C] float32 raw logits.
        exact: [n, C] float32, the same rows computed in fp32.
        images: [n] int64, whose rows they are.
        total: distinct images in the split; those that were not compared are not judged.
    """
    if not images.size:
        return skipped("precision", "warning", "No row could be compared with exact ones.")
    before, after = exact.argmax(axis=1), found.argmax(axis=1)
    flipped = np.flatnonzero(before != after)
    largest = float(np.abs(found.astype(np.float64) - exact).max())
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
    evidence = tuple(
        {"image": int(images[i]), "fp32": int(before[i]), precision: int(after[i])} for i in flipped[:MAX_EVIDENCE]
    )
    return Check(
        "precision",
        "warning",
        "failed" if flipped.size else "passed",
        measured,
        {"argmax_flips": 0},
        message,
        evidence,
    )
