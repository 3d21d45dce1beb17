"""Groups of rows with equal confidence, so that no metric depends on the order of rows.

Figures that sort by confidence are written over these groups, for many samples of the same rows at once: the
plain figure is one sample in which each row counts once, a bootstrap's resamples are samples in which it counts
as often as it was drawn. So an interval is of exactly the figure's own definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TieGroups:
    """The tie groups of B samples of the same rows.

    Attributes:
        confidence: [G] float64, strictly rising.
        rows: [B, G] float64 whole numbers, the rows of each group; may be 0; each sample has N ≥ 1 in all.
        errors: [B, G] float64 whole numbers, how many of them are wrong.
    """

    confidence: NDArray[np.float64]
    rows: NDArray[np.float64]
    errors: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConfidenceOrder:
    """N rows in order of rising confidence, with their groups of equals.

    Attributes:
        order: [N] the rows, by rising confidence.
        starts: [G] places in that order where a group begins; equal means equal as float64.
        confidence: [G] float64, strictly rising.
        wrong: [N] float64 in that order, 1 for a wrong row.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    wrong: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> ConfidenceOrder:
        """Order rows by confidence, [N]."""
        order = confidence.argsort()
        by_confidence = confidence[order]
        starts = np.flatnonzero(np.concatenate(([True], by_confidence[1:] != by_confidence[:-1])))
        return cls(order, starts, by_confidence[starts], (~correct[order]).astype(np.float64))

    def group(self, counts: NDArray[np.float64]) -> TieGroups:
        """Group B samples in which rows count `counts` [B, N] times."""
        rows = np.take(counts, self.order, axis=1)
        errors = rows * self.wrong
        if len(self.starts) < len(self.order):
            rows, errors = (np.add.reduceat(values, self.starts, axis=1) for values in (rows, errors))
        return TieGroups(self.confidence, rows, errors)


def tie_groups(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> TieGroups:
    """Group one sample's rows, each counted once."""
    return ConfidenceOrder.of(confidence, correct).group(np.ones((1, len(confidence))))
