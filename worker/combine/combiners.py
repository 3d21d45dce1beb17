"""Combinations of experts with fitted parameters: logits in, log η out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.domain.combining import LinearParameters, LogLinearParameters, Method, NetParameters, Parameters
from worker.combine.features import gate_features
from worker.combine.gating_net import Tensors, decode_tensors, gate_scores
from worker.combine.probabilities import log_softmax, logsumexp
from worker.combine.rows import Combiner, Floats


@dataclass(frozen=True, eq=False)
class Linear:
    """η = Σ_e q_e softmax(z_e / T_e).

    Attributes:
        weights: q, [E].
        temperatures: T, [E].
    """

    weights: Floats
    temperatures: Floats

    def log_mix(self, logits: Floats) -> tuple[Floats, Floats]:
        """Combine z [n, E, C] to log η [n, C], with q for each row."""
        counted = np.flatnonzero(self.weights)
        parts = log_softmax(logits[:, counted] / self.temperatures[counted, None])  # [n, e, C]
        parts += np.log(self.weights[counted, None])
        return logsumexp(parts, axis=1), np.broadcast_to(self.weights, logits.shape[:2])


@dataclass(frozen=True, eq=False)
class LogLinear:
    """η ∝ exp(Σ_e a_e z_e + b·log π).

    Attributes:
        exponents: a, [E].
        offsets: b·log π, [C].
    """

    exponents: Floats
    offsets: Floats | float

    def log_mix(self, logits: Floats) -> tuple[Floats, None]:
        """Combine z [n, E, C] to log η [n, C]; there are no weights of experts."""
        return log_softmax(np.einsum("e,nec->nc", self.exponents, logits) + self.offsets), None


@dataclass(frozen=True, eq=False)
class Net:
    """η = Σ_e g_e(x) softmax(z_e / T_e), g the softmax of the gating net's scores.

    Attributes:
        tensors: the net's.
        temperatures: T, [E].
        feature_means: [7E+3], subtracted from the features.
        feature_scales: [7E+3], positive, that the features are divided by then.
    """

    tensors: Tensors
    temperatures: Floats
    feature_means: Floats
    feature_scales: Floats

    def log_mix(self, logits: Floats) -> tuple[Floats, Floats]:
        """Combine z [n, E, C] to log η [n, C], with g [n, E]."""
        parts = log_softmax(logits / self.temperatures[:, None])  # [n, E, C]
        features = (gate_features(np.exp(parts)) - self.feature_means) / self.feature_scales
        log_gate = log_softmax(gate_scores(self.tensors, features))
        parts += log_gate[:, :, None]
        return logsumexp(parts, axis=1), np.exp(log_gate)


def combiner_of(method: Method, parameters: Parameters, log_prior: Floats | None) -> Combiner:
    """Make the combination that parameters describe.

    `log_prior` is [C] log π; None will do unless the parameters have an exponent b ≠ 0 for it.
    """
    match parameters:
        case LinearParameters():
            return Linear(np.asarray(parameters.weights), np.asarray(parameters.temperatures))
        case LogLinearParameters(prior_exponent=0.0):
            return LogLinear(np.asarray(parameters.exponents), 0.0)
        case LogLinearParameters():
            if log_prior is None:
                raise ValueError(f"the method {method} has an exponent for the prior, which is missing")
            return LogLinear(np.asarray(parameters.exponents), parameters.prior_exponent * log_prior)
        case NetParameters():
            return Net(
                decode_tensors(parameters.tensors),
                np.asarray(parameters.temperatures),
                np.asarray(parameters.feature_means),
                np.asarray(parameters.feature_scales),
            )
