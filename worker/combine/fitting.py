"""Fit combinations of experts, and choose one on `validate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.domain.combine_requests import NetOptions
from app.domain.combining import (
    PRETRAINED,
    Candidate,
    LinearParameters,
    Method,
    NetParameters,
    Parameters,
    ValidateFigures,
)
from worker.combine.combiners import combiner_of
from worker.combine.features import feature_count, gate_features
from worker.combine.gating_net import GateRows, encode_tensors
from worker.combine.linear import fit_weights
from worker.combine.log_linear import fit_log_linear
from worker.combine.probabilities import label_log_probabilities, log_softmax
from worker.combine.rows import ClassGroups, ExpertRows, Floats, RowSummary
from worker.combine.summary import row_nll, summarise
from worker.combine.temperature import fit_temperature
from worker.verify.metrics.bootstrap import draw

LEAST_SCALE = 1e-6
"""A feature of a smaller standard deviation is constant but for rounding, and is not scaled."""

RESAMPLES, SEED = 1000, 0
"""Of the bootstrap that compares the candidates."""


@dataclass(frozen=True, eq=False)
class FitData:
    """What combinations are fitted on, and how.

    Attributes:
        fit: rows that parameters are fitted on.
        validate: rows that choose among combinations, and the net's epoch.
        log_prior: [C] log π, or None if the train counts are unknown.
        options: of the net's training.
        check: called at least once in each pass over the rows; what it raises passes through.
    """

    fit: ExpertRows
    validate: ExpertRows
    log_prior: Floats | None
    options: NetOptions = field(default_factory=NetOptions)
    check: Callable[[], None] = lambda: None

    @cached_property
    def temperatures(self) -> tuple[float, ...]:
        """T_e of each expert alone; `temperature`, `linear` and `net` share them."""
        return tuple(
            fit_temperature(logits, self.fit.labels, self.fit.weights, self.check) for logits in self.fit.logits
        )


def fit_method(
    method: Method,
    fit: ExpertRows,
    validate: ExpertRows,
    log_prior: Floats | None,
    options: NetOptions,
    check: Callable[[], None],
) -> tuple[Parameters, float]:
    """Fit one combination.

    Without a prior `log-linear` fits a alone: its `prior_exponent` is exactly 0 then. Only `net` needs `validate`, to
    choose the epoch.

    Returns:
        The parameters, and the weighted NLL on `fit`, in nats.

    Raises:
        JobError: `train-counts-unknown`, `gating-too-few-rows`, `combination-not-fitted`.
    """
    return _fit(method, FitData(fit, validate, log_prior, options, check))


def pretrain(data: FitData, groups: ClassGroups, method: Method | None = None) -> tuple[list[Candidate], Method]:
    """Fit all of PRETRAINED, or the one method that is named, and choose one on `validate`.

    The lowest NLL is best, but the simplest combination wins whose NLL `validate` cannot tell from the best's: the
    95 % interval of their difference contains 0.

    Returns:
        The candidates in the order of PRETRAINED, and the method chosen.

    Raises:
        JobError: as `fit_method`.
    """
    methods = PRETRAINED if method is None else (method,)
    fitted = [_fit(each, data) for each in methods]
    summaries = [
        summarise(data.validate, combiner_of(each, parameters, data.log_prior), groups)
        for each, (parameters, _) in zip(methods, fitted, strict=True)
    ]
    intervals = nll_differences([summary.nll for summary in summaries], data.validate.labels, data.validate.weights)
    candidates = [
        Candidate(each, parameters, nll, validate_figures(summary, groups), interval)
        for each, (parameters, nll), summary, interval in zip(methods, fitted, summaries, intervals, strict=True)
    ]
    equal = (interval is None or interval[0] <= 0 <= interval[1] for interval in intervals)
    return candidates, next(each for each, chosen in zip(methods, equal, strict=True) if chosen)


def assess(method: Method, parameters: Parameters, data: FitData, groups: ClassGroups) -> Candidate:
    """Compute the figures of given parameters; nothing is fitted."""
    summary = summarise(data.validate, combiner_of(method, parameters, data.log_prior), groups)
    return Candidate(method, parameters, _fit_nll(method, parameters, data), validate_figures(summary, groups))


def nll_differences(
    nlls: Sequence[Floats], labels: NDArray[np.int64], weights: Floats
) -> list[tuple[float, float] | None]:
    """Compare the NLL of M combinations with the lowest, by a paired bootstrap.

    Every resample draws, for each class, as many of its rows as it has; all combinations share it. Source: Efron &
    Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentiles), and 8.3 (strata).

    Args:
        nlls: M arrays [N].
        labels: [N].
        weights: [N], not negative, some positive.

    Returns:
        95 % intervals of the weighted mean NLL minus the lowest one, in nats; None for the first of the lowest.
    """
    columns = np.stack(nlls, axis=1)  # [N, M]
    best = int((weights[:, None] * columns).sum(axis=0).argmin())
    gaps = weights[:, None] * (columns - columns[:, [best]])
    # Rows of a class are numbered by a value that all combinations share, so that their order hardly matters.
    values = np.concatenate(
        [
            gaps[drawn].sum(axis=1) / weights[drawn].sum(axis=1)[:, None]
            for drawn in draw(labels, columns.mean(axis=1), RESAMPLES, SEED)
        ]
    )  # [RESAMPLES, M]
    low, high = np.quantile(values, (0.025, 0.975), axis=0)
    return [None if m == best else (float(low[m]), float(high[m])) for m in range(len(nlls))]


def validate_figures(summary: RowSummary, groups: ClassGroups) -> ValidateFigures:
    """Compute the figures of a combination, with weighted rows.

    Classes without weight count in no mean.
    """
    weights, correct = summary.weights, summary.weights * (summary.predictions == summary.labels)
    of_class = _shares(correct, weights, summary.labels, len(groups.of_class))
    of_group = _shares(correct, weights, summary.groups, len(groups.names))
    return ValidateFigures(
        nll=float((weights * summary.nll).sum() / weights.sum()),
        accuracy=float(correct.sum() / weights.sum()),
        balanced_accuracy=float(np.nanmean(of_class)),
        group_accuracy={
            name: None if np.isnan(value) else float(value)
            for name, value in zip(groups.names, of_group, strict=True)
        },
    )


def _shares(correct: Floats, weights: Floats, place: NDArray[np.int64], count: int) -> Floats:
    """Compute the share of correct weight at each place, [count]; NaN where there is no weight."""
    total = np.bincount(place, weights=weights, minlength=count)
    right = np.bincount(place, weights=correct, minlength=count)
    result = np.full(count, np.nan)
    np.divide(right, total, out=result, where=total > 0)
    return result


def _fit(method: Method, data: FitData) -> tuple[Parameters, float]:
    """Fit one combination; see `fit_method`."""
    parameters = _fit_parameters(method, data)
    return parameters, _fit_nll(method, parameters, data)


def _fit_nll(method: Method, parameters: Parameters, data: FitData) -> float:
    """Compute the weighted mean NLL on `fit`, in nats."""
    nll = row_nll(data.fit, combiner_of(method, parameters, data.log_prior))
    return float((data.fit.weights * nll).sum() / data.fit.weights.sum())


def _fit_parameters(method: Method, data: FitData) -> Parameters:
    """Fit the parameters of one combination."""
    experts = data.fit.experts
    equal = (1 / experts,) * experts
    match method:
        case "uniform":
            return LinearParameters(equal, (1.0,) * experts)
        case "temperature":
            return LinearParameters(equal, data.temperatures)
        case "linear":
            log_probabilities = label_log_probabilities(data.fit, data.temperatures)
            weights = fit_weights(log_probabilities, data.fit.weights, data.check)
            return LinearParameters(tuple(map(float, weights)), data.temperatures)
        case "net":
            return _fit_net(data)
        case "geometric" | "logit-adjustment" | "log-linear":
            return fit_log_linear(method, data.fit, data.log_prior, data.check)


def _fit_net(data: FitData) -> NetParameters:
    """Train the gating net on features standardised by those of `fit`."""
    # Only this needs PyTorch.
    from worker.combine.net_training import train_net

    features = _features(data.fit, data.temperatures)
    means, scales = features.mean(axis=0), features.std(axis=0)
    scales[scales < LEAST_SCALE] = 1.0

    def gate_rows(rows: ExpertRows, values: Floats) -> GateRows:
        return GateRows((values - means) / scales, label_log_probabilities(rows, data.temperatures), rows.weights)

    tensors, epoch = train_net(
        gate_rows(data.fit, features),
        gate_rows(data.validate, _features(data.validate, data.temperatures)),
        data.options,
        data.check,
    )
    return NetParameters(
        data.temperatures,
        tuple(map(float, means)),
        tuple(map(float, scales)),
        encode_tensors(tensors),
        epoch,
    )


def _features(rows: ExpertRows, temperatures: tuple[float, ...]) -> Floats:
    """Compute the gate's features of softmax(z_e / T_e), [N, 7E+3]."""
    result = np.empty((len(rows.labels), feature_count(rows.experts)))
    scale = np.asarray(temperatures)[:, None]
    for part, logits in rows.blocks():
        result[part] = gate_features(np.exp(log_softmax(logits / scale)))
    return result
