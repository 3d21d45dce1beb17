"""Calibration over the rows of one group of classes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from app.domain.result_figures import GroupCalibration, ReliabilityBin
from worker.verify.metrics.calibration import expected_calibration_error, reliability_bins
from worker.verify.metrics.rows import RowScores


def calibration_of(scores: RowScores, rows: NDArray[np.bool_]) -> GroupCalibration | None:
    """Compute ECE and reliability bins over some `rows` [N] alone.

    None without rows. The bins are those of the whole split, 15 of equal width. An expert can be well calibrated
    over all rows while its errors of head and tail cancel in each bin.
    """
    if not rows.any():
        return None
    confidence, correct = scores.confidence[rows], scores.correct[rows]
    bins = reliability_bins(confidence, correct)
    columns = (bins.edges[:-1], bins.edges[1:], bins.count, bins.confidence, bins.accuracy)
    return GroupCalibration(
        rows=len(correct),
        ece=expected_calibration_error(confidence, correct),
        confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
        reliability=[
            ReliabilityBin(low, high, count, _number(mean), _number(right))
            for low, high, count, mean, right in zip(*(column.tolist() for column in columns), strict=True)
        ],
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
