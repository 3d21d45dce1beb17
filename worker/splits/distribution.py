"""Checks of a list's class counts, balance and row order against its files and its description.

All are warnings. Balance and order are always measured; the check fails only if a description contradicts them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worker.verify.check import Check, first_rows, warning_check
from worker.verify.lists import check_class_weights

Balance = Literal["balanced", "long-tailed"]
RowOrder = Literal["class-major", "ascending", "shuffled"]

LONG_TAIL_FACTOR = 2.0
"""Least imbalance factor, max n_c / min n_c, of a long tail; MNIST has 1.24 and is not long-tailed."""
CHANCE_DEVIATIONS = 5.0
"""Standard deviations by which the dispersion of a random draw from equal classes may exceed its mean."""


def check_class_counts(
    labels: NDArray[np.int64], declared: NDArray[np.int64] | None, reason: str | None, classes: int
) -> Check:
    """Check that the declared class counts are those of the train list.

    Args:
        labels: [N] of the train list, each in [0, classes).
        declared: [C] n_c from the file; None if they cannot be used.
        reason: why they cannot be used, as one sentence.
        classes: C.
    """
    check_id = "class-counts"
    counted = np.bincount(labels, minlength=classes)  # [C]
    expected = "the rows of each class in the train list"
    if declared is None:
        return warning_check(check_id, False, "no counts", expected, f"No class counts can be used: {reason}")
    if declared.shape != counted.shape:
        shape = f"an array of shape {list(declared.shape)}"
        message = f"The declared class counts are {shape}; {classes} numbers, one a class, would be right."
        return warning_check(check_id, False, shape, expected, message)
    differing = declared != counted
    evidence = [{"class": c, "counted": int(counted[c]), "declared": int(declared[c])} for c in first_rows(differing)]
    wrong = int(differing.sum())
    message = (
        f"The declared counts of {wrong} of {classes} classes are not those of the train list, which has "
        f"{labels.size} rows; the declared counts sum to {int(declared.sum())}."
        if wrong
        else f"The declared counts are those of the train list: {labels.size} rows of {classes} classes."
    )
    return warning_check(check_id, not wrong, {"unlike": wrong}, {"unlike": 0}, message, evidence)


def check_weights(
    weights: NDArray[np.float64] | None, reason: str | None, counts: NDArray[np.int64] | None, classes: int
) -> Check:
    """Check the class weights against the train counts; see `check_class_weights`.

    Args:
        weights: [C] w_c from the file; None if they cannot be used.
        reason: why they cannot be used, as one sentence.
        counts: [C] samples of each class in the train list, or None.
        classes: C.
    """
    check_id, expected = "class-weights", f"{classes} weights, one a class"
    if weights is None:
        return warning_check(check_id, False, "no weights", expected, f"No class weights can be used: {reason}")
    if weights.shape != (classes,):
        shape = f"an array of shape {list(weights.shape)}"
        return warning_check(check_id, False, shape, expected, f"The class weights are {shape}, not {expected}.")
    return check_class_weights(weights, counts)


def check_balance(labels: NDArray[np.int64], classes: int, declared: Balance | None) -> Check:
    """Check that a list has the declared balance.

    `balanced`: the counts n_c of all classes are equal, ±1. `long-tailed`: among the classes present the imbalance
    factor max n_c / min n_c is 2 or more, and the index of dispersion Σ (n_c − n̄)² / n̄ exceeds its mean under a
    random draw from equal classes by five standard deviations. Under such a draw the index follows about χ² with
    C − 1 degrees of freedom: mean C − 1, standard deviation √(2(C − 1)). So a few rows drawn at random from a
    balanced base are `neither`, however large their factor.

    Args:
        labels: [N], N ≥ 1, each in [0, classes).
        classes: C.
        declared: the description's balance, or None.
    """
    counts = np.bincount(labels, minlength=classes)  # [C]
    present = counts[counts > 0]
    most, fewest = int(present.max()), int(present.min())
    factor = most / fewest
    balance = "neither"
    if most - int(counts.min()) <= 1:
        balance = "balanced"
    elif factor >= LONG_TAIL_FACTOR and _beyond_chance(present):
        balance = "long-tailed"
    measured = {
        "balance": balance,
        "imbalance_factor": factor,
        "most": most,
        "fewest": fewest,
        "classes": int(present.size),
    }
    good = declared in (None, balance)
    what = "neither balanced nor long-tailed" if balance == "neither" else balance
    message = (
        f"The list is {what}: {fewest} to {most} rows in each of {present.size} classes, a factor of {factor:.4g}"
    )
    message += "." if good else f"; it is described as {declared}."
    evidence: list[object] = []
    if not good:
        extremes = (int(counts.argmax()), int(counts.argmin()))
        evidence = [{"class": c, "rows": int(counts[c])} for c in extremes]
    return warning_check("balance", good, measured, {"balance": declared or "any"}, message, evidence)


def check_row_order(indices: NDArray[np.int64], labels: NDArray[np.int64], declared: RowOrder | None) -> Check:
    """Check that a list's rows have the declared order.

    `class-major`: the classes in order, one after another. `ascending`: by index. A list over a base that is sorted
    by class may be both; a list that is neither is `shuffled`.

    Args:
        indices: [N] into the base.
        labels: [N] of the list's rows.
        declared: the description's order, or None.
    """
    descents = {"class-major": np.diff(labels) < 0, "ascending": np.diff(indices) < 0}  # [N−1] each
    orders = [name for name, descent in descents.items() if not descent.any()] or ["shuffled"]
    good = declared is None or declared in orders
    message = f"The rows are {' and '.join(orders)}"
    message += "." if good else f"; they are described as {declared}."
    evidence = [row + 1 for row in first_rows(descents[declared])] if not good and declared in descents else []
    expected = {"row_order": declared or "any"}
    return warning_check("row-order", good, {"row_order": orders}, expected, message, evidence)


def _beyond_chance(counts: NDArray[np.int64]) -> bool:
    freedom = counts.size - 1
    mean = counts.mean()
    dispersion = float(((counts - mean) ** 2).sum() / mean)
    return dispersion > freedom + CHANCE_DEVIATIONS * float(np.sqrt(2 * freedom))
