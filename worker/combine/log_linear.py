"""Log-linear pooling of experts with a correction of their prior.

η ∝ exp(Σ_e a_e z_e + b·log π). Softmax of a cross-entropy expert's logits estimates the posterior under the train
prior, that of logit adjustment or balanced softmax under the balanced one; b moves the product between them. Source:
Genest & Zidek, "Combining probability distributions", 1986; Menon et al., "Long-tail learning via logit adjustment",
ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from app.domain.combining import LogLinearParameters, Method
from app.domain.errors import JobError
from worker.combine.rows import ExpertRows, Floats

GRADIENT = 1e-8
"""The fit ends below this largest component of the gradient of the weighted mean NLL."""

NEAR, ACCEPTED = 1e-5, 1e-6
"""Where Newton's steps take over, and the largest gradient that rounding may leave."""


def fit_log_linear(
    method: Method, rows: ExpertRows, log_prior: Floats | None, check: Callable[[], None] = lambda: None
) -> LogLinearParameters:
    """Fit a and b to the least weighted NLL, jointly convex in them.

    `geometric` fits nothing: a = 1/E, b = 0. `logit-adjustment` fits b only, `log-linear` both. Without a prior
    `log-linear` fits a only, and b is exactly 0.

    Args:
        method: one of these three.
        rows: what it is fitted on.
        log_prior: [C] log π, finite, or None if it is unknown.
        check: called before each pass over the rows; what it raises passes through.

    Raises:
        JobError: `train-counts-unknown`, `combination-not-fitted`.
    """
    start = np.append(np.full(rows.experts, 1 / rows.experts), 0.0)  # [E+1]
    if method == "logit-adjustment" and log_prior is None:
        raise JobError(
            "train-counts-unknown",
            "The method logit-adjustment needs the train counts of the classes, which this data set does not have.",
        )
    fitted = np.full(len(start), method == "log-linear")
    fitted[-1] = method != "geometric" and log_prior is not None
    values = start
    if fitted.any():
        values = _minimise(_Objective(rows, log_prior, fitted, check), start)
    return LogLinearParameters(tuple(map(float, values[:-1])), float(values[-1]))


@dataclass(frozen=True, eq=False)
class _Objective:
    """The weighted mean NLL as a function of those parameters that are fitted."""

    rows: ExpertRows
    log_prior: Floats | None
    fitted: NDArray[np.bool_]
    check: Callable[[], None]

    def gradient(self, values: Floats) -> tuple[float, Floats]:
        """Compute NLL and gradient [F] at all parameters [E+1]."""
        self.check()
        nll, total = 0.0, np.zeros(len(values))
        for part, gaps in self._gaps():
            nlls, shares = _softmax(values, gaps)
            weights = self.rows.weights[part]
            nll += float((weights * nlls).sum())
            shares *= weights[:, None]
            total += np.einsum("nc,dnc->d", shares, gaps)
        scale = self.rows.weights.sum()
        return nll / scale, total[self.fitted] / scale

    def curvature(self, values: Floats) -> Floats:
        """Compute the Hessian [F, F]: the weighted mean covariance of the gaps."""
        self.check()
        total = np.zeros((len(values), len(values)))
        for part, gaps in self._gaps():
            _, shares = _softmax(values, gaps)
            gaps -= np.einsum("nc,dnc->dn", shares, gaps)[:, :, None]
            shares *= self.rows.weights[part, None]
            for d in range(len(values)):
                total[d] += np.einsum("nc,knc->k", shares * gaps[d], gaps)
        total /= self.rows.weights.sum()
        return total[self.fitted][:, self.fitted]

    def _gaps(self) -> Iterator[tuple[slice, Floats]]:
        """Yield z_ec − z_ey, then log π_c − log π_y, [E+1, n, C] by blocks."""
        prior = np.zeros(self.rows.classes) if self.log_prior is None else self.log_prior
        for part, logits in self.rows.blocks():
            labels = self.rows.labels[part]
            gaps = np.empty((self.rows.experts + 1, len(labels), self.rows.classes))
            gaps[:-1] = logits.transpose(1, 0, 2)
            gaps[-1] = prior
            gaps -= np.take_along_axis(gaps, labels[None, :, None], axis=2)
            yield part, gaps


def _softmax(values: Floats, gaps: Floats) -> tuple[Floats, Floats]:
    """Compute NLL [n] and η [n, C]; the label's exponent is 0."""
    exponents = np.einsum("d,dnc->nc", values, gaps)
    largest = exponents.max(axis=1, keepdims=True)
    exponents -= largest
    np.exp(exponents, out=exponents)
    totals = exponents.sum(axis=1, keepdims=True)
    exponents /= totals
    return (np.log(totals) + largest)[:, 0], exponents


def _minimise(objective: _Objective, start: Floats) -> Floats:
    """Minimise by L-BFGS, then Newton's steps.

    Near the minimum the NLL's own rounding stops a line search; the gradient still says where to go. Each of Newton's
    steps is halved until the gradient's length falls, which on a convex function it does.
    """
    fitted = objective.fitted

    def at(part: Floats) -> Floats:
        values = start.copy()
        values[fitted] = part
        return values

    result = minimize(
        lambda part: objective.gradient(at(part)),
        start[fitted],
        jac=True,
        method="L-BFGS-B",
        options={"gtol": NEAR, "ftol": 0.0, "maxiter": 1000},
    )
    place: Floats = result.x
    slope = objective.gradient(at(place))[1]
    for _ in range(100):
        if np.abs(slope).max() < GRADIENT:
            break
        step = _newton_step(objective.curvature(at(place)), slope)
        for halving in range(20):
            next_place = place - step / 2**halving
            next_slope = objective.gradient(at(next_place))[1]
            if np.linalg.norm(next_slope) < np.linalg.norm(slope):
                break
        else:
            break
        place, slope = next_place, next_slope
    if not np.abs(slope).max() < ACCEPTED:  # NaN included
        raise JobError(
            "combination-not-fitted",
            f"The fit of the log-linear combination did not converge: the gradient of its NLL is still "
            f"{np.abs(slope).max():.2g}. Logits of a usual size, below some 1e6, converge.",
        )
    return at(place)


def _newton_step(curvature: Floats, slope: Floats) -> Floats:
    """Solve curvature · step = slope, [F]; the shortest step where several solve it."""
    scale = np.sqrt(np.diag(curvature))
    scale[scale == 0] = 1.0
    step: Floats = np.linalg.lstsq(curvature / np.outer(scale, scale), slope / scale, rcond=1e-12)[0]
    return step / scale
