"""Simple laws that two files of logits may differ by, and how well they fit.

Softmax does not see a constant that is added to a row, so every law is held against rows whose mean is removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worker.compare.flips import centred
from worker.compare.rows import Floats, Ints, Logits, row_blocks

MIN_EQUATIONS = 10
"""Numbers beyond a law's own parameters without which a perfect fit may be chance."""
BETTER = 10.0
"""By which a law has to be closer than no law, where both are within the tolerance."""
SAMPLED = 64
"""Rows that are looked for among all others, where they are not bit by bit the same."""
BULK, PER_TOLERANCE = 0.1, 10.0
"""Share of a row's spread that a difference may take at most: the first, or the second times the tolerance."""


@dataclass(frozen=True, slots=True)
class Residual:
    """What a law leaves unexplained."""

    largest: float
    """max |B − law(A)|."""
    within: bool
    """Whether every row is within the tolerance."""

    def explains(self, nothing: Residual) -> bool:
        """Tell whether the law is the cause, where `nothing` is the residual without it."""
        if not self.within:
            return False
        return not nothing.within or self.largest * BETTER < nothing.largest


@dataclass(frozen=True, eq=False)
class LogitPair:
    """Paired logits of A and B.

    Attributes:
        a, b: [N, C] of any float dtype, finite.
        tolerance: difference that arithmetic explains, relative to a row's largest |logit| of B. A few huge logits
            (classes masked with −1e9) or a huge constant in a row excuse no difference between the others, so at
            most a share of the row's spread is allowed as well.
    """

    a: Logits
    b: Logits
    tolerance: float

    def blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield blocks of both in float64."""
        for part in row_blocks(self.a.shape):
            yield self.a[part].astype(np.float64), self.b[part].astype(np.float64)

    def residual(self, scale: float = 1.0, offsets: Floats | float = 0.0, *, raw: bool = False) -> Residual:
        """Measure B − (scale·A + offsets), row means removed unless `raw`; `offsets` are [C]."""
        typical = float(np.sqrt(np.mean([np.mean(b**2) for _, b in self.blocks()])))
        share = max(BULK, PER_TOLERANCE * self.tolerance)
        largest, within, done = 0.0, True, 0
        for a, b in self.blocks():
            rest = b - (scale * a + offsets)
            rest = np.abs(rest if raw else centred(rest)).max(axis=1)
            allowed = self.tolerance * np.maximum(np.abs(b).max(axis=1), typical)
            allowed = np.minimum(allowed, share * self._spreads[done : done + len(b)])
            done += len(b)
            largest, within = max(largest, float(rest.max())), within and bool((rest <= allowed).all())
        return Residual(largest, within)

    @cached_property
    def _spreads(self) -> Floats:
        """Take the median |b − median| of each row, [N], or of a typical row where that is more; infinite for 0.

        Classes that are the same in all rows, such as masked ones, are left out.
        """
        told = self.b.max(axis=0) > self.b.min(axis=0)
        rows = np.concatenate([_spread(b[:, told] if told.any() else b) for _, b in self.blocks()])
        spreads: Floats = np.maximum(rows, np.median(rows))
        return np.where(spreads > 0, spreads, np.inf)

    def scale_fit(self) -> float | None:
        """Fit s of B = s·A by least squares through the origin; None where A is constant or numbers are too few."""
        rows, classes = self.a.shape
        if rows * (classes - 1) < MIN_EQUATIONS + 1:
            return None
        products = squares = 0.0
        for a, b in self.blocks():
            first = centred(a)
            products += float((first * b).sum())
            squares += float((first**2).sum())
        return products / squares if squares > 0 else None

    def class_offsets(self) -> Floats | None:
        """Average B − A by class, [C] of mean 0; None where numbers are too few."""
        rows, classes = self.a.shape
        if (rows - 1) * (classes - 1) < MIN_EQUATIONS:
            return None
        total = np.zeros(classes)
        for a, b in self.blocks():
            total += centred(b - a).sum(axis=0)
        mean: Floats = total / rows
        return mean


def _spread(b: Floats) -> Floats:
    """Take the median distance of each row's logits [n, C] from their median, [n]."""
    spread: Floats = np.median(np.abs(b - np.median(b, axis=1, keepdims=True)), axis=1)
    return spread


def prior_strength(offsets: Floats, train_counts: Ints | None, tolerance: float) -> float | None:
    """Fit τ of offsets = τ·log prior + constant; None unless it holds within `tolerance`, absolute.

    `offsets` and `train_counts` are [C]; the prior is the share of each class's train samples. Source: Menon et al.,
    "Long-tail learning via logit adjustment", ICLR 2021.
    """
    if train_counts is None or len(offsets) != len(train_counts) or (train_counts <= 0).any():
        return None
    log_prior = np.log(train_counts / train_counts.sum())
    log_prior -= log_prior.mean()
    squares = float((log_prior**2).sum())
    if squares == 0 or len(offsets) < 3:
        return None
    strength = float((log_prior * offsets).sum()) / squares
    return strength if float(np.abs(offsets - strength * log_prior).max()) <= tolerance else None


def moved_rows(a: Logits, b: Logits, tolerance: float) -> tuple[int, int] | None:
    """Tell whether B holds A's rows in another order: rows that moved, and rows looked at.

    Rows are the same if they are bit by bit equal, and all of them are looked at; otherwise SAMPLED rows of A, spread
    evenly, are looked for within `tolerance`, relative to a row's largest |logit|. None where some row of A has no
    place in B, or none has moved.
    """
    if a.shape != b.shape or a.shape[1] < 2:
        return None
    if a.dtype == b.dtype and Counter(map(bytes, _contiguous(a))) == Counter(map(bytes, _contiguous(b))):
        moved = int((a != b).any(axis=1).sum())
        return (moved, len(a)) if moved else None
    chosen = np.unique(np.linspace(0, len(a) - 1, min(SAMPLED, len(a))).astype(np.int64))
    nearest, gaps = _nearest(a[chosen].astype(np.float64), b)
    allowed = tolerance * np.abs(a[chosen]).max(axis=1)
    moved = int((nearest != chosen).sum())
    # A file of equal rows has its rows everywhere; each place is to be taken once.
    if (gaps > allowed).any() or not moved or len(np.unique(nearest)) < len(chosen):
        return None
    return moved, len(chosen)


def _contiguous(logits: Logits) -> Logits:
    return np.ascontiguousarray(logits)


def _nearest(rows: Floats, b: Logits) -> tuple[Ints, Floats]:
    """Find the nearest row of B to each of `rows` [n, C]: its number and largest difference, [n] each."""
    numbers, best = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), np.inf)
    squares = (rows**2).sum(axis=1)
    for part in row_blocks(b.shape):
        block = b[part].astype(np.float64)
        distances = squares[:, None] - 2 * rows @ block.T + (block**2).sum(axis=1)  # [n, block]
        place = distances.argmin(axis=1)
        nearer = distances[np.arange(len(rows)), place] < best
        best[nearer] = distances[np.arange(len(rows)), place][nearer]
        numbers[nearer] = place[nearer] + part.start
    gaps: Floats = np.abs(b[numbers].astype(np.float64) - rows).max(axis=1)
    return numbers, gaps
