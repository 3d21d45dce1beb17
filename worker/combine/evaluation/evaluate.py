"""The evaluation of several methods on the same test rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from app.domain.evaluations import Evaluation
from worker.combine.evaluation.coverages import Values
from worker.combine.evaluation.figures import MethodFigures, concatenated
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows, Ints, MethodRows
from worker.combine.evaluation.outcome import outcome_of
from worker.combine.evaluation.samples import Samples, resampled
from worker.combine.rows import Floats

LEVEL = 0.95


def evaluate(
    methods: Sequence[MethodRows],
    labels: Ints,
    groups: Ints,
    group_names: Sequence[str],
    weights: Floats,
    images: Ints,
    coverages: Sequence[float],
    reference: str,
    check: Callable[[], None],
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate methods, with 95 % intervals on shared resamples.

    Of the N rows, `labels`, `groups` (0…K−1), `weights` (not negative, some above 0, scaled here to mean 1) and
    `images` are [N]; rows with the same image are drawn together. `coverages` [Q] rise, above 0 up to 1. `reference`
    is the name of the method that the others are compared with. `check` may raise to stop; it is called several times
    a second. The order of rows does not matter.

    Raises:
        ValueError: names repeat, the reference is missing, no row has weight, a coverage or a shape is wrong, or a
            value is not finite.
    """
    _validate(methods, labels, weights, coverages, reference)
    rows = EvaluatedRows.of(labels, groups, group_names, weights, images)
    targets = np.asarray(coverages, dtype=np.float64)
    samples = _resampled_values(methods, rows, targets, check, resamples, seed)
    by_name = {method.name: method for method in methods}
    compared = outcome_of(by_name[reference], rows, targets, check)
    results = []
    for method in methods:
        check()
        outcome = compared if method.name == reference else outcome_of(method, rows, targets, check)
        results.append(outcome.evaluation(samples[method.name], compared, samples[reference], LEVEL))
    return Evaluation(
        methods=tuple(results),
        coverages=tuple(map(float, coverages)),
        group_names=rows.group_names,
        reference=reference,
        resamples=resamples,
        level=LEVEL,
        seed=seed,
        rows=len(labels),
        effective_rows=float(rows.weights.sum() ** 2 / (rows.weights**2).sum()),
    )


def _resampled_values(
    methods: Sequence[MethodRows],
    rows: EvaluatedRows,
    coverages: Floats,
    check: Callable[[], None],
    resamples: int,
    seed: int,
) -> dict[str, Values]:
    """Compute all figures of all methods on the same resamples."""
    blocks: dict[str, list[Values]] = {method.name: [] for method in methods}
    for samples in resampled(rows, resamples, seed, check):
        for method in methods:
            blocks[method.name] += _block_values(method, rows, coverages, samples, check)
    return {name: concatenated(parts) for name, parts in blocks.items()}


def _block_values(
    method: MethodRows, rows: EvaluatedRows, coverages: Floats, samples: Samples, check: Callable[[], None]
) -> list[Values]:
    """Compute one method's figures; what is prepared for it is freed before the next one's."""
    check()
    figures = MethodFigures.of(method, rows, coverages, check)
    values = []
    for block in samples.blocks():
        check()
        values.append(figures.values(block))
    return values


def _validate(
    methods: Sequence[MethodRows], labels: Ints, weights: Floats, coverages: Sequence[float], reference: str
) -> None:
    """Refuse what would give wrong figures without notice."""
    names = [method.name for method in methods]
    if len(set(names)) < len(names) or reference not in names:
        raise ValueError(f"names must be unique and contain the reference {reference!r}: {names}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError("weights must be finite and not negative, with some above 0")
    if not coverages or not coverages[0] > 0 or coverages[-1] > 1 or (np.diff(coverages) <= 0).any():
        raise ValueError(f"coverages must rise, above 0 up to 1: {coverages}")
    for method in methods:
        shape = (len(labels),) if isinstance(method, ClassifierRows) else (len(coverages), len(labels))
        if not method.score.shape == method.predictions.shape == shape:
            raise ValueError(f"{method.name}: predictions {method.predictions.shape}, scores {method.score.shape}")
        optional = (method.nll, method.confidence) if isinstance(method, ClassifierRows) else ()
        for values in (method.score, method.thresholds, method.expert_weights, *optional):
            if values is not None and not np.isfinite(values).all():
                raise ValueError(f"{method.name}: a value is not finite")
