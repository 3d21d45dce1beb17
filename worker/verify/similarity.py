"""Checks of what is the same: outputs of one expert for all rows, of two experts, and data that units share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, error_check, skipped, warning_check

ROWS_AT_ONCE = 4096
OTHER_ROWS = 50  # an expert right on one in ten of these says another class at least once, but for 0.9^50 = 0.5 %
SAMPLE_ROWS = 256
FEWEST_ROWS = 10  # on one row of two classes any two experts have the likeness 1
COPY_LIKENESS = 0.9999
COPY_AGREEMENT = 0.9


def check_constant(
    logits: NDArray[np.floating[Any]], predictions: NDArray[np.int64], labels: NDArray[np.int64]
) -> Check:
    """Check that neither all logits nor all predictions are equal.

    Skipped where the same answer could be the right one: labels of one class only (they may be one sample many
    times). One class for every row fails if OTHER_ROWS rows are of other classes than the commonest label. `logits`
    are [N, C] finite, `predictions` and `labels` [N].
    """
    rows = len(labels)
    if rows < 2 or logits.shape[1] < 2 or bool((labels == labels[0]).all()):
        reason = "With fewer than two rows, two classes, or labels of two classes, constant outputs may be right."
        return skipped("constant", "warning", reason)
    same_logits = _all_rows_alike(logits)
    same_prediction = bool((predictions == predictions[0]).all())
    minority_rows = rows - int(np.unique(labels, return_counts=True)[1].max())
    good = not same_logits and not (same_prediction and minority_rows >= OTHER_ROWS)
    if same_logits:
        message = f"All {rows} rows have the same logits: the expert does not look at its images."
    elif not good:
        message = (
            f"All {rows} predictions are class {int(predictions[0])}, though {minority_rows} rows are not of the "
            "commonest class: the expert does not tell the samples apart."
        )
    elif same_prediction:
        message = f"All {rows} predictions are one class, but the rows are too few to blame the expert for it."
    else:
        message = "The logits and the predictions differ between rows."
    measured = {"same_logits": same_logits, "predicted_classes": int(np.unique(predictions).size)}
    expected = {"same_logits": False, "predicted_classes": "more than 1"}
    evidence = [] if good else [{"row": 0, "predicted": int(predictions[0])}]
    return warning_check("constant", good, measured, expected, message, evidence)


def sample_rows(n: int) -> NDArray[np.int64]:
    """Choose up to SAMPLE_ROWS evenly spaced places in 0…n−1, ascending."""
    count = min(n, SAMPLE_ROWS)
    return np.arange(count, dtype=np.int64) * n // max(count, 1)


def check_duplicates(split: str, samples: Mapping[str, NDArray[np.floating[Any]]]) -> Check:
    """Check that no two experts have the same outputs.

    They have when one file stands under two names. A pair is a copy from a likeness of COPY_LIKENESS and equal
    predictions on a share of COPY_AGREEMENT. The likeness is the cosine of the [n·C] vectors, Σ a'·b' / sqrt(Σ a'² ·
    Σ b'²), after each row's mean is subtracted: a shift of all logits of a row and a division by a temperature change
    no prediction, nor the likeness, so they do not hide a copy. Offsets of single classes (a logit adjustment) do
    change it: that is another expert. Measured: logits of a published ResNet-32 against their own float16 have 1 −
    2e-8 and 100 %, against their bfloat16 1 − 1e-6 and 99.6 %; three long-tail experts of one architecture among each
    other 0.72 to 0.88 and 48 to 64 %. The second condition is for classes that are masked with huge negative logits,
    which make any two alike. `samples` are [n, C] logits of each expert at the same rows, see `sample_rows`.
    """
    check_id = "duplicate-outputs"
    if len(samples) < 2:
        return skipped(check_id, "warning", f"On {split!r} there is no second expert to compare with.")
    compared, uneven, copies = 0, [], []
    highest: float | None = None
    sound = {name: rows for name, rows in samples.items() if rows.ndim == 2 and np.isfinite(rows).all()}
    centred = {name: _centred(rows) for name, rows in sound.items()}
    for (first, a), (second, b) in combinations(samples.items(), 2):
        if a.ndim != 2 or a.shape != b.shape:
            uneven.append(f"{first} {list(a.shape)} and {second} {list(b.shape)}")
            continue
        if len(a) < FEWEST_ROWS or a.shape[1] < 2 or first not in centred or second not in centred:
            continue
        compared += 1
        value = _cosine(centred[first], centred[second])
        agreement = float(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))
        highest = value if highest is None else max(highest, value)
        if value >= COPY_LIKENESS and agreement >= COPY_AGREEMENT:
            copies.append({"experts": [first, second], "likeness": value, "agreement": agreement})
    shapes = f" Not compared, because their shapes differ: {'; '.join(uneven[:MAX_EVIDENCE])}." if uneven else ""
    if not compared:
        few = (
            f"On {split!r} no two experts have {FEWEST_ROWS} rows of finite logits over the same classes to compare."
        )
        return skipped(check_id, "warning", few + shapes)
    message = (
        f"On {split!r} {len(copies)} of {compared} pairs of experts have the same outputs, as when one file stands "
        "under two names."
        if copies
        else f"On {split!r} no two experts have the same outputs."
    )
    measured = {"split": split, "compared_pairs": compared, "copies": len(copies), "highest_likeness": highest}
    expected = {"likeness_below": COPY_LIKENESS}
    return warning_check(check_id, not copies, measured, expected, message + shapes, copies[:MAX_EVIDENCE])


def check_targets_between_experts(split: str, digests: Mapping[str, str]) -> Check:
    """Check by sha256 that all experts wrote equal targets."""
    return _all_equal(
        "targets-between-experts", f"the same targets for the split {split!r}", {"split": split}, digests
    )


def check_data_between_units(base: str, digests: Mapping[str, str]) -> Check:
    """Check that a base's units had equal images and labels.

    `digests` are those of pixels and labels by "expert/split"; at least one.
    """
    what = f"the same data for the base {base!r}"
    return _all_equal("data-between-units", what, {"base": base}, digests)


def _all_equal(check_id: str, what: str, of: dict[str, str], digests: Mapping[str, str]) -> Check:
    if len(digests) < 2:
        return skipped(check_id, "error", f"Only {next(iter(digests))} has {what}; two are needed to compare.")
    holders: dict[str, list[str]] = {}
    for name, digest in digests.items():
        holders.setdefault(digest, []).append(name)
    good = len(holders) == 1
    message = f"All {len(digests)} have {what}." if good else f"Not all {len(digests)} have {what}, as they must."
    groups = [{"sha256": sha256, "of": names[:MAX_EVIDENCE]} for sha256, names in holders.items()]
    measured = of | {"compared": len(digests), "distinct": len(holders)}
    return error_check(check_id, good, measured, of | {"distinct": 1}, message, [] if good else groups[:MAX_EVIDENCE])


def _all_rows_alike(logits: NDArray[np.floating[Any]]) -> bool:
    """Tell whether rows are equal up to 4 rounding units."""
    first = np.abs(logits[0].astype(np.float64))
    unit = 4 * float(np.finfo(logits.dtype).eps)
    tolerance = unit * first + unit * np.median(first)  # [C]; summed first, the largest logits would overflow
    start, rows = 0, 8  # which differ already, as a rule
    while start < len(logits):
        block = logits[start : start + rows].astype(np.float64)
        with np.errstate(over="ignore"):  # further apart than float64 reaches is not alike
            if (np.abs(block - logits[0]) > tolerance).any():
                return False
        start, rows = start + rows, ROWS_AT_ONCE
    return True


def _centred(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Centre rows, and scale so that no square overflows."""
    values = logits.astype(np.float64)
    values /= float(np.abs(values).max(initial=0)) or 1.0  # before the mean, whose sum could overflow as well
    values -= values.mean(axis=1, keepdims=True)
    return values / (float(np.abs(values).max(initial=0)) or 1.0)


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Compute centred arrays' cosine similarity, 0 if one is constant."""
    scale = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.vdot(a, b)) / scale if scale else 0.0
