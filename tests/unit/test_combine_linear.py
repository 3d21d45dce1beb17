"""The weights of a linear pool are the minimum of its NLL on the simplex."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.unit.combined import make_rows, permuted
from worker.combine.linear import fit_weights
from worker.combine.probabilities import label_log_probabilities
from worker.combine.rows import ExpertRows, Floats


def log_probabilities(rows: ExpertRows) -> Floats:
    return label_log_probabilities(rows, (1.0,) * rows.experts)


def test_two_rows_have_a_quarter_and_three_quarters() -> None:
    """Vector 3: P = [[.8, .4], [.2, .6]] gives q = (¼, ¾) and NLL ln 2."""
    probabilities = np.array([[0.8, 0.4], [0.2, 0.6]])
    q = fit_weights(np.log(probabilities), np.ones(2))
    np.testing.assert_allclose(q, [0.25, 0.75], atol=1e-5)
    assert -np.log(probabilities @ q).mean() == pytest.approx(np.log(2), abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_weights_have_a_lower_nll(seed: int) -> None:
    """A general constrained search finds no lower NLL, and the bound of duality says that there is none.

    max_e Σ_n w_n P_ne / mix_n − 1 bounds the distance from the lowest NLL (Lindsay, "Mixture models", 1995).
    """
    rows = make_rows(seed=seed, weighted=True)
    logs = log_probabilities(rows)
    p, w = np.exp(logs), rows.weights / rows.weights.sum()
    q = fit_weights(logs, rows.weights)
    assert q.sum() == pytest.approx(1.0, abs=1e-14)
    assert (q >= 0).all()
    search = minimize(
        lambda q: -(w * np.log(p @ q)).sum(),
        np.full(3, 1 / 3),
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(q, search.x, atol=1e-4)
    assert -(w * np.log(p @ q)).sum() <= search.fun + 1e-9
    assert ((w / (p @ q)) @ p).max() - 1 < 1e-5


def test_another_order_of_experts_is_another_order_of_weights() -> None:
    rows, order = make_rows(weighted=True), (2, 0, 1)
    q = fit_weights(log_probabilities(rows), rows.weights)
    other = fit_weights(log_probabilities(permuted(rows, order)), rows.weights)
    np.testing.assert_allclose(other, q[list(order)], atol=1e-9)


def test_one_expert_has_all_the_weight() -> None:
    rows = make_rows(experts=1)
    assert fit_weights(log_probabilities(rows), rows.weights).tolist() == [1.0]


def test_equal_experts_share_the_weight() -> None:
    rows = make_rows(experts=1)
    twins = np.repeat(log_probabilities(rows), 2, axis=1)
    assert fit_weights(twins, rows.weights).tolist() == [0.5, 0.5]


def test_probabilities_too_small_for_a_float_still_count() -> None:
    """Only their ratio within a row matters: with e^−2000 in front the weights of vector 3 are the same."""
    logs = np.log([[0.8, 0.4], [0.2, 0.6]]) + np.array([[-2000.0], [0.0]])
    np.testing.assert_allclose(fit_weights(logs, np.ones(2)), [0.25, 0.75], atol=1e-5)


def test_a_row_without_weight_counts_for_nothing() -> None:
    """Not even one that only an expert of no weight can explain."""
    logs = np.array([[0.0, -900.0], [0.0, -900.0], [-900.0, 0.0]])
    assert fit_weights(logs, np.array([1.5, 1.5, 0.0])) == pytest.approx([1.0, 0.0], abs=1e-12)


def test_the_check_stops_the_fit() -> None:
    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit_weights(np.zeros((2, 2)), np.ones(2), check)
