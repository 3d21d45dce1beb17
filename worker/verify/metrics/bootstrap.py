"""Bootstrap intervals: how far the metrics would differ on other samples of the same classes.

Each resample draws, for every class, as many rows as the class has, with replacement from its own rows: the
classes keep their sizes, as a test set with a planned number of rows for each class would. All figures are taken
on the same resamples. 1,000 resamples of 8,000 rows x 100 classes take some 0.4 s on one core.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worker.verify.metrics import calibration, selective
from worker.verify.metrics.point import FIGURES, TOP, WORST_OF
from worker.verify.metrics.rows import RowScores
from worker.verify.metrics.ties import ConfidenceOrder

BLOCK_VALUES = 2**16  # rows drawn at a time: some ten arrays of 512 KiB, near enough to the processor's cache

Values = dict[str, NDArray[np.float64]]  # a figure's value on each resample of a block, [B]


def intervals(
    scores: RowScores,
    classes: int,
    groups: dict[str, NDArray[np.bool_]] | None,
    weights: NDArray[np.float64] | None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Compute percentile intervals of headline figures, stratified by class.

    They say how far a figure depends on which rows of each class were drawn; not on the training, nor on which
    classes there are. The percentile interval corrects no bias: figures that a resample's repeats shift (ECE most of
    all, which repeats raise) may lie near an end of theirs, or outside.

    `groups` are those of `class_groups`, `weights` [C] usable class weights, either None; equal arguments give equal
    intervals. For each of FIGURES (low, high), the quantiles (1 ∓ level)/2 of its values on the resamples; None where
    the figure itself is None. Source: Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 13
    (percentiles), and 8.3 (strata).
    """
    blocks = list(_resampled(scores, classes, groups, weights, resamples, seed))
    tails = ((1 - level) / 2, (1 + level) / 2)
    result: dict[str, tuple[float, float] | None] = dict.fromkeys(FIGURES)
    for name in blocks[0]:
        low, high = np.quantile(np.concatenate([block[name] for block in blocks]), tails)
        result[name] = (float(low), float(high))
    return result


def draw(
    labels: NDArray[np.int64], confidence: NDArray[np.float64], resamples: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield blocks of resampled rows [b, N], class by class.

    Within a class the rows are numbered by confidence, so the draws hardly depend on the order of rows.
    """
    by_class = np.lexsort((confidence, labels))  # [N]
    sizes = np.bincount(labels)
    starts = np.repeat(sizes.cumsum() - sizes, sizes)  # [N], of each place's class
    sizes = np.repeat(sizes, sizes)
    random = np.random.default_rng(seed)
    step = max(1, BLOCK_VALUES // len(labels))
    for first in range(0, resamples, step):
        # A number below 1 times n, rounded down, is below n; it favours no row by more than n/2^53.
        drawn = random.random((min(step, resamples - first), len(labels)))
        drawn *= sizes
        yield by_class[drawn.astype(np.int64) + starts]


def _resampled(
    scores: RowScores,
    classes: int,
    groups: dict[str, NDArray[np.bool_]] | None,
    weights: NDArray[np.float64] | None,
    resamples: int,
    seed: int,
) -> Iterator[Values]:
    """Yield the defined figures on each resample, in blocks."""
    rows = len(scores.labels)
    order = ConfidenceOrder.of(scores.confidence, scores.correct)
    figures = {"accuracy": scores.correct, "nll": scores.nll, "brier": scores.brier}
    if classes > TOP:
        figures["top5_accuracy"] = scores.rank < TOP
    linear = {name: values.astype(np.float64) for name, values in figures.items()}  # means over the rows, [N] each
    bins = _bin_gaps(scores)  # [N, M]
    features = np.column_stack([*linear.values(), bins])  # [N, F+M]
    totals = np.bincount(scores.labels, minlength=classes)  # [C]
    first = (totals.cumsum() - totals)[totals > 0]  # where each class present begins in a line of draws
    for drawn in draw(scores.labels, scores.confidence, resamples, seed):
        block = len(drawn)
        hits = np.zeros((block, classes))
        hits[:, totals > 0] = np.add.reduceat(scores.correct[drawn], first, axis=1, dtype=np.float64)
        drawn += np.arange(block)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=block * rows).reshape(block, rows).astype(np.float64)
        sums = counts @ features  # [b, F+M]
        values = dict(zip(linear, sums.T / rows, strict=False))
        values["ece"] = np.abs(sums[:, len(linear) :]).sum(axis=1) / rows
        ties = order.group(counts)
        values["ece_equal_mass"] = calibration.equal_mass_errors(ties)
        areas = selective.areas(ties)
        values |= {"aurc": areas.aurc, "e_aurc": areas.e_aurc, "augrc": areas.augrc}
        yield values | _class_figures(hits, totals, weights) | _group_values(hits, totals, groups)


def _bin_gaps(scores: RowScores) -> NDArray[np.float64]:
    """Return confidence − correct in each row's equal-width bin, [N, M]."""
    gaps = np.zeros((len(scores.labels), calibration.BINS))
    place = calibration.bin_of(scores.confidence)
    gaps[np.arange(len(place)), place] = scores.confidence - scores.correct
    return gaps


def _class_figures(
    hits: NDArray[np.float64], totals: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> Values:
    """Compute the means over classes from `hits` [b, C] of `totals` [C]."""
    present = totals > 0
    recalls = hits[:, present] / totals[present]  # [b, P]
    hit = np.count_nonzero(recalls, axis=1)
    values = {
        "balanced_accuracy": recalls.mean(axis=1),
        "legacy_balanced_accuracy": recalls.sum(axis=1) / np.maximum(hit, 1),
    }
    if weights is not None and weights[present].max() > 0:
        shares = weights[present] / weights[present].max()  # first, so that the sum of huge weights cannot overflow
        values["reweighted_accuracy"] = recalls @ (shares / shares.sum())
    return values


def _group_values(
    hits: NDArray[np.float64], totals: NDArray[np.int64], groups: dict[str, NDArray[np.bool_]] | None
) -> Values:
    """Compute each non-empty group's accuracy, and the worst."""
    values = {
        f"{name}_accuracy": hits[:, mask].sum(axis=1) / totals[mask].sum()
        for name, mask in (groups or {}).items()
        if totals[mask].any()
    }
    worst = [values[f"{name}_accuracy"] for name in WORST_OF if f"{name}_accuracy" in values]
    if worst:
        values["worst_group_accuracy"] = np.minimum.reduce(worst)
    return values
