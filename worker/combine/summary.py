"""Rows of logits to what rejectors, figures and files need, in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.combine.probabilities import MAX_NLL, logsumexp
from worker.combine.rows import ClassGroups, Combiner, ExpertRows, Floats, RowSummary


def summarise(rows: ExpertRows, combiner: Combiner, groups: ClassGroups) -> RowSummary:
    """Combine the rows and summarise each η.

    A group without classes has the maximum 0, the class −1 and the mass 0. Whatever N is, no more than a block of η
    exists at a time.
    """
    count, members = len(rows.labels), [np.flatnonzero(groups.of_class == k) for k in range(len(groups.names))]
    largest, mass = np.zeros((2, count, len(members)))
    classes = np.full((count, len(members)), -1, dtype=np.int64)
    predictions = np.empty(count, dtype=np.int64)
    confidence, margin, negative_entropy, nll, energy = np.empty((5, count))
    expert_weights: Floats | None = None
    for part, logits in rows.blocks():
        log_mix, gate = combiner.log_mix(logits)
        mix = np.exp(log_mix)  # [n, C]
        predictions[part] = mix.argmax(axis=1)
        confidence[part], margin[part] = _top(mix)
        negative_entropy[part] = _negative_entropy(mix, log_mix)
        nll[part] = _label_nll(log_mix, rows.labels[part])
        for k, of_group in enumerate(members):
            if of_group.size:
                largest[part, k], classes[part, k], mass[part, k] = _group(mix, of_group)
        if rows.experts == 1:
            energy[part] = logsumexp(logits[:, 0])
        if gate is not None:
            expert_weights = np.empty((count, rows.experts)) if expert_weights is None else expert_weights
            expert_weights[part] = gate
    return RowSummary(
        labels=rows.labels,
        weights=rows.weights,
        groups=groups.of_class[rows.labels],
        group_max=largest,
        group_class=classes,
        group_mass=mass,
        predictions=predictions,
        confidence=confidence,
        margin=margin,
        negative_entropy=negative_entropy,
        nll=nll,
        expert_weights=expert_weights,
        energy=energy if rows.experts == 1 else None,
    )


def row_nll(rows: ExpertRows, combiner: Combiner) -> Floats:
    """Compute −log η of each row's label, [N] float64, finite, in nats."""
    result = np.empty(len(rows.labels))
    for part, logits in rows.blocks():
        result[part] = _label_nll(combiner.log_mix(logits)[0], rows.labels[part])
    return result


def mix_rows(rows: ExpertRows, combiner: Combiner) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Combine the rows to log η [N, C], with expert weights [N, E] where there are any."""
    mixed = np.empty((len(rows.labels), rows.classes), dtype=np.float32)
    weights: NDArray[np.float32] | None = None
    for part, logits in rows.blocks():
        mixed[part], gate = combiner.log_mix(logits)
        if gate is not None:
            weights = np.empty((len(mixed), rows.experts), dtype=np.float32) if weights is None else weights
            weights[part] = gate
    return mixed, weights


def _top(mix: Floats) -> tuple[Floats, Floats]:
    """Compute max η and its distance from the second; max η itself with one class."""
    if mix.shape[1] == 1:
        return mix[:, 0], mix[:, 0]
    second, first = np.partition(mix, -2, axis=1)[:, -2:].T
    return first, first - second


def _negative_entropy(mix: Floats, log_mix: Floats) -> Floats:
    """Compute Σ η log η; 0·log 0 is 0."""
    result: Floats = np.where(mix > 0, mix * np.maximum(log_mix, -MAX_NLL), 0.0).sum(axis=1)
    return result


def _label_nll(log_mix: Floats, labels: NDArray[np.int64]) -> Floats:
    """Take −log η of the labels, at most MAX_NLL."""
    return np.minimum(-np.take_along_axis(log_mix, labels[:, None], axis=1)[:, 0], MAX_NLL)


def _group(mix: Floats, members: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Compute M, its class and P of one group of classes, [n] each."""
    own = mix[:, members]  # [n, m]
    place = own.argmax(axis=1)
    return own[np.arange(len(own)), place], members[place], own.sum(axis=1)
