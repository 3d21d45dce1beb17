"""Checks of what figures are made with: train counts, and the floors that somebody has set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from worker.verify.check import MAX_EVIDENCE, Check, first_rows, skipped, warning_check


def check_overrides(dataset: str, overrides: int, unused: Sequence[str]) -> Check:
    """Check that every override of a data set matches a checkpoint file.

    Args:
        dataset: its name.
        overrides: how many it declares.
        unused: those that match none.
    """
    message = (
        f"In datasets.toml, the overrides {', '.join(unused)} of {dataset} match no checkpoint file, so none takes "
        "them. They are named after files, with the prefix and without the suffix: is a name misspelt?"
        if unused
        else f"Each of the {overrides} overrides of {dataset} matches a checkpoint file."
    )
    measured, expected = {"unused": len(unused)}, {"unused": 0}
    return warning_check("overrides", not unused, measured, expected, message, unused[:MAX_EVIDENCE])


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
