"""What a file of logits is held against, and the verdict on it.

The order of the checks is the order of the report. A check whose ground is missing, because an earlier one
failed, is skipped and names that one; everything that can still be said is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.verify import file_schema as form
from worker.verify.chance import check_accuracy
from worker.verify.check import Check, Level, skipped
from worker.verify.criteria import check_floors, check_train_counts
from worker.verify.file_schema import ARTIFACT, Form
from worker.verify.ground_truth import Truth
from worker.verify.lists import check_class_weights, check_missing_classes, check_repeats
from worker.verify.metrics.rows import RowScores, score_rows
from worker.verify.scale import check_raw_logits, scale_of
from worker.verify.similarity import check_constant
from worker.verify.summary_metrics import figures, no_figures


@dataclass(frozen=True)
class UnitReport:
    """The verdict on one file.

    Attributes:
        verdict: `failed` exactly when a check of level `error` failed.
        checks: every check, in a fixed order, done or skipped.
        metrics: `samples` (N), `classes` (C), the FIGURES, and `reasons`: why, for each of them that is None.
    """

    verdict: Literal["passed", "failed"]
    checks: tuple[Check, ...]
    metrics: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The report as it is stored and sent."""
        return {
            "verdict": self.verdict,
            "checks": [check.to_dict() for check in self.checks],
            "metrics": self.metrics,
        }


def verify_unit(
    arrays: Mapping[str, NDArray[Any]], truth: Truth, more: Sequence[Check] = (), kind: Form = ARTIFACT
) -> UnitReport:
    """Hold one file against the truth. Bad data fail a check; they raise nothing.

    The figures are computed only when it is certain which sample each row belongs to and what was predicted
    for it; otherwise they are None, with the reason.

    Args:
        arrays: as read from the file, with whatever names, shapes and dtypes it really has.
        truth: what they are held against.
        more: outcomes of checks of how the rows came about; they are part of the verdict.
        kind: what such a file should hold.
    """
    ground, blocker = _check_ground(arrays, truth, kind)
    lists = [check_repeats(truth.indices, truth.base), check_missing_classes(truth.labels, truth.classes)]
    lists += _check_train(truth)
    if blocker:
        reason = _because_of(blocker)
        of_figures = [
            skipped("raw-logits", "warning", reason),
            skipped("accuracy", "error", reason),
            skipped("constant", "warning", reason),
        ]
        values = no_figures(reason)
    else:
        logits, scores = arrays["logits"], scores_of(arrays, truth)
        scale = scale_of(logits)
        values = figures(scores, truth, scale.reason)
        confidence = logits.max(axis=1) if scale.kind == "probabilities" else scores.confidence  # [N]
        of_figures = [
            check_raw_logits(scale, truth.classes),
            check_accuracy(scores.predictions, scores.labels, confidence.astype(np.float64), truth.classes),
            check_constant(logits, scores.predictions, scores.labels),
        ]
    floors = check_floors(truth.standards.floors, values)
    done = (*ground, *more, *of_figures, *lists, *floors)
    size = {"samples": len(truth.labels), "classes": truth.classes}
    return UnitReport("failed" if any(check.fatal for check in done) else "passed", done, size | values)


def scores_of(arrays: Mapping[str, NDArray[Any]], truth: Truth) -> RowScores:
    """What each row contributes to the figures, for arrays that passed the checks of their form."""
    logits = arrays["logits"]
    predictions = arrays.get("predictions")
    if predictions is None:
        predictions = logits.argmax(axis=1)
    return score_rows(logits, np.asarray(predictions, np.int64), truth.labels)


def _check_ground(arrays: Mapping[str, NDArray[Any]], truth: Truth, kind: Form) -> tuple[list[Check], str | None]:
    """The checks of the arrays themselves, and the id of the first that leaves the figures without ground."""
    done: list[Check] = []
    broken: list[str] = []

    def attempt(check_id: str, needs: tuple[str, ...], run: Callable[[], Check]) -> None:
        blocker = next((name for name in broken if name in needs), None)  # the earliest is the cause
        check = skipped(check_id, "error", _because_of(blocker)) if blocker else run()
        if blocker or not _leaves_ground(check, arrays):
            broken.append(check_id)
        done.append(check)

    known = ("arrays", "shapes", "dtypes")
    attempt("arrays", (), lambda: form.check_arrays(arrays, kind))
    attempt("shapes", ("arrays",), lambda: form.check_shapes(arrays, len(truth.labels), truth.classes))
    attempt("dtypes", ("arrays",), lambda: form.check_dtypes(arrays, kind))
    attempt("finite", known, lambda: form.check_finite(arrays["logits"]))
    if "predictions" in arrays:
        attempt(
            "predictions",
            (*known, "finite"),
            lambda: form.check_predictions(arrays["logits"], arrays["predictions"]),
        )
    else:
        done.append(skipped("predictions", "error", "The file has no predictions; the largest logits are taken."))
    attempt("targets", known, lambda: form.check_targets(arrays.get("targets"), truth.labels, truth.classes))
    return done, broken[0] if broken else None


def _check_train(truth: Truth) -> list[Check]:
    """Whether the train split's counts and weights can be used; unusable ones cost figures, no verdict."""
    level: Level = "warning"
    if truth.train_counts is None:
        counts = skipped("train-counts", level, str(truth.counts_reason))
    else:
        counts = check_train_counts(truth.train_counts, truth.classes)
    if truth.weights is None:
        return [counts, skipped("class-weights", level, str(truth.weights_reason))]
    fit = truth.train_counts if counts.verdict == "passed" else None
    return [counts, check_class_weights(truth.weights, fit)]


def _leaves_ground(check: Check, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether later checks can run after this one: not only when it passed.

    One array too many or too few, or float64 where float32 is right, fails the file, but the rest can still be said.
    """
    if check.id == "arrays":
        return "logits" in arrays
    if check.id == "dtypes":
        kinds = {"logits": "f", "targets": "iu", "predictions": "iu"}
        known = all(arrays[name].dtype.kind in kinds[name] for name in kinds if name in arrays)
        return known and arrays["logits"].dtype.itemsize <= 8  # figures are in float64; a wider one would overflow it
    return check.verdict == "passed"


def _because_of(check_id: str) -> str:
    return f"Not done, because of the check {check_id!r}."
