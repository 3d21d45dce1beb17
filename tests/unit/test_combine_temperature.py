"""The temperature of one expert is the minimum of its NLL."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tests.unit.combined import make_rows
from worker.combine.rows import ExpertRows
from worker.combine.temperature import BOUNDS, fit_temperature


def fit(rows: ExpertRows) -> float:
    return fit_temperature(rows.logits[0], rows.labels, rows.weights)


def test_three_rows_of_which_two_are_right_have_one_over_log_two() -> None:
    """Vector 1: z = (1, 0) three times with y = 0, 0, 1 gives T = 1 / ln 2."""
    logits = np.array([[1.0, 0.0]] * 3)
    assert fit_temperature(logits, np.array([0, 0, 1]), np.ones(3)) == pytest.approx(1 / np.log(2), rel=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_temperature_has_a_lower_nll(seed: int) -> None:
    """A bounded search on the plain formula finds the same T, with weights."""
    rows = make_rows(experts=1, seed=seed, weighted=True)
    values, every = rows.logits[0].astype(np.float64), np.arange(len(rows.labels))

    def nll(log_t: float) -> float:
        losses = -log_softmax(values / np.exp(log_t), axis=1)[every, rows.labels]
        return float(np.average(losses, weights=rows.weights))

    best = minimize_scalar(nll, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-9})
    found = fit(rows)
    assert found == pytest.approx(np.exp(best.x), rel=1e-6)
    assert nll(np.log(found)) <= best.fun + 1e-13


@given(st.floats(0.25, 4.0))
def test_logits_times_a_factor_have_a_temperature_times_it(factor: float) -> None:
    """T(k·z) = k·T(z), as far as both lie within the bounds."""
    rows = make_rows(experts=1)
    values = rows.logits[0].astype(np.float64)
    scaled = fit_temperature(values * factor, rows.labels, rows.weights)
    assert scaled == pytest.approx(factor * fit_temperature(values, rows.labels, rows.weights), rel=1e-9)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    rows = make_rows(40, experts=1)
    twice = np.repeat(np.arange(40), np.where(np.arange(40) < 10, 2, 1))
    weights = np.where(np.arange(40) < 10, 2.0, 1.0)
    repeated = fit_temperature(rows.logits[0][twice], rows.labels[twice], np.ones(len(twice)))
    assert fit_temperature(rows.logits[0], rows.labels, weights) == pytest.approx(repeated, rel=1e-10)


def test_constants_added_to_rows_change_nothing() -> None:
    """Softmax ignores them, however large they are."""
    rows = make_rows(experts=1)
    values = rows.logits[0].astype(np.float64)
    offsets = np.linspace(-1e5, 1e5, len(values))[:, None]
    shifted = fit_temperature(values + offsets, rows.labels, rows.weights)
    assert shifted == pytest.approx(fit_temperature(values, rows.labels, rows.weights), rel=1e-8)


def test_an_expert_that_is_always_right_gets_the_lower_bound_and_one_always_wrong_the_upper() -> None:
    logits = np.array([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    assert fit_temperature(logits, np.array([0, 1]), np.ones(2)) == BOUNDS[0]
    assert fit_temperature(logits, np.array([1, 0]), np.ones(2)) == BOUNDS[1]


@pytest.mark.parametrize("logits", [np.zeros((4, 3)), np.arange(4.0)[:, None]], ids=["equal", "one class"])
def test_logits_that_no_temperature_changes_keep_one(logits: np.ndarray) -> None:
    """With equal logits, or a single class, T is 1 rather than a bound."""
    assert fit_temperature(logits, np.zeros(4, dtype=np.int64), np.ones(4)) == 1.0


def test_blocks_of_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in blocks of three give what one block gives."""
    rows = make_rows(experts=1)
    whole = fit(rows)
    monkeypatch.setattr("worker.combine.rows.BLOCK_VALUES", 3 * rows.classes)
    assert fit(rows) == pytest.approx(whole, rel=1e-12)


def test_the_check_stops_the_fit() -> None:
    def check() -> None:
        raise InterruptedError

    rows = make_rows(experts=1)
    with pytest.raises(InterruptedError):
        fit_temperature(rows.logits[0], rows.labels, rows.weights, check)
