"""The search takes the rule with the least objective of its grid, for each coverage."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from app.domain.combining import COVERAGES, Objective, Rules
from app.domain.errors import JobError
from tests.unit.row_summaries import long_tailed, summary_of
from worker.combine.decisions import decide, group_scores
from worker.combine.rejection import concatenate, fit_rules
from worker.combine.rows import RowSummary
from worker.combine.rule_grid import RuleTable

OBJECTIVES: tuple[Objective, ...] = ("balanced", "worst")
FIELDS = tuple(field.name for field in fields(RowSummary))


def no_check() -> None:
    """Let the work go on."""


def fitted(rows: RowSummary, objective: Objective, coverages: tuple[float, ...] = COVERAGES) -> Rules:
    return fit_rules("group", objective, coverages, 0.0, rows, no_check)


def plain_errors(rows: RowSummary, u: list[float], v: list[float], coverage: float) -> list[float]:
    """Errors by group of a rule at a coverage, by loops over sorted rows."""
    score, classes = group_scores(rows, u, v)
    total, taken, threshold = rows.weights.sum(), 0.0, -np.inf
    for row in np.argsort(-score):
        if taken >= coverage * total - 1e-9:
            break
        taken += rows.weights[row]
        threshold = score[row]
    errors = []
    for group in range(rows.group_max.shape[1]):
        inside = (score >= threshold) & (rows.groups == group)
        wrong = inside & (classes != rows.labels)
        errors.append(float(rows.weights[wrong].sum() / rows.weights[inside].sum()) if inside.any() else 1.0)
    return errors


def best_by_loops(rows: RowSummary, objective: Objective, coverage: float) -> tuple[float, list[float], list[float]]:
    """Compare all 558 rules of two groups one by one."""
    shares = [rows.weights[rows.groups == group].sum() for group in (0, 1)]
    ratios = [*(shares[0] / shares[1] * np.geomspace(0.25, 4, 17)), 1.0]
    compared = []
    for ratio in ratios:
        for offset in np.linspace(-1.5, 1.5, 31):
            u = [1 / max(1, ratio), ratio / max(1, ratio)]
            v = [u[0], u[1] + offset]
            errors = plain_errors(rows, u, v, coverage)
            value = sum(errors) / 2 if objective == "balanced" else max(errors)
            compared.append((round(value, 9), round(abs(np.log(ratio)) + abs(offset), 9), u, v))
    value, _, u, v = min(compared, key=lambda rule: rule[:2])
    return value, u, v


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("listed", [True, False])
def test_of_two_groups_the_best_rule_of_the_whole_grid_is_taken(objective: Objective, listed: bool) -> None:
    rows = long_tailed(60, seed=4, listed=listed)
    for rule in fitted(rows, objective, (0.3, 0.8)).rules:
        value, u, v = best_by_loops(rows, objective, rule.coverage)
        assert rule.objective == pytest.approx(value, abs=2e-9)
        assert rule.u == pytest.approx(u, rel=1e-12)
        assert rule.v == pytest.approx(v, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("groups", [2, 3, 4])
def test_the_group_rule_is_never_worse_than_msp_on_the_fitted_rows(objective: Objective, groups: int) -> None:
    rows = long_tailed(400, groups=groups, seed=groups)
    coverages = COVERAGES if groups == 2 else (0.3, 0.6, 1.0)
    msp = fit_rules("msp", objective, coverages, 0.0, rows, no_check)
    gains = []
    for rule, plain in zip(fitted(rows, objective, coverages).rules, msp.rules, strict=True):
        reduce = np.mean if objective == "balanced" else np.max
        assert rule.objective == pytest.approx(float(reduce(rule.group_errors)), abs=1e-12)
        gains.append(float(reduce(plain.group_errors)) - float(reduce(rule.group_errors)))
    assert min(gains) >= -1e-9
    assert max(gains) > 0.02


def test_ties_go_to_the_rule_nearest_to_msp() -> None:
    """A model that is always right has no error under many rules."""
    eta = np.full((40, 4), 0.1 / 3)
    eta[np.arange(40), np.arange(40) % 4] = 0.9
    rows = summary_of(eta, (np.arange(40) % 4).tolist(), [0, 0, 0, 1])
    for rule in fitted(rows, "balanced").rules:
        assert (rule.u, rule.v, rule.objective) == ((1.0, 1.0), (1.0, 1.0), 0.0)


def test_select_takes_shortfall_before_objective_before_distance() -> None:
    table = RuleTable(np.array([1.0, 2.0, 1.0, 1.0]), np.array([0.5, 0.1, -0.2, 0.0]), np.zeros(0), np.zeros(0))
    none, tiny = np.zeros(4), 1e-13 * np.array([0, 1, 2, 3])
    assert table.select(np.array([0.3, 0.2, 0.2, 0.9]) + tiny, none) == 2
    assert table.select(np.array([0.3, 0.2, 0.2, 0.9]), np.array([0.1, 0.1, 0.1, 0.0])) == 3
    assert table.select(none + tiny, none + tiny) == 3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_one_group_or_an_empty_one_the_rule_has_the_order_of_msp(objective: Objective) -> None:
    rows = long_tailed(300, seed=6)
    eta_of_head = replace(rows, groups=np.zeros_like(rows.groups))  # the tail has classes, but no rows
    single = replace(
        rows,
        groups=np.zeros_like(rows.groups),
        group_max=rows.confidence[:, None],
        group_class=rows.predictions[:, None],
        group_mass=np.ones((300, 1)),
    )
    none, zero = np.zeros((300, 1)), np.zeros((300, 1), dtype=np.int64)
    without_classes = replace(
        single,
        group_max=np.hstack([none, single.group_max]),
        group_class=np.hstack([zero, single.group_class]),
        group_mass=np.hstack([none, single.group_mass]),
        groups=np.ones_like(rows.groups),
    )
    weightless = replace(rows, weights=np.where(rows.groups == 0, 1.0, 0.0))
    for case in (eta_of_head, single, without_classes, weightless):
        group = decide(fitted(case, objective), case)
        msp = decide(fit_rules("msp", objective, COVERAGES, 0.0, case, no_check), case)
        assert group.accepted.tolist() == msp.accepted.tolist()
        assert group.predictions.tolist() == msp.predictions.tolist()


def test_a_group_without_rows_takes_no_part() -> None:
    """Two of three groups have rows: the third keeps ρ = 1, λ = 0, and the others' rules are of the whole grid."""
    rows = long_tailed(200, groups=3, seed=7)
    kept = rows.groups < 2
    part = replace(rows, **{name: value[kept] for name in FIELDS if (value := getattr(rows, name)) is not None})
    for objective in OBJECTIVES:
        for rule in fitted(part, objective, (0.4, 1.0)).rules:
            assert (rule.u[2], rule.v[2]) == (rule.u[0], rule.v[0])
            assert (rule.group_errors[2], rule.group_acceptance[2]) == (1.0, 0.0)
            reduced = np.mean(rule.group_errors[:2]) if objective == "balanced" else max(rule.group_errors[:2])
            assert rule.objective == pytest.approx(float(reduced), abs=1e-12)


def test_the_worst_group_of_three_is_better_than_under_the_balanced_rule() -> None:
    rows = long_tailed(600, groups=3, seed=8)
    balanced, worst = fitted(rows, "balanced", (0.3, 0.6, 1.0)), fitted(rows, "worst", (0.3, 0.6, 1.0))
    gains = [
        max(other.group_errors) - max(rule.group_errors)
        for rule, other in zip(worst.rules, balanced.rules, strict=True)
    ]
    assert min(gains) >= -1e-9
    assert max(gains) > 0.01


@pytest.mark.parametrize("groups", [2, 3])
def test_rules_accept_the_least_share_of_each_group_that_is_asked_for(groups: int) -> None:
    rows = long_tailed(500, groups=groups, seed=9)
    coverages = (0.3, 0.6, 1.0)
    free = fitted(rows, "balanced", coverages)
    bound = fit_rules("group", "balanced", coverages, 0.9, rows, no_check)
    assert min(free.rules[0].group_acceptance) < 0.9 * 0.3
    for rule, other in zip(bound.rules, free.rules, strict=True):
        assert min(rule.group_acceptance) >= 0.9 * rule.coverage - 1e-9
        assert rule.objective is not None
        assert other.objective is not None
        if groups == 2:
            assert rule.objective >= other.objective - 1e-9


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("groups", [2, 3])
def test_a_share_that_no_rule_reaches_is_refused(objective: Objective, groups: int) -> None:
    """Rows of each kind tie, and a group's rows are all of one kind: a rule accepts all of a group, or none."""
    eta = np.tile(np.array([[0.5, 0.1, 0.2, 0.2]]), (90, 1))
    eta[:30] = [0.8, 0.07, 0.07, 0.06]
    labels = [0] * 30 + [2] * 30 + [3] * 30
    rows = summary_of(eta, labels, [0, 0, 1, 2] if groups == 3 else [0, 0, 1, 1])
    with pytest.raises(JobError) as refusal:
        fit_rules("group", objective, (0.3,), 1.0, rows, no_check)
    assert refusal.value.code == "group-coverage-impossible"
    assert refusal.value.details["coverage"] == 0.3


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("groups", [2, 3])
def test_equal_input_gives_equal_rules_as_stored(objective: Objective, groups: int) -> None:
    rows = long_tailed(200, groups=groups)
    rules = fitted(rows, objective, (0.25, 0.7, 1.0))
    assert repr(rules.to_dict()) == repr(fitted(rows, objective, (1.0, 0.7, 0.25, 0.7)).to_dict())
    assert Rules.from_dict(rules.to_dict()) == rules


def test_a_check_that_raises_stops_the_search() -> None:
    class Stop(Exception):
        pass

    calls: list[None] = []

    def check() -> None:
        calls.append(None)
        if len(calls) == 5:
            raise Stop

    with pytest.raises(Stop):
        fit_rules("group", "worst", COVERAGES, 0.0, long_tailed(100, groups=3), check)
    assert len(calls) == 5


def test_joined_rows_are_those_of_both_with_weights_of_mean_one() -> None:
    first, second = long_tailed(30, seed=1), long_tailed(70, seed=2)
    first = replace(first, energy=np.ones(30), expert_weights=np.ones((30, 2)))
    joined = concatenate(first, second)
    assert joined.labels.tolist() == [*first.labels, *second.labels]
    assert joined.group_mass.shape == (100, 2)
    assert joined.weights.mean() == pytest.approx(1)
    assert (joined.energy, joined.expert_weights) == (None, None)
    doubled = concatenate(first, first)
    assert doubled.energy is not None
    assert doubled.energy.shape == (60,)
    one, two = fitted(second, "balanced"), fitted(concatenate(second, second), "balanced")
    for rule, other in zip(one.rules, two.rules, strict=True):
        assert rule.u == pytest.approx(other.u)
        assert rule.threshold == pytest.approx(other.threshold)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_permuted_rows_have_the_same_rules(objective: Objective) -> None:
    rows = long_tailed(300, seed=11)
    order = np.random.default_rng(0).permutation(300)
    arrays = {name: value[order] for name in FIELDS if (value := getattr(rows, name)) is not None}
    for rule, other in zip(
        fitted(rows, objective).rules, fitted(replace(rows, **arrays), objective).rules, strict=True
    ):
        assert rule.threshold == pytest.approx(other.threshold, rel=1e-12)
        assert rule.u == pytest.approx(other.u, rel=1e-12)
        assert rule.v == pytest.approx(other.v, rel=1e-12)


def test_blocks_of_rules_change_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by measuring few rules at once; which rules are together decides nothing."""
    rows = long_tailed(100, groups=3, seed=12)
    whole = fitted(rows, "worst", (0.4, 1.0))
    monkeypatch.setattr("worker.combine.rule_grid.BLOCK_VALUES", 150)
    assert fitted(rows, "worst", (0.4, 1.0)) == whole
