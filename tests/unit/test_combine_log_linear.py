"""The exponents of a log-linear pool are the minimum of its NLL."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from sklearn.linear_model import LogisticRegression

from app.domain.combining import LogLinearParameters
from app.domain.errors import JobError
from tests.unit.combined import make_rows, permuted, plain_log_linear, stacked, weighted_nll
from worker.combine.log_linear import fit_log_linear
from worker.combine.prior import log_prior
from worker.combine.rows import ExpertRows, Floats

PRIOR = log_prior(np.array([500, 200, 80, 30, 12, 5, 0]))


def values_of(parameters: LogLinearParameters) -> Floats:
    return np.array([*parameters.exponents, parameters.prior_exponent])


def test_six_rows_of_one_expert() -> None:
    """Vector 2: a = ½ ln 3, b = ln 3 / (2 ln 4), NLL .605939."""
    logits = np.array([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 2)
    rows = ExpertRows((logits,), np.array([0, 0, 0, 1, 0, 1]), np.ones(6))
    prior = np.log([0.8, 0.2])
    found = fit_log_linear("log-linear", rows, prior)
    assert found.exponents[0] == pytest.approx(0.5 * np.log(3), abs=1e-8)
    assert found.prior_exponent == pytest.approx(np.log(3) / (2 * np.log(4)), abs=1e-8)
    assert found.prior_exponent == pytest.approx(0.396241, abs=5e-7)
    assert weighted_nll(plain_log_linear(values_of(found), rows, prior), rows) == pytest.approx(0.605939, abs=5e-7)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_exponents_have_a_lower_nll(seed: int) -> None:
    """A search without gradients on the plain formula ends there too; the slope there is below 1e-8."""
    rows = make_rows(seed=seed, weighted=True)

    def nll(values: Floats) -> float:
        return weighted_nll(plain_log_linear(values, rows, PRIOR), rows)

    found = values_of(fit_log_linear("log-linear", rows, PRIOR))
    start = np.array([1 / 3, 1 / 3, 1 / 3, 0.0])
    search = minimize(nll, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 5000})
    np.testing.assert_allclose(found, search.x, atol=1e-5)
    assert nll(found) <= search.fun + 1e-14
    mix = np.exp(plain_log_linear(found, rows, PRIOR))
    z = np.concatenate([stacked(rows), np.broadcast_to(PRIOR, (len(mix), 1, 7))], axis=1)  # [N, E+1, C]
    of_label = z[np.arange(len(mix)), :, rows.labels]
    slope = np.average(np.einsum("nc,nec->ne", mix, z) - of_label, axis=0, weights=rows.weights)
    assert np.abs(slope).max() < 1e-8


def test_two_classes_are_logistic_regression() -> None:
    """With C = 2 it is logistic regression on z_1 − z_0 with log π_1 / π_0 times b as its intercept."""
    rows = make_rows(200, 2, 2, weighted=True)
    prior = np.log([0.9, 0.1])
    gaps = stacked(rows)[:, :, 1] - stacked(rows)[:, :, 0]
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(gaps, rows.labels, sample_weight=rows.weights)
    found = fit_log_linear("log-linear", rows, prior)
    np.testing.assert_allclose(found.exponents, model.coef_[0], rtol=1e-5)
    assert found.prior_exponent * (prior[1] - prior[0]) == pytest.approx(float(model.intercept_[0]), rel=1e-5)


def test_another_order_of_experts_is_another_order_of_exponents() -> None:
    rows, order = make_rows(weighted=True), (1, 2, 0)
    found = fit_log_linear("log-linear", rows, PRIOR)
    other = fit_log_linear("log-linear", permuted(rows, order), PRIOR)
    np.testing.assert_allclose(other.exponents, [found.exponents[e] for e in order], atol=1e-9)
    assert other.prior_exponent == pytest.approx(found.prior_exponent, abs=1e-9)


def test_logit_adjustment_fits_the_prior_alone() -> None:
    """a stays 1/E, and b is the minimum of one variable."""
    rows = make_rows(weighted=True)
    found = fit_log_linear("logit-adjustment", rows, PRIOR)
    assert found.exponents == (1 / 3,) * 3
    search = minimize_scalar(
        lambda b: weighted_nll(plain_log_linear(np.array([*found.exponents, b]), rows, PRIOR), rows),
        bracket=(-2.0, 2.0),
    )
    assert found.prior_exponent == pytest.approx(search.x, abs=1e-6)


def test_geometric_fits_nothing() -> None:
    assert fit_log_linear("geometric", make_rows(), PRIOR) == LogLinearParameters((1 / 3,) * 3, 0.0)


def test_without_a_prior_only_the_experts_are_fitted() -> None:
    """b is exactly 0, and a is the minimum without it; logit adjustment has nothing to fit and is an error."""
    rows = make_rows(weighted=True)
    found = fit_log_linear("log-linear", rows, None)
    assert found.prior_exponent == 0.0
    search = minimize(
        lambda a: weighted_nll(plain_log_linear(np.append(a, 0.0), rows, PRIOR), rows), np.full(3, 1 / 3), tol=1e-9
    )
    np.testing.assert_allclose(found.exponents, search.x, atol=1e-5)
    with pytest.raises(JobError, match="train counts") as caught:
        fit_log_linear("logit-adjustment", rows, None)
    assert caught.value.code == "train-counts-unknown"


def test_a_balanced_prior_has_no_exponent() -> None:
    """All classes gain the same from it, so b stays 0."""
    rows = make_rows()
    assert fit_log_linear("log-linear", rows, log_prior(np.full(7, 50))).prior_exponent == 0.0


def test_equal_experts_share_their_exponent() -> None:
    """Their sum is determined, each is not: the shares are equal."""
    alone = make_rows(experts=1)
    twins = ExpertRows(alone.logits * 2, alone.labels, alone.weights)
    one = fit_log_linear("log-linear", alone, PRIOR)
    two = fit_log_linear("log-linear", twins, PRIOR)
    np.testing.assert_allclose(two.exponents, [one.exponents[0] / 2] * 2, atol=1e-7)


def test_an_expert_that_is_always_right_ends_with_a_flat_nll() -> None:
    """There is no finite minimum; the fit stops where the slope is below 1e-8, so with an NLL near 0."""
    logits = np.eye(4)[[0, 1, 2, 3, 0]]
    rows = ExpertRows((logits,), np.array([0, 1, 2, 3, 0]), np.ones(5))
    found = fit_log_linear("log-linear", rows, None)
    assert np.isfinite(found.exponents).all()
    assert weighted_nll(plain_log_linear(values_of(found), rows, np.zeros(4)), rows) < 1e-8


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_experts_on_any_scale_are_fitted(factor: float) -> None:
    """Logits times k have exponents divided by k."""
    rows = make_rows()
    scaled = ExpertRows(tuple(z.astype(np.float64) * factor for z in rows.logits), rows.labels, rows.weights)
    expected = np.array(fit_log_linear("log-linear", rows, PRIOR).exponents)
    np.testing.assert_allclose(
        np.array(fit_log_linear("log-linear", scaled, PRIOR).exponents) * factor, expected, rtol=1e-3
    )


def test_blocks_of_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in blocks of two give what one block gives."""
    rows = make_rows(weighted=True)
    whole = values_of(fit_log_linear("log-linear", rows, PRIOR))
    monkeypatch.setattr("worker.combine.rows.BLOCK_VALUES", 2 * rows.classes * rows.experts)
    np.testing.assert_allclose(values_of(fit_log_linear("log-linear", rows, PRIOR)), whole, atol=1e-9)


def test_the_check_stops_the_fit() -> None:
    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit_log_linear("log-linear", make_rows(), PRIOR, check)
