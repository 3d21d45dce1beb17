"""The divergence D between a normalisation and a stem's running statistics, and the free fit of least D.

With u = (1/std, mean/std), the first convolution's output has the mean L u + bias and the variance u^T Q u. L and Q
depend on stem, pool and hypothesis only, so that a normalisation costs microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.catalog.datasets import Transform
from worker.normalisation.augmentations import Floats
from worker.normalisation.patches import FEATURES, VALUES, Moments
from worker.normalisation.stem import Stem

FIT_STEPS = 40
FIT_TOLERANCE = 1e-8  # relative gain of D below which a fit has converged
TINY = 1e-12  # keeps variances and curvatures of grey images above 0


@dataclass(frozen=True, eq=False)
class Response:
    """A stem's response to a pool, as a function of u.

    `linear` is [..., O, 6] float64, L; `quadratic` [..., O, 6, 6] float64, Q; leading axes are those of the moments.
    """

    stem: Stem
    linear: Floats
    quadratic: Floats

    @classmethod
    def of(cls, stem: Stem, moments: Moments, *, swapped: bool = False) -> Response:
        """Combine a stem with moments of RGB patches.

        `swapped`: whether the network reads channels in the order B, G, R; u stays in the order R, G, B.
        """
        weight = stem.weight[:, ::-1] if swapped else stem.weight
        flat = weight.reshape(len(weight), 3, 9)
        design = np.zeros((len(weight), 6, FEATURES))
        for channel in range(3):
            design[:, channel, 9 * channel : 9 * channel + 9] = flat[:, channel]
            design[:, 3 + channel, VALUES:] = -flat[:, channel]
        linear = np.einsum("oif,...f->...oi", design, moments.mean)
        quadratic = design @ moments.covariance[..., None, :, :] @ design.swapaxes(1, 2)
        return cls(stem, linear, quadratic)

    def __getitem__(self, hypothesis: int) -> Response:
        """Return the response under one of the stacked hypotheses."""
        return Response(self.stem, self.linear[hypothesis], self.quadratic[hypothesis])

    def divergence(self, u: Floats) -> Floats:
        """Compute D of the normalisation that u describes, [...]."""
        mean, variance = self.output(u)
        return divergence(mean, variance, self.stem.mean, self.stem.variance)

    def output(self, u: Floats) -> tuple[Floats, Floats]:
        """Return means and variances [..., O] of the convolution's output."""
        return self.linear @ u + self.stem.bias, self.quadratic @ u @ u


def divergence(mean: Floats, variance: Floats, running_mean: Floats, running_variance: Floats) -> Floats:
    """Compute D, a distance between means and variances.

    D is the mean over channels of 1/2 [(v/r + r/v)/2 + (m - mu)^2 (1/r + 1/v)/2 - 1], the mean of the two
    Kullback-Leibler divergences between the normal distributions N(m, v), of a candidate [..., O], and N(mu, r), of
    the batch norm [O]. Returns [...], at least 0; infinite where a variance is not positive.
    """
    usable = (variance > 0) & (running_variance > 0)
    v, r = np.where(usable, variance, 1), np.where(usable, running_variance, 1)
    spread = v / r + r / v
    shift = (mean - running_mean) ** 2 * (1 / v + 1 / r)
    distances: Floats = np.where(usable, (spread + shift) / 4 - 0.5, np.inf).mean(axis=-1)
    return distances


def coefficients(transform: Transform) -> Floats:
    """Return u = (1/std, mean/std) of a normalisation, [6] float64."""
    mean, std = np.array(transform.mean), np.array(transform.std)
    return np.concatenate([1 / std, mean / std])


def free_fit(response: Response, start: Transform) -> tuple[Transform, float] | None:
    """Minimise D over mean and std by Levenberg and Marquardt.

    Returns the normalisation, rounded to 4 digits, and its D; None if the fit from `start` does not reach a positive
    std.
    """
    u, damping = coefficients(start), 1e-3
    residuals, jacobian = _residuals(response, u)
    for _ in range(FIT_STEPS):
        normal = jacobian.T @ jacobian
        damped = normal + damping * np.diag(normal.diagonal() + TINY)
        step = np.linalg.solve(damped, jacobian.T @ residuals)
        moved, slopes = _residuals(response, u - step)
        gain = residuals @ residuals - moved @ moved
        if gain <= 0:
            damping *= 5
            continue
        converged = gain < FIT_TOLERANCE * (residuals @ residuals)
        u, residuals, jacobian, damping = u - step, moved, slopes, damping / 5
        if converged:
            break
    if (u[:3] <= 0).any() or not np.isfinite(u).all():
        return None
    mean, std = (u[3:] / u[:3]).round(4).tolist(), (1 / u[:3]).round(4).tolist()
    return Transform(mean=tuple(mean), std=tuple(std)), float(response.divergence(u))


def _residuals(response: Response, u: Floats) -> tuple[Floats, Floats]:
    """Return residuals [2O] and their derivatives [2O, 6] by u.

    The squares of the residuals sum to O times D.
    """
    stem = response.stem
    mean, variance = response.output(u)
    variance = np.maximum(variance, TINY * stem.variance)
    mean_slope, variance_slope = response.linear, 2 * response.quadratic @ u
    ratio = variance / stem.variance
    spread = (np.sqrt(ratio) - 1 / np.sqrt(ratio)) / 2
    spread_slope = ((1 + 1 / ratio) / (4 * np.sqrt(ratio) * stem.variance))[:, None] * variance_slope
    scale = np.sqrt(1 / stem.variance + 1 / variance)
    distance = mean - stem.mean
    shift = distance * scale / 2
    shift_slope = scale[:, None] * mean_slope / 2 - (distance / (4 * scale * variance**2))[:, None] * variance_slope
    return np.concatenate([spread, shift]), np.concatenate([spread_slope, shift_slope])
