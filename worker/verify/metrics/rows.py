"""Scores of each row, from one pass over the logits; every metric follows from them.

The softmax is in float64 with the row's largest logit subtracted first. Rows are worked in blocks that stay in
the processor's cache, so no float64 copy of all logits ever exists. 10,000 rows x 100 classes of float32 take
some 6 ms on one core; with blocks a quarter as large it is half as much again, and with very large ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 32_768  # logits in a block: two float64 arrays of it are 512 KiB, which a second-level cache holds
MAX_NLL = 1e300  # nats; only float64 logits further apart than this reach it, and sums of it stay finite


@dataclass(frozen=True, eq=False)
class RowScores:
    """The scores of rows, [N] each, in the rows' order.

    Attributes:
        confidence: float64, the largest softmax probability, 1/C…1.
        nll: float64, −log softmax[label] in nats, 0…MAX_NLL.
        brier: float64, Σ_c (p_c − 1[c = label])², 0…2.
        rank: int64, the number of classes that come before the label in order of falling logit; of equal logits the
            lower class comes first. 0 exactly when the first argmax is the label; at most C−1.
    """

    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    nll: NDArray[np.float64]
    brier: NDArray[np.float64]
    rank: NDArray[np.int64]


def score_rows(
    logits: NDArray[np.floating[Any]], predictions: NDArray[np.integer[Any]], labels: NDArray[np.int64]
) -> RowScores:
    """Score every row against its label, in order.

    `logits` are [N, C] float16, float32 or float64, finite, raw, before softmax and temperature; `predictions` and
    `labels` [N] in 0…C−1. Logits of any finite size give finite scores and no warning.
    """
    rows, classes = logits.shape
    confidence, nll, brier = (np.empty(rows) for _ in range(3))
    rank = np.empty(rows, dtype=np.int64)
    step = max(1, BLOCK_VALUES // classes)
    space = np.empty((min(step, rows), classes))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        label = labels[part]
        values = space[: len(label)]  # [b, C]
        np.copyto(values, logits[part])  # float16 and float32 are exact in float64
        every = np.arange(len(label))
        rank[part] = _ranks(values, label)
        with np.errstate(over="ignore"):  # float64 logits may be further apart than float64 reaches
            np.subtract(values, values.max(axis=1, keepdims=True), out=values)
        of_label = values[every, label]  # [b], log of the label's share before normalising
        np.exp(values, out=values)
        total = values.sum(axis=1)  # [b], 1…C: the largest logit gives 1
        nll[part] = np.minimum(np.log(total) - of_label, MAX_NLL)
        np.divide(1.0, total, out=confidence[part])
        values *= confidence[part, None]  # softmax
        values[every, label] -= 1.0
        np.einsum("ij,ij->i", values, values, out=brier[part])
    recorded = predictions.astype(np.int64, copy=False)
    return RowScores(recorded, labels, recorded == labels, confidence, nll, brier, rank)


def _ranks(values: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count classes before each label, [b]; lower classes win ties."""
    own = values[np.arange(len(labels)), labels][:, None]  # [b, 1]
    larger: NDArray[np.int64] = np.count_nonzero(values > own, axis=1)
    tied = np.count_nonzero(values >= own, axis=1) - larger > 1
    if tied.any():
        lower = np.arange(values.shape[1]) < labels[tied, None]  # [t, C]
        larger[tied] += np.count_nonzero((values[tied] == own[tied]) & lower, axis=1)
    return larger
