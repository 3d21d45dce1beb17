"""The checks: each looks at one thing, and says what it measured and what that was held against.

A check never raises on bad data; it fails. Each function states what must already hold for it to run;
`worker.verify.report` decides which can run, and reports the others as skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.verify import metrics

DTYPES = {"logits": "float32", "targets": "int64", "predictions": "int64"}  # of an artifact, in its order
MAX_EVIDENCE = 10  # rows; enough to see a pattern, little enough to read
CHANCE_DEVIATIONS = 3  # binomial standard deviations above 1/C; a guesser gets there about once in 700 large splits

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check. All values are JSON-able, without NaN or infinity.

    Attributes:
        id: kebab-case name, stable between versions.
        level: whether a failure fails the artifact (`error`) or only says so (`warning`).
        verdict: `skipped` where it could not be done; the message says why.
        measured: what was found; None when skipped.
        expected: what it was held against; None when skipped.
        message: one sentence.
        evidence: the first offending rows or classes, at most MAX_EVIDENCE.
    """

    id: str
    level: Level
    verdict: Literal["passed", "failed", "skipped"]
    measured: Any
    expected: Any
    message: str
    evidence: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The check as it is stored and sent."""
        return asdict(self) | {"evidence": list(self.evidence)}


def skipped(check_id: str, level: Level, reason: str) -> Check:
    """A check that could not be done, with the reason as one sentence."""
    return Check(check_id, level, "skipped", None, None, reason)


def check_arrays(arrays: Mapping[str, NDArray[Any]]) -> Check:
    """The file holds exactly the arrays of DTYPES."""
    found, expected = sorted(arrays), sorted(DTYPES)
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in found if name not in DTYPES]
    if missing or extra:
        message = (
            f"The file must hold exactly {_listed(expected)}; "
            f"missing: {_listed(missing)}; too many: {_listed(extra)}."
        )
    else:
        message = f"The file holds exactly {_listed(expected)}."
    return error_check("arrays", not (missing or extra), found, expected, message)


def check_shapes(arrays: Mapping[str, NDArray[Any]], samples: int, classes: int) -> Check:
    """Logits are (N, C), targets and predictions (N,), and there is at least one row.

    Needs the three arrays. `samples` is the number of rows that the split asks for, N; `classes` is C.
    """
    expected = {"logits": [samples, classes], "targets": [samples], "predictions": [samples]}
    measured = {name: list(arrays[name].shape) for name in expected}
    wrong = [
        f"{name} has shape {measured[name]} where {expected[name]} is right"
        for name in expected
        if measured[name] != expected[name]
    ]
    if samples == 0:  # every later check would pass on nothing
        message = "The split has no samples, so nothing can be verified; it needs at least one."
    elif wrong:
        message = f"For {samples} samples and {classes} classes, {'; '.join(wrong)}."
    else:
        message = f"All arrays have the shapes of {samples} samples and {classes} classes."
    return error_check("shapes", samples > 0 and not wrong, measured, expected, message)


def check_dtypes(arrays: Mapping[str, NDArray[Any]]) -> Check:
    """Logits are float32, targets and predictions int64. Needs the three arrays."""
    measured = {name: str(arrays[name].dtype) for name in DTYPES}
    wrong = [
        f"{name} is {measured[name]} where {right} is right"
        for name, right in DTYPES.items()
        if measured[name] != right
    ]
    message = f"{'; '.join(wrong)}." if wrong else "All arrays have the dtypes of an artifact."
    return error_check("dtypes", not wrong, measured, dict(DTYPES), message)


def check_finite(logits: NDArray[np.floating[Any]]) -> Check:
    """No logit is NaN or infinite. Needs [N, C] of any float dtype."""
    bad = ~np.isfinite(logits)  # [N, C]
    rows = bad.any(axis=1)  # [N]
    count = int(rows.sum())
    message = (
        f"{count} of {len(logits)} rows hold NaN or infinity; every logit must be finite."
        if count
        else "Every logit is finite."
    )
    evidence = []
    for row in _first(rows):
        column = int(bad[row].argmax())
        evidence.append({"row": row, "class": column, "value": _number(logits[row, column])})
    return error_check("finite", not count, {"rows": count}, {"rows": 0}, message, evidence)


def check_predictions(logits: NDArray[np.floating[Any]], predictions: NDArray[np.integer[Any]]) -> Check:
    """Each prediction is the argmax of its row; where several classes tie, the first of them.

    Needs finite logits [N, C] and integer predictions [N].
    """
    expected = logits.argmax(axis=1)  # [N]; numpy takes the first maximum
    tied = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1  # [N]
    wrong = predictions != expected
    count = int(wrong.sum())
    message = (
        f"{count} of {len(logits)} predictions are not the class of the row's first largest logit."
        if count
        else "Every prediction is the class of the row's first largest logit."
    )
    evidence = [
        {"row": row, "found": int(predictions[row]), "expected": int(expected[row]), "tied": bool(tied[row])}
        for row in _first(wrong)
    ]
    measured = {"differing_rows": count, "tied_rows": int(tied.sum())}
    return error_check("predictions", not count, measured, {"differing_rows": 0}, message, evidence)


def check_targets(targets: NDArray[np.integer[Any]], labels: NDArray[np.int64], classes: int) -> Check:
    """Each target is the data set's label at the split's index, and that label is a class, 0…classes−1.

    Needs integer targets [N] and labels [N], in the split's order.
    """
    stray = (labels < 0) | (labels >= classes)  # [N]
    differing = targets != labels  # [N]
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
    else:
        message = "Every target is the data set's label at the split's index."
    evidence = [{"row": row, "found": int(targets[row]), "expected": int(labels[row])} for row in _first(wrong)]
    expected = {"differing_rows": 0, "labels_out_of_range": 0}
    return error_check("targets", not wrong.any(), measured, expected, message, evidence)


def check_accuracy(value: float, samples: int, classes: int) -> Check:
    """A warning unless the accuracy is better than guessing: above 1/C by 3 binomial standard deviations.

    The bound is p + 3·sqrt(p·(1−p)/N) with p = 1/C: what equal guesses over C classes hardly ever reach.
    Skipped where even perfect predictions could not pass it.

    Args:
        value: the accuracy, 0…1.
        samples: N ≥ 1.
        classes: C ≥ 1.
    """
    chance = 1 / classes
    bound = chance + CHANCE_DEVIATIONS * math.sqrt(chance * (1 - chance) / samples)
    if bound >= 1:
        reason = f"{samples} rows of {classes} classes are too few to tell an accuracy of {value:.2%} from guessing."
        return skipped("accuracy", "warning", reason)
    good = value > bound
    message = (
        f"The accuracy of {value:.2%} is better than guessing (above {bound:.2%})."
        if good
        else f"The accuracy of {value:.2%} is no better than guessing (it should be above {bound:.2%}): "
        "the expert may be untrained, or the logits may belong to other samples."
    )
    expected = {"above": bound, "chance": chance}
    return Check("accuracy", "warning", "passed" if good else "failed", value, expected, message)


def check_reweighted_accuracy(accuracies: NDArray[np.float64], weights: NDArray[np.float64]) -> Check:
    """The class weights are usable; if so, `measured` is the reweighted accuracy.

    Needs [C] from `metrics.class_accuracies`. The weights may be anything: C entries, finite, not negative
    and of positive sum are right.
    """
    check_id, right = "reweighted-accuracy", f"{len(accuracies)} finite weights, none negative, of positive sum"
    if problem := _vector_problem(weights, len(accuracies), "fiu"):
        return _warning(check_id, False, problem, right, f"The class weights are {problem} where {right} are right.")
    stray = ~np.isfinite(weights) | (weights < 0)  # [C]
    if stray.any() or not weights.any():
        problem = f"{int(stray.sum())} not finite or negative" if stray.any() else "all zero"
        evidence = [{"class": c, "weight": _number(weights[c])} for c in _first(stray)]
        message = f"The class weights are not usable ({problem}): {right} are right."
        return _warning(check_id, False, problem, right, message, evidence)
    value = metrics.reweighted_accuracy(accuracies, weights)
    if value is None:
        return skipped(check_id, "warning", "The classes present in this split all have the weight 0.")
    return _warning(check_id, True, value, right, f"The reweighted accuracy is {value:.2%}.")


def check_head_tail_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], train_counts: NDArray[np.int64], classes: int
) -> Check:
    """The train counts are usable; if so, `measured` holds the accuracies of the head and the tail.

    Needs predictions and labels [N] in 0…classes−1. The counts may be anything: C integers, none negative,
    are right. A group without rows has the accuracy None.
    """
    check_id, right = "head-tail-accuracy", f"{classes} whole numbers, none negative"
    if problem := _vector_problem(train_counts, classes, "iu"):
        return _warning(check_id, False, problem, right, f"The train counts are {problem} where {right} are right.")
    stray = train_counts < 0  # [C]
    if stray.any():
        problem = f"{int(stray.sum())} negative"
        evidence = [{"class": c, "count": int(train_counts[c])} for c in _first(stray)]
        message = f"The train counts are not usable ({problem}): {right} are right."
        return _warning(check_id, False, problem, right, message, evidence)
    head = metrics.head_classes(train_counts)
    measured = {
        "head_accuracy": metrics.group_accuracy(predictions, labels, head),
        "tail_accuracy": metrics.group_accuracy(predictions, labels, ~head),
    }
    said = ", ".join(
        f"{name.replace('_', ' ')} {'without rows' if value is None else f'{value:.2%}'}"
        for name, value in measured.items()
    )
    message = f"With a train count above {metrics.HEAD_THRESHOLD} as head: {said}."
    return _warning(check_id, True, measured, right, message)


def error_check(
    check_id: str, good: bool, measured: Any, expected: Any, message: str, evidence: Iterable[Any] = ()
) -> Check:
    """A check of level `error` that was done."""
    verdict: Literal["passed", "failed"] = "passed" if good else "failed"
    return Check(check_id, "error", verdict, measured, expected, message, tuple(evidence))


def _warning(*args: Any) -> Check:
    # Unusable counts or weights cost figures; the logits themselves may be right all the same.
    return replace(error_check(*args), level="warning")


def _vector_problem(vector: NDArray[Any], entries: int, kinds: str) -> str | None:
    """What `vector` is, when it is not [entries] of a dtype of these kinds; None when it is."""
    fits = vector.shape == (entries,) and vector.dtype.kind in kinds
    return None if fits else f"an array of shape {list(vector.shape)} and dtype {vector.dtype}"


def _first(mask: NDArray[np.bool_]) -> list[int]:
    return [int(row) for row in np.flatnonzero(mask)[:MAX_EVIDENCE]]


def _number(value: Any) -> float | str:
    """A float as JSON can carry it: NaN and infinities by their names."""
    return float(value) if np.isfinite(value) else str(float(value))


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
