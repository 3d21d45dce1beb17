"""Test rows, and what methods decide for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.combine.rows import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassifierRows:
    """Decisions of a method that predicts one class a row, whatever the coverage.

    Attributes:
        name: unique among the methods.
        predictions: [N] int64.
        score: [N] float64, finite; rows of larger score are accepted first.
        thresholds: [Q] float64, of a fitted rejector: accept at coverage q if score ≥ thresholds[q].
        nll: [N] float64, −log of the label's probability, finite.
        confidence: [N] float64, 0…1, the probability of the predicted class.
        expert_weights: [N, E] float64.
    """

    name: str
    predictions: Ints
    score: Floats
    thresholds: Floats | None = None
    nll: Floats | None = None
    confidence: Floats | None = None
    expert_weights: Floats | None = None


@dataclass(frozen=True, eq=False)
class RuleRows:
    """Decisions of a method with a rule of its own for each of Q coverages.

    Attributes:
        name: unique among the methods.
        predictions: [Q, N] int64; those of the last coverage give the plain accuracies.
        score: [Q, N] float64, finite; rows of larger score are accepted first.
        thresholds: [Q] float64: accept at coverage q if score[q] ≥ thresholds[q].
        expert_weights: [N, E] float64.
    """

    name: str
    predictions: Ints
    score: Floats
    thresholds: Floats | None = None
    expert_weights: Floats | None = None


MethodRows = ClassifierRows | RuleRows


@dataclass(frozen=True, eq=False)
class EvaluatedRows:
    """The N test rows in order of class, then image, so that their order in a list never matters.

    Arrays of a method come in the list's order; index them with `order`.

    Attributes:
        order: [N] int64, places in the list.
        labels: [N] int64.
        groups: [N] int64, 0…K−1.
        weights: [N] float64, not negative, mean 1.
        units: [N] int64, rising: rows that repeat an image are one unit.
        group_names: of the K groups.
    """

    order: Ints
    labels: Ints
    groups: Ints
    weights: Floats
    units: Ints
    group_names: tuple[str, ...]

    @classmethod
    def of(
        cls, labels: Ints, groups: Ints, group_names: Sequence[str], weights: Floats, images: Ints
    ) -> EvaluatedRows:
        """Order the rows of a list; `weights` may have any positive mean."""
        order = np.lexsort((images, labels))
        changes = (np.diff(labels[order]) != 0) | (np.diff(images[order]) != 0)
        return cls(
            order,
            labels[order],
            groups[order],
            weights[order] / weights.mean(),
            np.concatenate(([0], np.cumsum(changes))),
            tuple(group_names),
        )

    @property
    def class_starts(self) -> Ints:
        """The first row of each class that has rows."""
        return np.flatnonzero(np.diff(self.labels, prepend=-1))

    def by_group(self, values: Floats) -> Floats:
        """Spread values [N] over columns [N, K], each in its row's group; 0 elsewhere."""
        columns = np.zeros((len(values), len(self.group_names)))
        columns[np.arange(len(values)), self.groups] = values
        return columns

    def marks(self, predictions: Ints) -> Floats:
        """Return masses [2K, N]: the rows of each group, then the wrong rows of each group."""
        wrong = self.weights * (predictions[self.order] != self.labels)
        return np.concatenate([self.by_group(self.weights).T, self.by_group(wrong).T])
