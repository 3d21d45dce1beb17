"""How a list is spread over the classes and in which order it stands, held against what is said of it.

All are warnings. What a list is gets measured always; only a description that says otherwise makes it fail.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.catalog.long_tail import Balance, balance_of
from worker.verify.check import Check, first_rows, warning_check
from worker.verify.lists import check_class_weights

RowOrder = Literal["class-major", "ascending", "shuffled"]


def check_class_counts(
    labels: NDArray[np.int64], declared: NDArray[np.int64] | None, reason: str | None, classes: int
) -> Check:
    """The train list has as many rows of each class as the declared counts say.

    Args:
        labels: [N] of the train list, each in [0, classes).
        declared: [C] n_c, as the file says; None where there is none.
        reason: why there is none, as one sentence.
        classes: C.
    """
    check_id = "class-counts"
    counted = np.bincount(labels, minlength=classes)  # [C]
    expected = "the rows of each class in the train list"
    if declared is None:
        return warning_check(check_id, False, "no counts", expected, f"No class counts can be used: {reason}")
    if declared.shape != counted.shape:
        found = f"an array of shape {list(declared.shape)}"
        message = f"The declared class counts are {found} where {classes} numbers, one a class, would be right."
        return warning_check(check_id, False, found, expected, message)
    unlike = declared != counted
    evidence = [{"class": c, "counted": int(counted[c]), "declared": int(declared[c])} for c in first_rows(unlike)]
    wrong = int(unlike.sum())
    message = (
        f"The declared counts of {wrong} of {classes} classes are not those of the train list, which has "
        f"{labels.size} rows where they say {int(declared.sum())}."
        if wrong
        else f"The declared counts are those of the train list: {labels.size} rows of {classes} classes."
    )
    return warning_check(check_id, not wrong, {"unlike": wrong}, {"unlike": 0}, message, evidence)


def check_weights(
    weights: NDArray[np.float64] | None, reason: str | None, counts: NDArray[np.int64] | None, classes: int
) -> Check:
    """The class weights are there, one a class, and fit the train counts; see `check_class_weights`.

    Args:
        weights: [C] w_c, as the file says; None where there is none.
        reason: why there is none, as one sentence.
        counts: [C] samples of each class in the train list, or None.
        classes: C.
    """
    check_id, expected = "class-weights", f"{classes} weights, one a class"
    if weights is None:
        return warning_check(check_id, False, "no weights", expected, f"No class weights can be used: {reason}")
    if weights.shape != (classes,):
        found = f"an array of shape {list(weights.shape)}"
        return warning_check(check_id, False, found, expected, f"The class weights are {found}, not {expected}.")
    return check_class_weights(weights, counts)


def check_balance(labels: NDArray[np.int64], classes: int, declared: Balance | None) -> Check:
    """What the list's spread over the classes is, and that it is what is declared; see `balance_of`.

    Args:
        labels: [N], N ≥ 1, each in [0, classes).
        classes: C.
        declared: what a description says, or None.
    """
    counts = np.bincount(labels, minlength=classes)  # [C]
    there = counts[counts > 0]
    most, fewest = int(there.max()), int(there.min())
    factor = most / fewest
    balance = balance_of(counts) or "neither"
    measured = {
        "balance": balance,
        "imbalance_factor": factor,
        "most": most,
        "fewest": fewest,
        "classes": int(there.size),
    }
    good = declared in (None, balance)
    what = "neither balanced nor long-tailed" if balance == "neither" else balance
    message = f"The list is {what}: {fewest} to {most} rows in each of {there.size} classes, a factor of {factor:.4g}"
    message += "." if good else f"; it is described as {declared}."
    shown: list[object] = []
    if not good:
        ends = {"most": int(counts.argmax()), "fewest": int(counts.argmin())}
        shown = [{"class": c, "rows": int(counts[c])} for c in ends.values()]
    return warning_check("balance", good, measured, {"balance": declared or "any"}, message, shown)


def check_row_order(indices: NDArray[np.int64], labels: NDArray[np.int64], declared: RowOrder | None) -> Check:
    """In which order the rows stand, and that it is the declared one.

    `class-major`: the classes in order, one after another. `ascending`: by index. A list may be both, as over a
    base that is sorted by class; where it is none of them it is `shuffled`.

    Args:
        indices: [N] into the base.
        labels: [N] of its rows.
        declared: what a description says, or None.
    """
    falls = {"class-major": np.diff(labels) < 0, "ascending": np.diff(indices) < 0}  # [N−1] each
    orders = [name for name, fall in falls.items() if not fall.any()] or ["shuffled"]
    good = declared is None or declared in orders
    message = f"The rows are {' and '.join(orders)}"
    message += "." if good else f"; they are described as {declared}."
    evidence = [row + 1 for row in first_rows(falls[declared])] if not good and declared in falls else []
    expected = {"row_order": declared or "any"}
    return warning_check("row-order", good, {"row_order": orders}, expected, message, evidence)
