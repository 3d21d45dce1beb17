"""Summaries of rows from their η, written plainly, for tests of rejectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.combine.rows import Floats, RowSummary


def summary_of(
    eta: Floats,
    labels: Sequence[int],
    of_class: Sequence[int],
    weights: Floats | None = None,
    count: int | None = None,
) -> RowSummary:
    """Summarise η [N, C]; a group without classes has M = P = 0."""
    group_of = np.asarray(of_class)
    count = int(group_of.max()) + 1 if count is None else count
    rows = len(eta)
    maxima, mass = np.zeros((rows, count)), np.zeros((rows, count))
    classes = np.zeros((rows, count), dtype=np.int64)
    for group in range(count):
        members = np.flatnonzero(group_of == group)
        if len(members):
            classes[:, group] = members[eta[:, members].argmax(1)]
            maxima[:, group] = eta[:, members].max(1)
            mass[:, group] = eta[:, members].sum(1)
    ranked = np.sort(eta, axis=1)
    logs = np.log(np.maximum(eta, 1e-300))
    given = np.ones(rows) if weights is None else weights / weights.mean()
    truth = np.asarray(labels, dtype=np.int64)
    return RowSummary(
        labels=truth,
        weights=given,
        groups=group_of[truth].astype(np.int64),
        group_max=maxima,
        group_class=classes,
        group_mass=mass,
        predictions=eta.argmax(1).astype(np.int64),
        confidence=ranked[:, -1],
        margin=ranked[:, -1] - (ranked[:, -2] if eta.shape[1] > 1 else 0.0),
        negative_entropy=(eta * logs).sum(1),
        nll=-logs[np.arange(rows), truth],
    )


def long_tailed(rows: int, classes: int = 12, groups: int = 2, *, seed: int = 0, listed: bool = False) -> RowSummary:
    """Draw rows of a long-tailed problem whose model favours the head; weights follow the tail unless `listed`."""
    generator = np.random.default_rng(seed)
    prior = 0.7 ** np.arange(classes)
    prior /= prior.sum()
    labels = generator.choice(classes, rows, p=0.5 * prior + 0.5 / classes)
    logits = generator.normal(size=(rows, classes)) + 0.7 * np.log(prior)
    logits[np.arange(rows), labels] += generator.gamma(2.0, 1.0, rows)
    eta = np.exp(logits - logits.max(1, keepdims=True))
    eta /= eta.sum(1, keepdims=True)
    weights = None if listed else prior[labels] / (0.5 * prior[labels] + 0.5 / classes)
    return summary_of(eta, labels.tolist(), [c * groups // classes for c in range(classes)], weights)
