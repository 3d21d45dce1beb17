"""Calibration: how well confidence predicts accuracy.

Confidence is the largest softmax probability. Both calibration errors are Σ_b (n_b/N)·|acc_b − conf_b| over the
bins b, where n_b counts the rows of a bin, acc_b is the share of them that is right and conf_b their mean
confidence; a bin without rows adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.verify.metrics.ties import TieGroups

BINS = 15


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """A reliability diagram of M bins.

    `edges` are [M+1] float64, 0…1: bin b is edges[b] ≤ confidence < edges[b+1], the last one closed on both sides. Of
    [M] bins each, `confidence` is the mean and `accuracy` the fraction right, NaN for a bin without rows.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def nll(row_nll: NDArray[np.float64]) -> float:
    """Compute negative log-likelihood, the mean of −log softmax[label].

    It is the cross-entropy loss, in nats, 0 or more, always finite; log C for uniform guesses. Source: Good,
    "Rational decisions", JRSS B 1952; as `sklearn.metrics.log_loss`.
    """
    return float(row_nll.mean())


def brier(row_brier: NDArray[np.float64]) -> float:
    """Compute the Brier score: mean of Σ_c (p_c − 1[c = label])².

    It is 0…2: classes are summed, not averaged. Half of it is the 0…1 scale that some libraries use for two classes.
    Source: Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 1950.
    """
    return float(row_brier.mean())


def bin_of(confidence: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return each confidence's equal-width bin, [N] in 0…bins−1.

    Bins are closed below; the last one is closed above as well.
    """
    numbers: NDArray[np.int64] = np.searchsorted(np.linspace(0, 1, bins + 1), confidence, side="right") - 1
    return np.minimum(numbers, bins - 1)


def expected_calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Compute equal-width ECE: Σ_b (n_b/N)·|acc_b − conf_b|, 0…1.

    Bin b of M is b/M ≤ confidence < (b+1)/M; a confidence of exactly 1 is of the last bin. Source: Naeini et al.,
    "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; 15 bins as in Guo et al., "On
    calibration of modern neural networks", ICML 2017.
    """
    gaps = np.bincount(bin_of(confidence, bins), weights=confidence - correct, minlength=bins)  # [M]
    return float(np.abs(gaps).sum() / len(confidence))


def equal_mass_errors(ties: TieGroups, bins: int = BINS) -> NDArray[np.float64]:
    """Compute each sample's equal-mass ECE, [B], 0…1.

    By rising confidence, each of the M bins takes N//M rows, and the first N mod M of them one more; every sample has
    the same N. Where an edge falls into rows of equal confidence, the bins on its sides share them: each gets their
    mean, as often as it has places left. So the order of rows never matters. Source: Nguyen & O'Connor, "Posterior
    calibration and exploratory analysis for natural language processing models", EMNLP 2015 (adaptive bins); the tie
    rule is ours.
    """
    samples, groups = ties.rows.shape
    ends = ties.rows.cumsum(axis=1)  # [B, G]
    total = int(ends[0, -1])
    # The gap Σ(confidence − correct) of the first rows, by rising confidence, up to each group's end.
    gaps = (ties.rows * ties.confidence - ties.rows + ties.errors).cumsum(axis=1)  # [B, G]
    size, larger = divmod(total, bins)
    number = np.arange(1, bins)
    edges = number * size + np.minimum(number, larger)  # [M−1] rows below each inner edge
    edges = edges[edges > 0]  # without rows below there is no bin

    # All samples' ends in one rising list, so that one search finds the group in which each edge lies.
    offset = np.arange(samples)[:, None] * total  # [B, 1]
    place = np.searchsorted((ends + offset).ravel(), (edges + offset).ravel())  # [B·(M−1)]
    end, gap, rows, errors = (values.ravel()[place] for values in (ends, gaps, ties.rows, ties.errors))
    mean = ties.confidence[place % groups] - 1 + errors / rows  # of the group; it has rows, since the edge is in it
    below = (gap - (end - np.tile(edges, samples)) * mean).reshape(samples, len(edges))
    steps = np.diff(below, axis=1, prepend=0.0, append=gaps[:, -1:])  # [B, M]
    result: NDArray[np.float64] = np.abs(steps).sum(axis=1) / total
    return result


def reliability_bins(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> ReliabilityBins:
    """Compute the bins of a reliability diagram.

    Σ_b (count_b/N)·|accuracy_b − confidence_b| over them is `expected_calibration_error`. Source: DeGroot & Fienberg,
    "The comparison and evaluation of forecasters", The Statistician 1983.
    """
    place = bin_of(confidence, bins)
    count = np.bincount(place, minlength=bins)
    mean, right = np.full((2, bins), np.nan)
    np.divide(np.bincount(place, weights=confidence, minlength=bins), count, out=mean, where=count > 0)
    np.divide(np.bincount(place[correct], minlength=bins), count, out=right, where=count > 0)
    return ReliabilityBins(np.linspace(0, 1, bins + 1), count, mean, right)
