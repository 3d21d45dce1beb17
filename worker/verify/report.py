"""All checks of one file of logits, as its report.

The order of the checks is the order of the report. A check that needs what an earlier one found missing is skipped
and names that one; all other checks are done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.checks import Check, Level, ResultReport, skipped
from worker.verify import file_schema as form
from worker.verify.chance import check_accuracy
from worker.verify.criteria import check_floors, check_train_counts
from worker.verify.file_schema import ARTIFACT, Form
from worker.verify.ground_truth import Truth
from worker.verify.lists import check_class_weights, check_missing_classes, check_repeats
from worker.verify.metrics.rows import RowScores, score_rows
from worker.verify.row_samples import check_samples
from worker.verify.scale import check_raw_logits, scale_of
from worker.verify.similarity import check_constant
from worker.verify.summary_metrics import figures, no_figures


def verify_unit(
    arrays: Mapping[str, NDArray[Any]], truth: Truth, more: Sequence[Check] = (), kind: Form = ARTIFACT
) -> ResultReport:
    """Check one file of logits, and compute its metrics.

    Bad data fail a check and raise nothing. Metrics are computed only where it is certain which sample each row
    belongs to and what was predicted for it; otherwise they are None, with the reason. `more` are checks of how the
    rows were computed, part of the verdict; `kind` is what such a file should hold.
    """
    array_checks, blocker = _check_arrays(arrays, truth, kind)
    split_checks = [check_repeats(truth.indices, truth.base), check_missing_classes(truth.labels, truth.classes)]
    split_checks += _check_train_part(truth)
    if blocker:
        reason = _because_of(blocker)
        row_checks = [
            skipped("raw-logits", "warning", reason),
            skipped("accuracy", "error", reason),
            skipped("constant", "warning", reason),
        ]
        metrics = no_figures(reason)
    else:
        logits, scores = arrays["logits"], scores_of(arrays, truth)
        scale = scale_of(logits)
        metrics = figures(scores, truth, scale.reason)
        confidence = logits.max(axis=1) if scale.kind == "probabilities" else scores.confidence  # [N]
        row_checks = [
            check_raw_logits(scale, truth.classes),
            check_accuracy(scores.predictions, scores.labels, confidence.astype(np.float64), truth.classes),
            check_constant(logits, scores.predictions, scores.labels),
        ]
    floors = check_floors(truth.standards.floors, metrics)
    size = {"samples": len(truth.labels), "classes": truth.classes}
    sized = replace(metrics, values=size | dict(metrics.values))
    return ResultReport.of((*array_checks, *more, *row_checks, *split_checks, *floors), sized)


def scores_of(arrays: Mapping[str, NDArray[Any]], truth: Truth) -> RowScores:
    """Compute each row's contribution to the metrics.

    The arrays have to pass `_check_arrays` first.
    """
    logits = arrays["logits"]
    predictions = arrays.get("predictions")
    if predictions is None:
        predictions = logits.argmax(axis=1)
    return score_rows(logits, np.asarray(predictions, np.int64), truth.labels)


def _check_arrays(arrays: Mapping[str, NDArray[Any]], truth: Truth, kind: Form) -> tuple[list[Check], str | None]:
    """Check arrays; name the check that rules metrics out."""
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
            "predictions", (*known, "finite"), lambda: form.check_predictions(arrays["logits"], arrays["predictions"])
        )
    else:
        done.append(skipped("predictions", "error", "The file has no predictions; the largest logits are taken."))
    attempt("targets", known, lambda: form.check_targets(arrays.get("targets"), truth.labels, truth.classes))
    if any(name in arrays for name in kind.optional):
        attempt("samples", (), lambda: check_samples(arrays, truth.indices, truth.base))
    return done, broken[0] if broken else None


def _check_train_part(truth: Truth) -> list[Check]:
    """Check the train counts and weights; these fail no verdict."""
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
    """Tell whether later checks can run after this one.

    One array too many or too few, or float64 where float32 is right, fails the file, but its rows can be checked.
    """
    if check.id == "arrays":
        return "logits" in arrays
    if check.id == "dtypes":
        kinds = {"logits": "f", "targets": "iu", "predictions": "iu"}
        known = all(arrays[name].dtype.kind in kinds[name] for name in kinds if name in arrays)
        return known and arrays["logits"].dtype.itemsize <= 8  # metrics are float64; a wider dtype would overflow
    return check.verdict == "passed"


def _because_of(check_id: str) -> str:
    return f"Not done, because of the check {check_id!r}."
