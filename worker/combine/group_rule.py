"""Error and acceptance of class groups, and the objectives made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.combining import Objective
from worker.combine.rows import Floats


def group_figures(
    accepted: NDArray[np.bool_], wrong: NDArray[np.bool_], groups: NDArray[np.int64], weights: Floats, count: int
) -> tuple[Floats, Floats]:
    """Measure error and acceptance by group.

    Args:
        accepted: [N], the rows that a rejector accepts.
        wrong: [N], the rows whose prediction is not the label.
        groups: [N], the labels' groups, 0…count−1.
        weights: [N], not negative.
        count: K.

    Returns:
        P(wrong | accepted, G_k) and P(accepted | G_k), [K] each; see `shares_of_weight`.
    """

    def weight(rows: NDArray[np.bool_]) -> Floats:
        return np.bincount(groups[rows], weights[rows], minlength=count).astype(np.float64)

    return shares_of_weight(weight(accepted & wrong), weight(accepted), weight(np.ones_like(accepted)))


def shares_of_weight(wrong: Floats, accepted: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Divide groups' wrong and accepted weight by accepted and total weight.

    Args:
        wrong: [..., K], the weight of accepted rows with a wrong prediction.
        accepted: [..., K], the weight of accepted rows.
        total: [K], the weight of all rows.

    Returns:
        Error and acceptance, 0…1, [..., K] each. A group with nothing accepted has error 1; one without weight has
        acceptance 0.
    """
    error = np.divide(wrong, accepted, out=np.ones_like(accepted), where=accepted > 0)
    acceptance = np.divide(accepted, total, out=np.zeros_like(accepted), where=total > 0)
    return np.minimum(error, 1.0), np.minimum(acceptance, 1.0)


def objective_of(objective: Objective, errors: Floats, present: Sequence[int]) -> Floats:
    """Reduce errors [..., K] to the balanced or the worst-group error [...].

    Args:
        objective: `balanced`, the groups' mean, or `worst`, their maximum.
        errors: by group.
        present: the groups that have weight; others take no part.
    """
    taken = errors[..., list(present)]
    reduced: Floats = np.asarray(taken.mean(axis=-1) if objective == "balanced" else taken.max(axis=-1))
    return reduced


def present_groups(groups: NDArray[np.int64], weights: Floats, count: int) -> tuple[int, ...]:
    """List the groups, of `count`, whose rows have weight."""
    return tuple(int(group) for group in np.flatnonzero(np.bincount(groups, weights, minlength=count) > 0))


def reweight(beta: Floats, errors: Floats, step: float) -> Floats:
    """Take an exponentiated-gradient step towards the worst groups.

    Args:
        beta: [K] the groups' weights in the objective, sum 1.
        errors: [K] their errors.
        step: ξ of Narasimhan et al., "Learning to reject meets long-tail learning", ICLR 2024, Algorithm 2.

    Returns:
        β_k exp(ξ e_k) / Σ_j β_j exp(ξ e_j), [K].
    """
    raised = beta * np.exp(step * errors)
    scaled: Floats = raised / raised.sum()
    return scaled
