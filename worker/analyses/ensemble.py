"""What the experts of a split could be worth together: their mean, an oracle, and how alike their errors are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.ensembles import Accuracies, Ensemble, ExpertPair, PairFigures
from worker.analyses.adjusted_experts import check_adjusted_experts
from worker.verify.ground_truth import Truth
from worker.verify.metrics.accuracy import accuracy, balanced_accuracy, class_recalls, group_accuracy
from worker.verify.scale import Kind

BLOCK_VALUES = 2**16

Masks = Mapping[str, NDArray[np.bool_]]
"""Rows [N] of each group."""


@dataclass(frozen=True, eq=False)
class ExpertLogits:
    """The rows of one expert, in the split's order.

    Attributes:
        logits: [N, C] of any float dtype, finite, of the `kind` that they are.
        predictions: [N] int64, as recorded.
    """

    name: str
    logits: NDArray[np.floating[Any]]
    kind: Kind
    predictions: NDArray[np.int64]


def analyse_ensemble(experts: Iterable[ExpertLogits], truth: Truth) -> Ensemble:
    """Compute the figures of two or more experts together.

    The experts are taken one at a time, so a generator need not hold the logits of all. The groups are head and tail
    of the train counts, beside all rows. An oracle is right where any expert is.
    Source of the oracle and of the correlation of errors: Kuncheva & Whitaker, "Measures of diversity in classifier
    ensembles and their relationship with the ensemble accuracy", Machine Learning 2003.
    """
    labels, groups = truth.labels, {"overall": np.ones(len(truth.labels), dtype=np.bool_)}
    reasons: dict[str, str] = {}
    if truth.groups is None:
        reasons["groups"] = truth.counts_reason or (
            "The train counts cannot be used; the check 'train-counts' says why."
        )
    else:
        groups |= {name: truth.groups[name][labels] for name in ("head", "tail")}
    mean = MeanProbabilities(len(labels), truth.classes)
    predictions = {}
    for expert in experts:
        mean.add(expert)
        predictions[expert.name] = expert.predictions
    right = {name: values == labels for name, values in predictions.items()}
    some_right = np.logical_or.reduce(list(right.values()))
    return Ensemble(
        experts=list(predictions),
        rows={name: int(np.count_nonzero(rows)) for name, rows in groups.items()},
        single={name: _accuracies(values, truth) for name, values in predictions.items()},
        uniform=_accuracies(mean.predictions(), truth),
        oracle={name: float(some_right[rows].mean()) if rows.any() else None for name, rows in groups.items()},
        pairs=[
            ExpertPair(
                first,
                second,
                {name: _pair_figures((first, second), predictions, right, rows) for name, rows in groups.items()},
            )
            for first, second in combinations(predictions, 2)
        ],
        findings=check_adjusted_experts(right, groups.get("tail"), _first_rows(truth.indices)),
        reasons=reasons,
    )


def _first_rows(samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the first row of each sample, [N]."""
    first = np.zeros(len(samples), dtype=np.bool_)
    first[np.unique(samples, return_index=True)[1]] = True
    return first


class MeanProbabilities:
    """The sum of experts' probabilities [N, C], added up in blocks of rows."""

    def __init__(self, rows: int, classes: int) -> None:
        self._total = np.zeros((rows, classes))

    def add(self, expert: ExpertLogits) -> None:
        """Add the probabilities of one expert."""
        rows, classes = self._total.shape
        step = max(1, BLOCK_VALUES // classes)
        for start in range(0, rows, step):
            part = slice(start, start + step)
            self._total[part] += _probabilities(expert.logits[part], expert.kind)

    def predictions(self) -> NDArray[np.int64]:
        """Return the class of the largest mean probability, [N]; of equals the lowest."""
        classes: NDArray[np.int64] = self._total.argmax(axis=1)
        return classes


def _probabilities(logits: NDArray[np.floating[Any]], kind: Kind) -> NDArray[np.float64]:
    values = logits.astype(np.float64)
    if kind == "probabilities":
        return values
    with np.errstate(over="ignore"):  # float64 logits may be further apart than float64 reaches
        values -= values.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)
    return values


def _accuracies(predictions: NDArray[np.int64], truth: Truth) -> Accuracies:
    head, tail = (
        None if truth.groups is None else group_accuracy(predictions, truth.labels, truth.groups[name])
        for name in ("head", "tail")
    )
    balanced = balanced_accuracy(class_recalls(predictions, truth.labels, truth.classes))
    return Accuracies(accuracy(predictions, truth.labels), balanced, head, tail)


def _pair_figures(
    names: tuple[str, str],
    predictions: Mapping[str, NDArray[np.int64]],
    right: Mapping[str, NDArray[np.bool_]],
    rows: NDArray[np.bool_],
) -> PairFigures:
    count = int(np.count_nonzero(rows))
    if not count:
        return PairFigures(0, None, None, "The group has no row.")
    first, second = (predictions[name][rows] for name in names)
    wrong = {name: ~right[name][rows] for name in names}
    correlation = error_correlation(*(wrong[name] for name in names))
    reason = None
    if correlation is None:
        constant = next(name for name in names if wrong[name].all() or not wrong[name].any())
        reason = f"{constant} is {'never' if wrong[constant].all() else 'always'} right here."
    return PairFigures(count, float(np.mean(first != second)), correlation, reason)


def error_correlation(wrong: NDArray[np.bool_], other: NDArray[np.bool_]) -> float | None:
    """Compute the phi coefficient of two experts' errors, −1…1.

    φ = (n₁₁·n₀₀ − n₁₀·n₀₁)/√(n₁·n₀·m₁·m₀): n₁₁ rows that both predict wrong, n₀₀ that both predict right; n₁, n₀ and
    m₁, m₀ the wrong and right rows of each. It is Pearson's correlation of the indicators [N], 0 for independent
    errors. None where either is constant. Source: Yule, "On the methods of measuring association between two
    attributes", JRSS 1912.
    """
    rows, both = len(wrong), int(np.count_nonzero(wrong & other))
    own, others = int(np.count_nonzero(wrong)), int(np.count_nonzero(other))
    spread = own * (rows - own) * others * (rows - others)
    if spread == 0:
        return None
    # n11·n00 − n10·n01 = N·n11 − n1·m1, in whole numbers of any size.
    return (rows * both - own * others) / math.sqrt(spread)
