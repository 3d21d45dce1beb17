"""Checks of index lists and class weights: repeats, overlaps, missing classes.

All are warnings: logits are right or wrong for any list, but metrics over such a list mislead.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, skipped, warning_check
from worker.verify.json_values import finite_or_name, first_rows

WEIGHT_TOLERANCE = 1e-6  # of the sum, and relative of each weight; float32 rounds to 6e-8


def check_repeats(indices: NDArray[np.int64], base: str, listed: int | None = MAX_EVIDENCE) -> Check:
    """Check that no sample is in the list twice.

    `listed` is how many repeated samples are named; None for all.
    """
    distinct, first, inverse, times = np.unique(indices, return_index=True, return_inverse=True, return_counts=True)
    repeated = int(indices.size - distinct.size)
    offending = np.flatnonzero(times > 1)
    offending = offending[np.argsort(first[offending])][:listed]  # in the list's order
    by_sample, starts = np.argsort(inverse, kind="stable"), np.cumsum(times) - times
    evidence = [
        {
            "index": int(distinct[place]),
            "times": int(times[place]),
            "rows": by_sample[starts[place] : starts[place] + 2].tolist(),
        }
        for place in offending
    ]
    message = (
        f"{repeated} of {indices.size} rows repeat a sample of {base!r} that an earlier row has; "
        "such samples count several times in every figure."
        if repeated
        else f"Every row is another sample of {base!r}."
    )
    measured = {"repeated_rows": repeated, "distinct": int(distinct.size)}
    return warning_check("repeats", not repeated, measured, {"repeated_rows": 0}, message, evidence)


def check_missing_classes(labels: NDArray[np.int64], classes: int) -> Check:
    """Check that every class 0…classes−1 has a row."""
    missing = np.setdiff1d(np.arange(classes), labels)
    message = (
        f"{missing.size} of {classes} classes have no row, so they are in no figure."
        if missing.size
        else f"Each of the {classes} classes has at least one row."
    )
    measured = {"missing": int(missing.size)}
    evidence = missing[:MAX_EVIDENCE].tolist()
    return warning_check("missing-classes", not missing.size, measured, {"missing": 0}, message, evidence)


def check_overlap(
    base: str, lists: Mapping[str, NDArray[np.int64]], listed: int | None = MAX_EVIDENCE
) -> list[Check]:
    """Check lists over a base, pairwise, for shared samples.

    `listed` is how many shared samples of a pair are named; None for all. Where there is no pair, one check is
    skipped.
    """
    if len(lists) < 2:
        reason = f"Two splits over the base {base!r} are needed to compare; here there is {len(lists)}."
        return [skipped("overlap", "warning", reason)]
    return [_overlap_of_two(base, first, second, lists, listed) for first, second in combinations(lists, 2)]


def check_class_weights(weights: NDArray[Any], train_counts: NDArray[np.int64] | None) -> Check:
    """Check that class weights are finite, non-negative, and sum to 1.

    With usable train counts [C] they also have to be the shares w_c = n_c / Σ n: the weights under which Σ_c w_c·a_c
    is the accuracy on data spread like the train split. Weights may have any shape and dtype, of which [C] numbers
    are right.
    """
    check_id = "class-weights"
    counts = train_counts if train_counts is not None and _usable(train_counts) else None
    right = "finite weights, none negative, of sum 1" + (", n_c / Σ n" if counts is not None else "")
    entries = weights.shape if counts is None else counts.shape
    if weights.ndim != 1 or not weights.size or weights.shape != entries or weights.dtype.kind not in "fiu":
        actual = f"an array of shape {list(weights.shape)} and dtype {weights.dtype}"
        wanted = "one number a class" if counts is None else f"{counts.size} numbers, one a class,"
        return warning_check(
            check_id, False, actual, right, f"The class weights are {actual} where {wanted} would be right."
        )

    with np.errstate(all="ignore"):  # an infinity, or a sum beyond float64, is reported below
        values = weights.astype(np.float64)
        total = float(values.sum())
        shares = None if counts is None else counts / counts.sum()
        stray = ~np.isfinite(values) | (values < 0)  # [C]
        unlike = np.zeros_like(stray) if shares is None else ~(np.abs(values - shares) <= WEIGHT_TOLERANCE * shares)
    sums = abs(total - 1) <= WEIGHT_TOLERANCE
    problems = []
    if stray.any():
        problems.append(f"{int(stray.sum())} are negative or not finite")
    if not sums:
        problems.append(f"their sum is {total:.6g} where 1 would be right")
    if unlike.any():
        problems.append(f"{int(unlike.sum())} of {values.size} are not the class's share of the train split")
    evidence = [
        {"class": c, "weight": finite_or_name(values[c]), "expected": None if shares is None else float(shares[c])}
        for c in first_rows(stray | unlike)
    ]
    held = "" if shares is not None else "; they were not compared with the train split, whose counts are not known"
    findings = "; ".join(problems) if problems else "their sum is 1" + (" and they fit the train counts" * (not held))
    message = f"Of the class weights: {findings}{held}."
    return warning_check(check_id, not problems, {"sum": finite_or_name(total)}, right, message, evidence)


def _overlap_of_two(
    base: str, first: str, second: str, lists: Mapping[str, NDArray[np.int64]], listed: int | None
) -> Check:
    mine, rows = np.unique(lists[first], return_index=True)
    shared, places, _ = np.intersect1d(mine, np.unique(lists[second]), assume_unique=True, return_indices=True)
    order = np.argsort(rows[places])[:listed]  # as the first list has them
    evidence = [{"index": int(shared[place])} for place in order]
    message = (
        f"{shared.size} samples of {base!r} are in {first!r} and in {second!r}; what was chosen on one of them is "
        "not tested on the other."
        if shared.size
        else f"No sample of {base!r} is both in {first!r} and in {second!r}."
    )
    measured = {"base": base, "splits": [first, second], "shared": int(shared.size)}
    return warning_check("overlap", not shared.size, measured, {"shared": 0}, message, evidence)


def _usable(counts: NDArray[np.int64]) -> bool:
    return counts.ndim == 1 and counts.dtype.kind in "iu" and bool((counts >= 0).all()) and bool(counts.any())
