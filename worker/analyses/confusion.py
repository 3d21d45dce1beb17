"""Confusion between head and tail, and the most frequent wrong pairs of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.result_figures import ConfusedPair, Confusion, GroupConfusion

PAIRS = 10


def confusion_of(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], tail: NDArray[np.bool_] | None
) -> Confusion:
    """Count what rows of head and tail are predicted as, and the wrong pairs.

    `tail` is [C], None without train counts.
    """
    groups = None
    if tail is not None:
        of_tail = tail[labels]  # [N]
        members = {"head": ~of_tail, "tail": of_tail}
        groups = {name: _group_confusion(predictions[rows], labels[rows], tail) for name, rows in members.items()}
    return Confusion(groups, frequent_pairs(predictions, labels))


def _group_confusion(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], tail: NDArray[np.bool_]
) -> GroupConfusion | None:
    rows = len(labels)
    if not rows:
        return None
    wrong = predictions != labels
    as_tail = int(np.count_nonzero(wrong & tail[predictions]))
    as_head = int(np.count_nonzero(wrong)) - as_tail
    return GroupConfusion(rows, (rows - as_head - as_tail) / rows, as_head / rows, as_tail / rows)


def frequent_pairs(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> list[ConfusedPair]:
    """List the most frequent wrong (label, predicted), PAIRS at most.

    By falling number of rows, of equals the lower label and then the lower predicted class first.
    """
    wrong = predictions != labels
    pairs, counts = np.unique(np.stack([labels[wrong], predictions[wrong]], axis=1), axis=0, return_counts=True)
    totals = np.bincount(labels)
    chosen = np.argsort(-counts, kind="stable")[:PAIRS]  # `unique` sorts by label, then by predicted class
    return [
        ConfusedPair(label, predicted, rows, rows / int(totals[label]))
        for (label, predicted), rows in zip(pairs[chosen].tolist(), counts[chosen].tolist(), strict=True)
    ]
