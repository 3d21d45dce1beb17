"""Checks of the arrays in a file of logits: names, shapes, dtypes, finite values, predictions and targets.

A check never raises on bad data; it fails. Each function states what must already hold for it to run;
`worker.verify.report` decides which can run, and reports the others as skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Check, error_check
from worker.verify.json_values import finite_or_name, first_rows


@dataclass(frozen=True)
class Form:
    """What a kind of file holds: the dtypes that each of its arrays may have, by name, in the file's order."""

    dtypes: Mapping[str, tuple[str, ...]]
    holder: str = "The file"
    """What holds the arrays, as the subject of a sentence."""
    optional: tuple[str, ...] = ()
    """Arrays that the file may hold besides."""


SAMPLES = ("sample_index", "base")
"""The samples of the rows, which `relogit download --with-index` adds: int64 [N], and a text []."""
ARTIFACT = Form({"logits": ("float32",), "targets": ("int64",), "predictions": ("int64",)}, optional=SAMPLES)
"""An .npz of relogit's, or of the scripts that it replaces."""
BARE = Form({"logits": ("float16", "float32")})
"""A tensor alone: targets are the split's labels, predictions the largest logits."""
BARE_WITH_TARGETS = Form(
    {**BARE.dtypes, "targets": ("int64", "int32", "uint8")}, "The file with the targets file beside it"
)
"""A tensor whose targets lie in a file of their own."""


def check_arrays(arrays: Mapping[str, NDArray[Any]], form: Form = ARTIFACT) -> Check:
    """Check that a file holds exactly its form's arrays, but for optional ones."""
    names, expected = sorted(name for name in arrays if name not in form.optional), sorted(form.dtypes)
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in names if name not in form.dtypes]
    if missing or extra:
        message = (
            f"{form.holder} must hold exactly {', '.join(expected)}; "
            f"missing: {', '.join(missing) or 'none'}; too many: {', '.join(extra) or 'none'}."
        )
    else:
        message = f"{form.holder} holds exactly {', '.join(expected)}."
    return error_check("arrays", not (missing or extra), names, expected, message)


def check_shapes(arrays: Mapping[str, NDArray[Any]], samples: int, classes: int) -> Check:
    """Check shapes: logits [N, C], targets and predictions [N], N ≥ 1.

    Needs the logits; `samples` is N, the rows of the split.
    """
    right = {"logits": [samples, classes], "targets": [samples], "predictions": [samples]}
    expected = {name: shape for name, shape in right.items() if name in arrays}
    measured = {name: list(arrays[name].shape) for name in expected}
    wrong = [
        f"{name} has shape {measured[name]} where {expected[name]} is right"
        for name in expected
        if measured[name] != expected[name]
    ]
    if samples == 0:  # every later check would pass on nothing
        message = "The split has no samples, so nothing can be verified; it needs at least one."
    elif wrong:
        message = f"For {samples} samples of the split and {classes} classes, {'; '.join(wrong)}."
    else:
        message = f"All arrays have the shapes of {samples} samples and {classes} classes."
    return error_check("shapes", samples > 0 and not wrong, measured, expected, message)


def check_dtypes(arrays: Mapping[str, NDArray[Any]], form: Form = ARTIFACT) -> Check:
    """Check that arrays have one of their form's dtypes."""
    measured = {name: str(arrays[name].dtype) for name in form.dtypes if name in arrays}
    expected = {name: " or ".join(form.dtypes[name]) for name in measured}
    wrong = [
        f"{name} is {measured[name]} where {expected[name]} is right"
        for name in measured
        if measured[name] not in form.dtypes[name]
    ]
    message = f"{'; '.join(wrong)}." if wrong else "All arrays have the dtypes of such a file."
    return error_check("dtypes", not wrong, measured, expected, message)


def check_finite(logits: NDArray[np.floating[Any]]) -> Check:
    """Check that logits [N, C] are all finite."""
    finite = np.isfinite(logits)  # [N, C]
    if finite.all():  # as a rule; to look row by row takes several times as long
        return error_check("finite", True, {"rows": 0}, {"rows": 0}, "Every logit is finite.")
    bad = ~finite
    rows = bad.any(axis=1)  # [N]
    count = int(rows.sum())
    message = f"{count} of {len(logits)} rows hold NaN or infinity; every logit must be finite."
    evidence = []
    for row in first_rows(rows):
        column = int(bad[row].argmax())
        evidence.append({"row": row, "class": column, "value": finite_or_name(logits[row, column])})
    return error_check("finite", False, {"rows": count}, {"rows": 0}, message, evidence)


def check_predictions(logits: NDArray[np.floating[Any]], predictions: NDArray[np.integer[Any]]) -> Check:
    """Check that each prediction is its row's argmax.

    Where several classes tie, the first of them is right. Needs finite logits [N, C] and integer predictions [N].
    """
    expected = logits.argmax(axis=1)  # [N]; numpy takes the first maximum
    largest = logits == logits[np.arange(len(logits)), expected][:, None]  # [N, C]
    # One largest logit a row is the rule; to look row by row takes several times as long.
    ties = np.count_nonzero(largest) > len(logits)
    tied = largest.sum(axis=1) > 1 if ties else np.zeros(len(logits), bool)  # [N]
    wrong = predictions != expected
    count = int(wrong.sum())
    message = (
        f"{count} of {len(logits)} predictions are not the class of the row's first largest logit."
        if count
        else "Every prediction is the class of the row's first largest logit."
    )
    evidence = [
        {"row": row, "found": int(predictions[row]), "expected": int(expected[row]), "tied": bool(tied[row])}
        for row in first_rows(wrong)
    ]
    measured = {"differing_rows": count, "tied_rows": int(tied.sum())}
    return error_check("predictions", not count, measured, {"differing_rows": 0}, message, evidence)


def check_targets(targets: NDArray[np.integer[Any]] | None, labels: NDArray[np.int64], classes: int) -> Check:
    """Check that targets are the labels at the split's indices.

    A label has to be a class, 0…classes−1. Needs integer targets [N], or None where the file has none, and labels
    [N], in the split's order.
    """
    stray = (labels < 0) | (labels >= classes)  # [N]
    differing = np.zeros_like(stray) if targets is None else targets != labels  # [N]
    wrong = stray | differing
    measured = {"differing_rows": int(differing.sum()), "labels_out_of_range": int(stray.sum())}
    if stray.any():
        message = (
            f"{measured['labels_out_of_range']} labels of the data set are not among the classes "
            f"0 to {classes - 1}, so the class count does not fit the labels."
        )
    elif differing.any():
        message = (
            f"{measured['differing_rows']} of {len(labels)} targets are not the data set's labels "
            "at the split's indices."
        )
    elif targets is None:
        message = "The file has no targets; those of the data set at the split's indices are taken."
    else:
        message = "Every target is the data set's label at the split's index."
    evidence = [
        {"row": row, "found": None if targets is None else int(targets[row]), "expected": int(labels[row])}
        for row in first_rows(wrong)
    ]
    expected = {"differing_rows": 0, "labels_out_of_range": 0}
    return error_check("targets", not wrong.any(), measured, expected, message, evidence)
