"""Where the predicted classes of two sides differ, and how the recalls of classes differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.comparisons import LARGEST_FLIPS, ClassRecall, Flip, FlipGroup, LogitGap
from worker.combine.rows import ClassGroups
from worker.compare.pairing import PairedRows
from worker.compare.rows import Floats, Ints, Logits, SideRows, row_blocks
from worker.verify.metrics.accuracy import class_recalls


def logit_gap(a: Logits, b: Logits) -> LogitGap | None:
    """Measure |Δ| of paired logits [N, C]; None if the numbers of classes differ."""
    if a.shape != b.shape:
        return None
    largest = total = squares = 0.0
    for part in row_blocks(a.shape):
        first, second = a[part].astype(np.float64), b[part].astype(np.float64)
        gaps = np.abs(second - first)
        largest, total = max(largest, float(gaps.max())), total + float(gaps.sum())
        squares += sum(float((centred(values) ** 2).sum()) for values in (first, second))
    return LogitGap(largest, total / a.size, float(np.sqrt(squares / (2 * a.size))))


def centred(values: Floats) -> Floats:
    """Remove each row's mean."""
    result: Floats = values - values.mean(axis=1, keepdims=True)
    return result


def flip_groups(a: SideRows, b: SideRows, labels: Ints, groups: ClassGroups | None) -> tuple[FlipGroup, ...]:
    """Count the flips of all rows, then of each group with rows."""
    masks: dict[str, NDArray[np.bool_]] = {"all": np.ones(len(labels), dtype=bool)}
    if groups is not None:
        masks |= {name: groups.of_class[labels] == number for number, name in enumerate(groups.names)}
    return tuple(_flip_group(name, mask, a, b) for name, mask in masks.items() if mask.any())


def _flip_group(name: str, mask: NDArray[np.bool_], a: SideRows, b: SideRows) -> FlipGroup:
    flipped = mask & (a.predictions != b.predictions)
    some = bool(flipped.any())
    return FlipGroup(
        name=name,
        rows=int(mask.sum()),
        flips=int(flipped.sum()),
        to_right=int((flipped & b.right).sum()),
        to_wrong=int((flipped & a.right).sum()),
        margin_a=float(np.median(a.margin[flipped])) if some else None,
        margin_b=float(np.median(b.margin[flipped])) if some else None,
        largest_margin=float(np.minimum(a.margin, b.margin)[flipped].max()) if some else None,
    )


def largest_flips(a: SideRows, b: SideRows, labels: Ints, paired: PairedRows) -> tuple[Flip, ...]:
    """List the flips of which both sides are surest.

    At most LARGEST_FLIPS, by the smaller of both margins, falling; a sample that repeats is listed once.
    """
    flipped = np.flatnonzero(a.predictions != b.predictions)
    flipped = flipped[np.sort(np.unique(paired.samples[flipped], return_index=True)[1])]
    smaller = np.minimum(a.margin, b.margin)[flipped]
    chosen = flipped[np.lexsort((paired.samples[flipped], -smaller))][:LARGEST_FLIPS]
    return tuple(
        Flip(
            row=int(paired.rows_a[row]),
            sample=int(paired.samples[row]),
            label=int(labels[row]),
            prediction_a=int(a.predictions[row]),
            prediction_b=int(b.predictions[row]),
            confidence_a=float(a.confidence[row]),
            confidence_b=float(b.confidence[row]),
            margin_a=float(a.margin[row]),
            margin_b=float(b.margin[row]),
        )
        for row in chosen
    )


def recall_differences(
    a: SideRows, b: SideRows, labels: Ints, train_counts: Ints | None, classes: int
) -> tuple[ClassRecall, ...]:
    """Compare the recalls of each class with rows, from the most train samples to the fewest.

    Equal counts go by class number, and so do all classes without `train_counts` [C].
    """
    rows = np.bincount(labels, minlength=classes)
    first, second = (class_recalls(side.predictions, labels, classes) for side in (a, b))
    order = np.arange(classes) if train_counts is None else np.argsort(-train_counts, kind="stable")
    return tuple(
        ClassRecall(
            number=int(number),
            train_count=None if train_counts is None else int(train_counts[number]),
            rows=int(rows[number]),
            a=float(first[number]),
            b=float(second[number]),
            difference=float(second[number] - first[number]),
        )
        for number in order
        if rows[number]
    )
