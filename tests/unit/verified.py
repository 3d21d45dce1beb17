"""A right artifact, its truth, and what every report owes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.verify.checks import MAX_EVIDENCE, Check
from worker.verify.report import FIGURES, Truth, UnitReport, verify_unit

Arrays = dict[str, NDArray[Any]]

ROWS, CLASSES = 60, 4
LABELS = np.random.default_rng(7).permutation(np.arange(ROWS) % CLASSES)  # 15 of each class, mixed
TRUTH = Truth(
    labels=LABELS,
    classes=CLASSES,
    train_counts=np.array([100, 21, 20, 5]),
    weights=np.array([0.4, 0.3, 0.2, 0.1]),
    counts_reason=None,
    weights_reason=None,
)
CHECK_IDS = [
    "arrays",
    "shapes",
    "dtypes",
    "finite",
    "predictions",
    "targets",
    "accuracy",
    "reweighted-accuracy",
    "head-tail-accuracy",
]


def good(labels: NDArray[np.int64] = LABELS, classes: int = CLASSES) -> Arrays:
    """A right artifact whose expert knows every class but the last, which it takes for the first."""
    logits = np.random.default_rng(1).random((len(labels), classes), dtype=np.float32)
    believed = np.where(labels == classes - 1, 0, labels)
    logits[np.arange(len(labels)), believed] += 2
    return {"logits": logits, "targets": labels.copy(), "predictions": logits.argmax(axis=1)}


def verify(arrays: Arrays, truth: Truth = TRUTH) -> tuple[UnitReport, dict[str, Check]]:
    report = verify_unit(arrays, truth)
    # What every report owes: all checks in order, strict JSON, the verdict's rule, a reason for each None.
    assert [check.id for check in report.checks] == CHECK_IDS
    json.dumps(report.to_dict(), allow_nan=False)
    failed = any(check.level == "error" and check.verdict == "failed" for check in report.checks)
    assert report.verdict == ("failed" if failed else "passed")
    assert all(check.message.endswith(".") for check in report.checks)
    assert all(len(check.evidence) <= MAX_EVIDENCE for check in report.checks)
    assert report.metrics.keys() == {"samples", "classes", "reasons", *FIGURES}
    assert set(report.metrics["reasons"]) == {name for name in FIGURES if report.metrics[name] is None}
    return report, {check.id: check for check in report.checks}


def verdicts(checks: dict[str, Check], verdict: str) -> set[str]:
    return {check.id for check in checks.values() if check.verdict == verdict}
