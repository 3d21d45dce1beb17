"""Synthetic sides for the tests of comparisons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.combine.rows import ClassGroups
from worker.compare.compare import ClassCounts, Side
from worker.compare.rows import Ints, Logits

COUNTS = np.array([60, 40, 25, 20, 4])
"""Train samples: classes 0, 1 and 2 are head."""
CLASSES = len(COUNTS)


def class_counts(counts: Ints = COUNTS) -> ClassCounts:
    return ClassCounts(counts, ClassGroups(("head", "tail"), (counts <= 20).astype(np.int64)))


def make_labels(rows: int, seed: int = 0, classes: int = CLASSES) -> Ints:
    return np.random.default_rng([seed, 9]).integers(0, classes, rows)


def make_logits(labels: Ints, seed: int, strength: float = 1.5, classes: int = CLASSES) -> NDArray[np.float32]:
    """[N, C] of an expert that is right on many rows."""
    logits = np.random.default_rng(seed).normal(0, 1.5, (len(labels), classes))
    logits[np.arange(len(labels)), labels] += strength
    return logits.astype(np.float32)


def make_side(label: str, logits: Logits, labels: Ints, samples: Ints | None = None, list_sha256: str = "l") -> Side:
    return Side(label, logits, labels, np.arange(len(labels)) if samples is None else samples, list_sha256)
