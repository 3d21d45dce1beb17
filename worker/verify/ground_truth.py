"""The ground truth of one (expert, split): labels, classes and class counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.catalog.long_tail import class_groups
from app.catalog.split_lists import Split
from app.domain.standards import Standards
from worker.datasets.class_counts import LongTail

Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Truth:
    """What a result of one split is judged by.

    Attributes:
        labels: [N] int64, the data set's labels at the split's `indices` [N] int64 into `base`.
        classes: C ≥ 1.
        train_counts: samples of each class in the train split, as they were found, or None.
        counts_reason: one sentence, why `train_counts` is None; None exactly when it is not. So is `weights_reason`.
        standards: thresholds and floors of the request.

    Raises:
        ValueError: labels of another rank or no integers, no class, or a None without its reason.
    """

    labels: NDArray[np.int64]
    classes: int
    base: str
    indices: NDArray[np.int64]
    train_counts: NDArray[np.int64] | None
    weights: NDArray[np.float64] | None
    counts_reason: str | None
    weights_reason: str | None
    standards: Standards

    @classmethod
    def of(
        cls, split: Split, labels: NDArray[np.int64], classes: int, long_tail: LongTail, standards: Standards
    ) -> Truth:
        """Build a split's truth from its whole base's labels."""
        return cls(
            labels=labels[split.indices],
            classes=classes,
            base=split.base,
            indices=split.indices,
            train_counts=long_tail.counts,
            weights=long_tail.weights,
            counts_reason=long_tail.counts_reason,
            weights_reason=long_tail.weights_reason,
            standards=standards,
        )

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != np.int64:
            raise ValueError(f"labels must be int64 [N], not {self.labels.dtype} {list(self.labels.shape)}")
        if self.classes < 1:
            raise ValueError(f"classes must be at least 1, not {self.classes}")
        if (self.train_counts is None) != bool(self.counts_reason):
            raise ValueError("give train_counts, or counts_reason that says why there are none; not both")
        if (self.weights is None) != bool(self.weights_reason):
            raise ValueError("give weights, or weights_reason that says why there are none; not both")

    @property
    def groups(self) -> Masks | None:
        """Head, tail, many, medium and few as [C] masks; None without train counts that can be used."""
        counts = self.train_counts
        if counts is None or counts.shape != (self.classes,) or counts.dtype.kind not in "iu" or (counts < 0).any():
            return None
        return class_groups(counts, self.standards.head_threshold)

    @property
    def usable_weights(self) -> NDArray[np.float64] | None:
        """[C] class weights of any positive sum; None without such."""
        weights = self.weights
        if weights is None or weights.shape != (self.classes,) or weights.dtype.kind not in "fiu":
            return None
        sound = np.isfinite(weights).all() and (weights >= 0).all() and weights.any()
        return weights.astype(np.float64) if sound else None
