"""Checks of what a data set and a request declare: overrides, train counts and floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, Metrics, skipped, warning_check
from worker.verify.json_values import first_rows


def check_overrides(dataset: str, overrides: int, unused: Sequence[str]) -> Check:
    """Check that a data set's overrides match checkpoint files."""
    message = (
        f"In datasets.toml, the overrides {', '.join(unused)} of {dataset} match no checkpoint file, so none takes "
        "them. They are named after files, with the prefix and without the suffix: is a name misspelt?"
        if unused
        else f"Each of the {overrides} overrides of {dataset} matches a checkpoint file."
    )
    measured, expected = {"unused": len(unused)}, {"unused": 0}
    return warning_check("overrides", not unused, measured, expected, message, unused[:MAX_EVIDENCE])


def check_train_counts(counts: NDArray[Any], classes: int) -> Check:
    """Check that train counts are C non-negative whole numbers.

    They may have any shape and dtype. Without them there are no groups of classes.
    """
    right = f"{classes} whole numbers, none negative"
    if counts.shape != (classes,) or counts.dtype.kind not in "iu":
        actual = f"an array of shape {list(counts.shape)} and dtype {counts.dtype}"
        message = f"The train counts are {actual} where {right} are right."
        return warning_check("train-counts", False, actual, right, message)
    stray = counts < 0  # [C]
    evidence = [{"class": c, "count": int(counts[c])} for c in first_rows(stray)]
    message = (
        f"{int(stray.sum())} of the train counts are negative: {right} are right."
        if stray.any()
        else f"The train counts are {right}."
    )
    measured = {"sum": int(counts.sum()), "negative": int(stray.sum())}
    return warning_check("train-counts", not stray.any(), measured, right, message, evidence)


def check_floors(floors: Mapping[Any, float], metrics: Metrics) -> list[Check]:
    """Check accuracies against the floors that the request sets.

    A warning: how good an expert has to be is for its users to decide, and proves nothing about its logits.
    """
    checks = []
    for name, floor in floors.items():
        label, value = name.replace("_", " "), metrics.number(name)
        if value is None:
            reason = metrics.reasons.get(name, "It was not computed.")
            checks.append(skipped("floor", "warning", f"There is no {label} to compare with its floor. {reason}"))
            continue
        good = value >= floor
        message = f"The {label} of {value:.2%} is {'at least' if good else 'below'} its floor of {floor:.2%}."
        checks.append(warning_check("floor", good, {name: value}, {"at_least": floor}, message))
    return checks
