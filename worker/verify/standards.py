"""Checks of what figures are made with: train counts, and the floors that somebody has set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from worker.verify.check import Check, first_rows, skipped, warning_check


def check_train_counts(counts: NDArray[Any], classes: int) -> Check:
    """The train counts are C whole numbers, none negative; without them there are no groups of classes.

    Args:
        counts: one for each class; any shape and dtype.
        classes: C.
    """
    right = f"{classes} whole numbers, none negative"
    if counts.shape != (classes,) or counts.dtype.kind not in "iu":
        found = f"an array of shape {list(counts.shape)} and dtype {counts.dtype}"
        message = f"The train counts are {found} where {right} are right."
        return warning_check("train-counts", False, found, right, message)
    stray = counts < 0  # [C]
    evidence = [{"class": c, "count": int(counts[c])} for c in first_rows(stray)]
    message = (
        f"{int(stray.sum())} of the train counts are negative: {right} are right."
        if stray.any()
        else f"The train counts are {right}."
    )
    measured = {"sum": int(counts.sum()), "negative": int(stray.sum())}
    return warning_check("train-counts", not stray.any(), measured, right, message, evidence)


def check_floors(floors: Mapping[Any, float], figures: Mapping[str, Any]) -> list[Check]:
    """Each accuracy that a floor was set for is at least that: one check for each.

    A warning: how good an expert has to be is for its users to say, and says nothing of whether its logits are right.

    Args:
        floors: lowest fraction by the accuracy's name.
        figures: the figures, with `reasons` for those that are None.
    """
    checks = []
    for name, floor in floors.items():
        said, value = name.replace("_", " "), figures.get(name)
        if value is None:
            reason = figures["reasons"].get(name, "It was not computed.")
            checks.append(skipped("floor", "warning", f"There is no {said} to hold against its floor. {reason}"))
            continue
        good = value >= floor
        message = f"The {said} of {value:.2%} is {'at least' if good else 'below'} its floor of {floor:.2%}."
        checks.append(warning_check("floor", good, {name: value}, {"at_least": floor}, message))
    return checks
