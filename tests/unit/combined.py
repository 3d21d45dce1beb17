"""Synthetic rows of experts for the tests of combining, and plain formulas to hold the results against."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from worker.combine.rows import ClassGroups, ExpertRows, Floats


def make_rows(
    count: int = 120, experts: int = 3, classes: int = 7, *, seed: int = 0, weighted: bool = False
) -> ExpertRows:
    """Rows whose experts are right now and then, and better at different classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = []
    for e in range(experts):
        values = random.normal(0.0, 1.5, (count, classes))
        values[np.arange(count), labels] += np.where(labels % experts == e, 2.5, 0.8)
        logits.append(values.astype(np.float32))
    weights = random.gamma(2.0, size=count) if weighted else np.ones(count)
    return ExpertRows(tuple(logits), labels, weights / weights.mean())


def stacked(rows: ExpertRows) -> Floats:
    """All logits z [N, E, C] at once."""
    return np.stack(rows.logits, axis=1).astype(np.float64)


def permuted(rows: ExpertRows, order: tuple[int, ...]) -> ExpertRows:
    """The rows with their experts in another order."""
    return ExpertRows(tuple(rows.logits[e] for e in order), rows.labels, rows.weights)


def weighted_nll(log_mix: Floats, rows: ExpertRows) -> float:
    """Σ w (−log η_y) / Σ w of log η [N, C]."""
    return float(np.average(-log_mix[np.arange(len(rows.labels)), rows.labels], weights=rows.weights))


def plain_log_linear(values: Floats, rows: ExpertRows, log_prior: Floats) -> Floats:
    """Log η [N, C] of a and b, as the formula says."""
    exponents = (values[:-1, None] * stacked(rows)).sum(axis=1) + values[-1] * log_prior
    result: Floats = log_softmax(exponents, axis=1)
    return result


def halves(classes: int = 7) -> ClassGroups:
    """The first classes as head, the others as tail."""
    return ClassGroups(("head", "tail"), (np.arange(classes) >= classes // 2).astype(np.int64))
