"""Pair the rows of two index lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.comparisons import Pairing

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PairedRows:
    """Rows of A and B that show the same samples, in the order of A's list.

    Attributes:
        samples: [N] int64, indices into the base.
        rows_a: [N] int64, rows of A, rising.
        rows_b: [N] int64, rows of B.
        pairing: how they were paired, and what was left out.
    """

    samples: Ints
    rows_a: Ints
    rows_b: Ints
    pairing: Pairing


def pair_rows(samples_a: Ints, samples_b: Ints, *, same_list: bool) -> PairedRows:
    """Pair rows by their sample; the k-th repeat of one with the k-th of the other.

    `samples_a` [Na] and `samples_b` [Nb] index one base. With `same_list` they are equal, and row i pairs with row i.
    Without a common sample the result has no rows.

    Raises:
        ValueError: `same_list`, but the samples differ.
    """
    if same_list:
        if not np.array_equal(samples_a, samples_b):
            raise ValueError("the lists are said to be the same, and differ")
        rows_a = rows_b = np.arange(len(samples_a))
    else:
        repeats_a, repeats_b = repeat_numbers(samples_a), repeat_numbers(samples_b)
        width = int(max(repeats_a.max(initial=0), repeats_b.max(initial=0))) + 1
        keys = (samples_a * width + repeats_a, samples_b * width + repeats_b)
        _, rows_a, rows_b = np.intersect1d(*keys, assume_unique=True, return_indices=True)
        order = np.argsort(rows_a)
        rows_a, rows_b = rows_a[order], rows_b[order]
    samples, rows = samples_a[rows_a], len(rows_a)
    pairing = Pairing(
        by="order" if same_list else "sample",
        rows=rows,
        samples=len(np.unique(samples)),
        left_out_a=len(samples_a) - rows,
        left_out_b=len(samples_b) - rows,
    )
    return PairedRows(samples, rows_a, rows_b, pairing)


def repeat_numbers(samples: Ints) -> Ints:
    """Count how often each entry's value occurs before it, [N]."""
    order = np.argsort(samples, kind="stable")
    starts = np.flatnonzero(np.diff(samples[order], prepend=-1))
    sizes = np.diff(starts, append=len(samples))
    numbers = np.empty(len(samples), dtype=np.int64)
    numbers[order] = np.arange(len(samples)) - np.repeat(starts, sizes)
    return numbers
