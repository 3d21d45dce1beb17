"""What an artifact is held against, and the verdict on it.

The order of the checks is the order of the report. A check whose ground is missing, because an earlier one
failed, is skipped and names that one; everything that can still be said is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.verify import checks, metrics
from worker.verify.checks import Check

FIGURES = ("accuracy", "balanced_accuracy", "reweighted_accuracy", "head_accuracy", "tail_accuracy")


@dataclass(frozen=True, eq=False)
class Truth:
    """What the artifact of one (expert, split) is held against.

    Attributes:
        labels: [N] int64, the data set's labels at the split's indices, in the split's order.
        classes: C ≥ 1.
        train_counts: [C] int64 samples of each class in the train split, or None.
        weights: [C] float64 class weights, or None.
        counts_reason: one sentence, why `train_counts` is None; None exactly when it is not.
        weights_reason: the same for `weights`.

    Raises:
        ValueError: labels of another rank or no integers, no class, or a None without its reason.
    """

    labels: NDArray[np.int64]
    classes: int
    train_counts: NDArray[np.int64] | None
    weights: NDArray[np.float64] | None
    counts_reason: str | None
    weights_reason: str | None

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != np.int64:
            raise ValueError(f"labels must be int64 [N], not {self.labels.dtype} {list(self.labels.shape)}")
        if self.classes < 1:
            raise ValueError(f"classes must be at least 1, not {self.classes}")
        if (self.train_counts is None) != bool(self.counts_reason):
            raise ValueError("give train_counts, or counts_reason that says why there are none; not both")
        if (self.weights is None) != bool(self.weights_reason):
            raise ValueError("give weights, or weights_reason that says why there are none; not both")


@dataclass(frozen=True)
class UnitReport:
    """The verdict on one artifact.

    Attributes:
        verdict: `failed` exactly when a check of level `error` failed.
        checks: every check, in a fixed order, done or skipped.
        metrics: `samples` (N), `classes` (C), the FIGURES as fractions or None, and `reasons`: why, for each
            figure that is None.
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


def verify_unit(arrays: Mapping[str, NDArray[Any]], truth: Truth, more: Sequence[Check] = ()) -> UnitReport:
    """Hold one artifact against the truth. Bad data fail a check; they raise nothing.

    The figures are computed only when it is certain which sample each row belongs to and what was predicted
    for it; otherwise they are None, with the reason.

    Args:
        arrays: `logits` (N, C) float32, `targets` (N,) int64 and `predictions` (N,) int64, as read back from
            the file, with whatever names, shapes and dtypes the file really has.
        truth: what they are held against.
        more: outcomes of checks of how the rows came about; they are part of the verdict.

    Returns:
        The report; its checks are `arrays`, `shapes`, `dtypes`, `finite`, `predictions`, `targets`,
        `accuracy`, `reweighted-accuracy` and `head-tail-accuracy`.
    """
    ground, broken = _check_ground(arrays, truth)
    if broken:
        reason = _because_of(broken[0])
        figures: tuple[Check, ...] = (
            checks.skipped("accuracy", "warning", reason),
            checks.skipped("reweighted-accuracy", "warning", reason),
            checks.skipped("head-tail-accuracy", "warning", reason),
        )
        values: dict[str, Any] = dict.fromkeys(FIGURES)
        values["reasons"] = dict.fromkeys(FIGURES, reason)
    else:
        figures, values = _figures(arrays["predictions"], truth)
    done = (*ground, *more, *figures)
    failed = any(check.level == "error" and check.verdict == "failed" for check in done)
    size = {"samples": len(truth.labels), "classes": truth.classes}
    return UnitReport("failed" if failed else "passed", done, size | values)


def _check_ground(arrays: Mapping[str, NDArray[Any]], truth: Truth) -> tuple[list[Check], list[str]]:
    """The checks of the arrays themselves, and the ids of those that leave later ones without ground."""
    done: list[Check] = []
    broken: list[str] = []

    def attempt(check_id: str, needs: tuple[str, ...], run: Callable[[], Check]) -> None:
        blocker = next((name for name in broken if name in needs), None)  # the earliest is the cause
        check = checks.skipped(check_id, "error", _because_of(blocker)) if blocker else run()
        if blocker or not _leaves_ground(check, arrays):
            broken.append(check_id)
        done.append(check)

    form = ("arrays", "shapes", "dtypes")
    attempt("arrays", (), lambda: checks.check_arrays(arrays))
    attempt("shapes", ("arrays",), lambda: checks.check_shapes(arrays, len(truth.labels), truth.classes))
    attempt("dtypes", ("arrays",), lambda: checks.check_dtypes(arrays))
    attempt("finite", form, lambda: checks.check_finite(arrays["logits"]))
    attempt(
        "predictions",
        (*form, "finite"),
        lambda: checks.check_predictions(arrays["logits"], arrays["predictions"]),
    )
    attempt("targets", form, lambda: checks.check_targets(arrays["targets"], truth.labels, truth.classes))
    return done, broken


def _leaves_ground(check: Check, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether later checks can run after this one: not only when it passed.

    One array too many, or float64 where float32 is right, fails the artifact, but the rest can still be said.
    """
    if check.id == "arrays":
        return arrays.keys() >= checks.DTYPES.keys()
    if check.id == "dtypes":
        return arrays["logits"].dtype.kind == "f" and all(
            arrays[name].dtype.kind in "iu" for name in ("targets", "predictions")
        )
    return check.verdict == "passed"


def _figures(predictions: NDArray[np.int64], truth: Truth) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """The checks of the figures, and the figures with their reasons. All ground checks must have held."""
    labels, classes = truth.labels, truth.classes
    accuracies = metrics.class_accuracies(predictions, labels, classes)
    plain = metrics.accuracy(predictions, labels)
    if truth.weights is None:
        reweighted = checks.skipped("reweighted-accuracy", "warning", str(truth.weights_reason))
    else:
        reweighted = checks.check_reweighted_accuracy(accuracies, truth.weights)
    if truth.train_counts is None:
        head_tail = checks.skipped("head-tail-accuracy", "warning", str(truth.counts_reason))
    else:
        head_tail = checks.check_head_tail_accuracy(predictions, labels, truth.train_counts, classes)

    values: dict[str, Any] = dict.fromkeys(FIGURES)
    values["accuracy"] = plain
    values["balanced_accuracy"] = metrics.balanced_accuracy(accuracies)
    if reweighted.verdict == "passed":
        values["reweighted_accuracy"] = reweighted.measured
    if head_tail.verdict == "passed":
        values |= head_tail.measured
    # Of these two, a check without its figure says why; a passed one has a None only for a group without rows.
    why = {"reweighted_accuracy": reweighted.message}
    for name in ("head_accuracy", "tail_accuracy"):
        passed = head_tail.verdict == "passed"
        why[name] = f"The split has no row of a {name[:4]} class." if passed else head_tail.message
    values["reasons"] = {name: reason for name, reason in why.items() if values[name] is None}
    return (checks.check_accuracy(plain, len(labels), classes), reweighted, head_tail), values


def _because_of(check_id: str) -> str:
    return f"Not done, because of the check {check_id!r}."
