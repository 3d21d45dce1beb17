"""Checks of a list's class counts, balance and row order against its files and its description.

All are warnings. Balance and order are always measured; the check fails only if a description contradicts them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.catalog.long_tail import Balance, balance_of
from app.domain.checks import Check, warning_check
from worker.verify.json_values import first_rows
from worker.verify.lists import check_class_weights

RowOrder = Literal["class-major", "ascending", "shuffled"]


def check_class_counts(
    labels: NDArray[np.int64], declared: NDArray[np.int64] | None, reason: str | None, classes: int
) -> Check:
    """Check declared class counts against the train list.

    `labels` are [N], each in [0, classes); `reason` is one sentence, why there are no counts [C].
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
    """Check class weights [C] against train counts; see `check_class_weights`."""
    check_id, expected = "class-weights", f"{classes} weights, one a class"
    if weights is None:
        return warning_check(check_id, False, "no weights", expected, f"No class weights can be used: {reason}")
    if weights.shape != (classes,):
        shape = f"an array of shape {list(weights.shape)}"
        return warning_check(check_id, False, shape, expected, f"The class weights are {shape}, not {expected}.")
    return check_class_weights(weights, counts)


def check_balance(labels: NDArray[np.int64], classes: int, declared: Balance | None) -> Check:
    """Check that a list has the declared balance; see `balance_of`.

    `labels` are [N], N ≥ 1, each in [0, classes).
    """
    counts = np.bincount(labels, minlength=classes)  # [C]
    present = counts[counts > 0]
    most, fewest = int(present.max()), int(present.min())
    factor = most / fewest
    balance = balance_of(counts) or "neither"
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
    by class may be both; a list that is neither is `shuffled`. `indices` and `labels` are [N].
    """
    descents = {"class-major": np.diff(labels) < 0, "ascending": np.diff(indices) < 0}  # [N−1] each
    orders = [name for name, descent in descents.items() if not descent.any()] or ["shuffled"]
    good = declared is None or declared in orders
    message = f"The rows are {' and '.join(orders)}"
    message += "." if good else f"; they are described as {declared}."
    evidence = [row + 1 for row in first_rows(descents[declared])] if not good and declared in descents else []
    expected = {"row_order": declared or "any"}
    return warning_check("row-order", good, {"row_order": orders}, expected, message, evidence)
