"""The scores of one side's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.verify.metrics.rows import score_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Logits = NDArray[np.floating[Any]]

BLOCK_VALUES = 2**18
"""Logits in float64 at a time, 2 MiB."""


@dataclass(frozen=True, eq=False)
class SideRows:
    """One side's rows of a split, or those of them that are paired, [N] each.

    Attributes:
        logits: [N, C] of any float dtype, finite.
        predictions: int64, the first of the largest logits.
        right: bool, whether that is the label.
        confidence: float64, the largest softmax probability.
        nll: float64, −log softmax[label] in nats.
        margin: float64, the largest minus the second largest logit, at least 0; 0 with one class.
    """

    logits: Logits
    predictions: Ints
    right: NDArray[np.bool_]
    confidence: Floats
    nll: Floats
    margin: Floats

    @classmethod
    def of(cls, logits: Logits, labels: Ints) -> SideRows:
        """Score logits [N, C] by labels [N] in 0…C−1."""
        predictions = logits.argmax(axis=1)
        scores = score_rows(logits, predictions, labels)
        return cls(logits, scores.predictions, scores.correct, scores.confidence, scores.nll, margins(logits))

    def take(self, rows: Ints) -> SideRows:
        """Return some of the rows, in that order."""
        return SideRows(
            logits=self.logits[rows],
            predictions=self.predictions[rows],
            right=self.right[rows],
            confidence=self.confidence[rows],
            nll=self.nll[rows],
            margin=self.margin[rows],
        )


def margins(logits: Logits) -> Floats:
    """Subtract each row's second largest logit from its largest, [N]."""
    if logits.shape[1] < 2:
        return np.zeros(len(logits))
    result = np.empty(len(logits))
    for part in row_blocks(logits.shape):
        second, first = np.partition(logits[part].astype(np.float64), -2, axis=1)[:, -2:].T
        result[part] = first - second
    return result


def row_blocks(shape: tuple[int, ...]) -> list[slice]:
    """List slices of rows with BLOCK_VALUES values each."""
    step = max(1, BLOCK_VALUES // max(shape[1], 1))
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]
