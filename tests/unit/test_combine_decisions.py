"""Rejectors decide from η alone, by the scores of their definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.combining import COVERAGES, Objective, Rule, Rules, Score
from app.domain.errors import JobError
from tests.unit.row_summaries import long_tailed, summary_of
from worker.combine.decisions import decide, group_scores, rule_scores, score_rows
from worker.combine.rejection import fit_rules
from worker.combine.thresholds import threshold_at

VECTOR = summary_of(np.array([[0.5, 0.2, 0.3]]), [0], [0, 0, 1])
U = (0.5 / 0.6, 0.5 / 0.2)


def no_check() -> None:
    """Let the work go on."""


@pytest.mark.parametrize(
    ("u", "v", "label", "score"),
    [
        (U, U, 2, -0.583333),
        (U, (U[0], U[1] - 1), 2, -0.283333),
        ((1.0, 1.0), (1.0, 1.0), 0, -0.5),
    ],
)
def test_the_plug_in_rule_has_the_classes_and_scores_of_the_vector(
    u: tuple[float, ...], v: tuple[float, ...], label: int, score: float
) -> None:
    scores, classes = group_scores(VECTOR, u, v)
    assert classes.tolist() == [label]
    assert scores[0] == pytest.approx(score, abs=5e-7)


def test_the_plug_in_rule_accepts_at_cost_030_and_rejects_at_025() -> None:
    rules = tuple(Rule(0.5, -cost, U, (U[0], U[1] - 1)) for cost in (0.25, 0.30))
    decisions = decide(Rules("group", "balanced", 0.0, rules), VECTOR)
    assert decisions.accepted[:, 0].tolist() == [False, True]
    assert decisions.predictions[:, 0].tolist() == [2, 2]


def test_group_scores_are_those_of_the_formula_for_three_groups() -> None:
    """score = max_k u_k M_k − Σ_k v_k P_k, and the class is argmax_y u_[y] η_y."""
    generator = np.random.default_rng(3)
    eta = generator.dirichlet(np.full(7, 0.5), size=200)
    of_class = np.array([0, 1, 2, 1, 0, 2, 2])
    u, v = np.array([0.2, 1.0, 0.6]), np.array([0.3, -0.4, 1.1])
    scores, classes = group_scores(summary_of(eta, [0] * 200, of_class.tolist()), u.tolist(), v.tolist())
    assert classes.tolist() == (u[of_class] * eta).argmax(1).tolist()
    np.testing.assert_allclose(scores, (u[of_class] * eta).max(1) - eta @ v[of_class], atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=4, max_size=4), min_size=1, max_size=10))
def test_equal_u_give_argmax_of_eta_the_first_of_equals(counts: list[list[int]]) -> None:
    eta = np.array(counts) / np.sum(counts, axis=1, keepdims=True)
    _, classes = group_scores(summary_of(eta, [0] * len(eta), [1, 0, 2, 0]), (1.0,) * 3, (1.0,) * 3)
    assert classes.tolist() == eta.argmax(1).tolist()


def test_scores_of_eta_alone_are_those_of_their_names() -> None:
    rows = summary_of(np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]), [0, 0], [0, 0, 1])
    rows = replace(rows, energy=np.array([2.0, 1.0]))
    assert score_rows("msp", rows).tolist() == [0.5, 0.8]
    assert score_rows("margin", rows) == pytest.approx([0.2, 0.7])
    assert score_rows("entropy", rows) == pytest.approx([-1.029653, -0.639032], abs=1e-6)
    assert score_rows("energy", rows).tolist() == [2.0, 1.0]


def test_energy_of_several_experts_is_refused() -> None:
    with pytest.raises(JobError) as refusal:
        fit_rules("energy", "balanced", COVERAGES, 0.0, VECTOR, no_check)
    assert refusal.value.code == "energy-of-several"


@pytest.mark.parametrize(("score", "objective"), [("msp", "balanced"), ("group", "balanced"), ("group", "worst")])
def test_decisions_depend_on_no_label(score: Score, objective: Objective) -> None:
    rules = fit_rules(score, objective, (0.3, 0.7), 0.0, long_tailed(300), no_check)
    rows = long_tailed(200, seed=1)
    other = replace(rows, labels=rows.labels[::-1], groups=1 - rows.groups, nll=-rows.nll, weights=rows.weights[::-1])
    mine, theirs = decide(rules, rows), decide(rules, other)
    assert mine.accepted.tobytes() == theirs.accepted.tobytes()
    assert mine.predictions.tobytes() == theirs.predictions.tobytes()
    assert mine.score.tobytes() == theirs.score.tobytes()


@pytest.mark.parametrize("score", ["msp", "margin", "entropy", "group"])
def test_full_coverage_accepts_all_rows_of_any_set(score: Score) -> None:
    rules = fit_rules(score, "worst", (0.5, 1.0), 0.0, long_tailed(300), no_check)
    decisions = decide(rules, long_tailed(500, seed=2))
    assert decisions.accepted[1].all()
    assert not decisions.accepted[0].all()


@pytest.mark.parametrize("score", ["msp", "margin", "entropy", "group"])
def test_decisions_on_the_fitted_rows_are_those_of_the_fit(score: Score) -> None:
    """A threshold accepts the row that it came from, so no coverage is lost to rounding."""
    rows = long_tailed(400, groups=3)
    rules = fit_rules(score, "balanced", (0.2, 0.45, 0.7, 0.95, 1.0), 0.0, rows, no_check)
    decisions = decide(rules, rows)
    for rule, accepted, values in zip(rules.rules, decisions.accepted, decisions.score, strict=True):
        share = rows.weights[accepted].sum() / rows.weights.sum()
        assert share == rule.fitted_coverage
        assert rule.coverage - 1e-9 <= share < rule.coverage + rows.weights.max() / rows.weights.sum()
        assert values.tolist() == rule_scores(score, rule, rows)[0].tolist()


def test_scores_of_eta_alone_are_not_copied_for_each_coverage() -> None:
    rows = long_tailed(100)
    decisions = decide(fit_rules("msp", "balanced", COVERAGES, 0.0, rows, no_check), rows)
    assert decisions.score.shape == decisions.predictions.shape == (17, 100)
    assert decisions.score.strides[0] == decisions.predictions.strides[0] == 0


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(0.2, 1), st.floats(-1.5, 1.5), st.floats(0.05, 0.95))
def test_scaling_u_and_v_and_shifting_v_change_no_decision(
    scale: float, shift: float, u_0: float, offset: float, coverage: float
) -> None:
    rows = long_tailed(150, seed=5)
    u, v = (u_0, 1.0), (u_0, 1.0 + offset)
    plain, classes = group_scores(rows, u, v)
    scaled_u, scaled_v = [scale * x for x in u], [scale * x + shift for x in v]
    moved, moved_classes = group_scores(rows, scaled_u, scaled_v)
    assert classes.tolist() == moved_classes.tolist()
    assert (plain >= threshold_at(plain, rows.weights, coverage)).tolist() == (
        moved >= threshold_at(moved, rows.weights, coverage)
    ).tolist()
