"""A right artifact, its truth, and what every report owes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import MAX_EVIDENCE, Check, ResultReport
from app.domain.standards import Standards
from worker.verify.file_schema import ARTIFACT, Form
from worker.verify.ground_truth import Truth
from worker.verify.report import verify_unit
from worker.verify.summary_metrics import FIGURES

Arrays = dict[str, NDArray[Any]]

ROWS, CLASSES = 60, 4
LABELS = np.random.default_rng(7).permutation(np.arange(ROWS) % CLASSES)  # 15 of each class, mixed
COUNTS = np.array([101, 21, 20, 5])
CHECK_IDS = [
    *("arrays", "shapes", "dtypes", "finite", "predictions", "targets", "raw-logits", "accuracy", "constant"),
    *("repeats", "missing-classes", "train-counts", "class-weights"),
]


def truth_of(labels: NDArray[np.int64], classes: int = CLASSES) -> Truth:
    """Of a split that has every sample once, without anything known of the train part."""
    return Truth(
        labels=labels,
        classes=classes,
        base="test",
        indices=np.arange(len(labels)),
        train_counts=None,
        weights=None,
        counts_reason="There are no train labels.",
        weights_reason="There is no weights file.",
        standards=Standards(),
    )


TRUTH = replace(
    truth_of(LABELS), train_counts=COUNTS, weights=COUNTS / COUNTS.sum(), counts_reason=None, weights_reason=None
)


def good(labels: NDArray[np.int64] = LABELS, classes: int = CLASSES) -> Arrays:
    """A right artifact whose expert knows every class but the last, which it takes for the first."""
    logits = np.random.default_rng(1).random((len(labels), classes), dtype=np.float32)
    believed = np.where(labels == classes - 1, 0, labels)
    logits[np.arange(len(labels)), believed] += 2
    return {"logits": logits, "targets": labels.copy(), "predictions": logits.argmax(axis=1)}


def verify(arrays: Arrays, truth: Truth = TRUTH, kind: Form = ARTIFACT) -> tuple[ResultReport, dict[str, Check]]:
    report = verify_unit(arrays, truth, kind=kind)
    # What every report owes: all checks in order, strict JSON, the verdict's rule, a reason for each None.
    assert [check.id for check in report.checks] == CHECK_IDS + ["floor"] * len(truth.standards.floors)
    json.dumps(report.to_dict(), allow_nan=False)
    failed = any(check.level == "error" and check.verdict == "failed" for check in report.checks)
    assert report.verdict == ("failed" if failed else "passed")
    assert all(check.message.endswith(".") for check in report.checks)
    assert all(len(check.evidence) <= MAX_EVIDENCE for check in report.checks)
    values = report.metrics.values
    assert values.keys() == {"samples", "classes", *FIGURES}
    assert set(report.metrics.reasons) == {name for name in FIGURES if values[name] is None}
    return report, {check.id: check for check in report.checks}


def verdicts(checks: dict[str, Check], verdict: str) -> set[str]:
    return {check.id for check in checks.values() if check.verdict == verdict}
