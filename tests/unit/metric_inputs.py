"""Logits, labels and predictions to measure: drawn at random, and degenerate in every way that a split can be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.verify.metrics.rows import RowScores, score_rows


@dataclass(frozen=True, eq=False)
class Case:
    """One split: logits [N, C] of any float dtype and labels [N]."""

    logits: NDArray[np.floating]
    labels: NDArray[np.int64]

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def scores(self) -> RowScores:
        return score_rows(self.logits, self.predictions, self.labels)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """[N, C] softmax, written plainly."""
        shifted = self.logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float64)

    def rows(self, chosen: NDArray[np.int64]) -> Case:
        return Case(self.logits[chosen], self.labels[chosen])


def drawn(seed: int, rows: int, classes: int, *, strength: float = 2.0) -> Case:
    """A random split; the label's logit is raised by `strength`, so some predictions are right."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes), scale=2)
    logits[np.arange(rows), labels] += strength
    return Case(logits.astype(np.float32), labels)


def _degenerate() -> dict[str, Case]:
    plain = drawn(1, 60, 5)
    right, wrong = plain.logits.copy(), plain.logits.copy()
    right[np.arange(60), plain.labels] = 50
    wrong[np.arange(60), plain.labels] = -50
    random = np.random.default_rng(2)
    return {
        "one class": Case(random.normal(size=(7, 1)).astype(np.float32), np.zeros(7, dtype=np.int64)),
        "one row": drawn(3, 1, 4),
        "one row of one class": Case(np.array([[3.0]], dtype=np.float32), np.array([0])),
        "one wrong row": Case(np.array([[3.0, 1.0]], dtype=np.float32), np.array([1])),
        "all right": Case(right, plain.labels),
        "all wrong": Case(wrong, plain.labels),
        "all equal": Case(np.full((40, 6), 1.5, dtype=np.float32), random.integers(0, 6, 40)),
        "ties": Case(random.integers(0, 3, (200, 4)).astype(np.float32), random.integers(0, 4, 200)),
        "classes missing": Case(random.normal(size=(30, 12)).astype(np.float32), random.integers(3, 6, 30)),
        "few rows": drawn(4, 9, 10),
        "two classes": drawn(5, 150, 2),
        "a thousand classes": drawn(6, 50, 1000),
        "half precision": Case(drawn(7, 80, 10).logits.astype(np.float16), drawn(7, 80, 10).labels),
        "certain": Case((drawn(8, 80, 5).logits * 100).astype(np.float64), drawn(8, 80, 5).labels),
    }


CASES = {f"random {seed}": drawn(seed, 20 + 45 * seed, 2 + 3 * seed, strength=seed % 5) for seed in range(8)}
CASES |= _degenerate()

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
