"""Evaluation of combined experts: held against a plain slow one, the product's metrics and scikit-learn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from app.domain.evaluations import Evaluation, MethodEvaluation
from tests.unit import evaluation_oracle as oracle
from tests.unit.evaluation_inputs import Case, random_case, reweighted
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows, RuleRows
from worker.combine.evaluation.samples import resampled
from worker.verify.metrics import calibration, selective
from worker.verify.metrics.ties import tie_groups

EXACT = pytest.approx


def _by_name(evaluation: Evaluation) -> dict[str, MethodEvaluation]:
    return {method.name: method for method in evaluation.methods}


def _oracle_figures(case: Case, method: ClassifierRows | RuleRows, counts: np.ndarray) -> dict[str, float | None]:
    """All headline figures and those at each coverage, from counts of the rows in the list's order."""
    groups, predictions, scores = (
        len(case.group_names),
        np.atleast_2d(method.predictions),
        np.atleast_2d(method.score),
    )
    masses, wrong = counts * case.weights, predictions[-1] != case.labels
    if not masses.sum():
        return {}
    figures: dict[str, float | None] = {
        "accuracy": masses[~wrong].sum() / masses.sum(),
        "balanced_accuracy": oracle.balanced_accuracy(masses, case.labels, wrong),
    }
    for number, name in enumerate(case.group_names):
        inside = case.groups == number
        total = masses[inside].sum()
        figures[f"{name}_accuracy"] = masses[inside & ~wrong].sum() / total if total else None
    if isinstance(method, ClassifierRows):
        rows = oracle.counted(counts, method.score, case.weights, case.groups, wrong)
        figures |= oracle.areas(rows, int(counts.sum()), groups)
        if method.nll is not None and method.confidence is not None:
            figures["nll"] = float(np.average(method.nll, weights=masses))
            figures["ece"] = oracle.calibration_error(masses, method.confidence, wrong)
    points = []
    for number, coverage in enumerate(case.coverages):
        of_rule = -1 if len(scores) == 1 else number
        rows = oracle.counted(counts, scores[of_rule], case.weights, case.groups, predictions[of_rule] != case.labels)
        point = oracle.at_coverage(rows, coverage, groups)
        points.append(point)
        first, last = point.by_group[0], point.by_group[-1]
        figures[f"gap {coverage}"] = None if first is None or last is None else last - first
        for name in ("overall", "balanced", "worst"):
            figures[f"{name} {coverage}"] = getattr(point, name)
        for name, acceptance in zip(case.group_names, point.acceptance, strict=True):
            figures[f"{name}_acceptance {coverage}"] = acceptance
    for name in ("overall", "balanced", "worst"):
        prefix = "" if name == "overall" else f"{name}_"
        figures[f"{prefix}aurc_grid"] = float(np.mean([getattr(point, name) for point in points]))
    return figures


def _flat(method: MethodEvaluation, names: tuple[str, ...]) -> dict[str, float | None]:
    figures = dict(method.figures)
    for point in method.at_coverage:
        for name in ("overall", "balanced", "worst", "gap"):
            figures[f"{name} {point.kappa}"] = getattr(point, name)
        for group, acceptance in zip(names, point.group_acceptance, strict=True):
            figures[f"{group}_acceptance {point.kappa}"] = acceptance
    return figures


CASES = {
    "plain": random_case(ties=False, weighted=False, repeats=False),
    "ties": random_case(ties=True, weighted=False, repeats=False, seed=1),
    "weights": random_case(ties=False, weighted=True, repeats=False, seed=2),
    "repeats": random_case(ties=False, weighted=False, repeats=True, seed=3),
    "all": random_case(seed=4),
    "three groups": random_case(seed=5, groups=3),
    "one group": random_case(seed=6, groups=1),
    "one row": random_case(rows=1, seed=7, repeats=False),
    "few rows with weight": reweighted(random_case(rows=14, seed=8, classes=3, groups=3), [5, 13]),
    "a group without weight": reweighted(random_case(seed=9, groups=3), list(range(0, 35, 3))),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
def test_figures_and_intervals_are_those_of_a_plain_slow_evaluation(case: Case) -> None:
    """Each figure, interval, band and difference follows from its definition on the list and on every resample."""
    resamples = 25
    rows = EvaluatedRows.of(case.labels, case.groups, case.group_names, case.weights, case.images)
    drawn = np.concatenate([sample.counts for sample in resampled(rows, resamples, 0)])
    counts = np.empty_like(drawn)
    counts[:, rows.order] = drawn
    evaluation = _by_name(case.evaluate(resamples))
    tables = {
        method.name: [_oracle_figures(case, method, line) for line in [np.ones(len(case.labels)), *counts]]
        for method in case.methods
    }
    for name, method in evaluation.items():
        wanted, *samples = tables[name]
        figures = _flat(method, case.group_names)
        ends = dict(method.intervals)
        for point in method.at_coverage:
            ends |= {f"{band} {point.kappa}": value for band, value in point.bands.items()}
        for key, value in figures.items():
            assert value == (None if wanted.get(key) is None else EXACT(wanted[key], abs=1e-11)), (name, key)
            if value is None:
                assert ends[key] is None, (name, key)
                continue
            values = [sample.get(key) for sample in samples]
            expected = np.quantile([x for x in values if x is not None], (0.025, 0.975))
            assert ends[key] == EXACT(tuple(expected), abs=1e-11), (name, key)
        reference, *others = tables["a"]
        for key, difference in method.differences.items():
            value, other = wanted.get(key), reference.get(key)
            if value is None or other is None:
                assert difference is None
                continue
            assert difference is not None
            pairs = [(x.get(key), y.get(key)) for x, y in zip(samples, others, strict=True)]
            expected = np.quantile([x - y for x, y in pairs if x is not None and y is not None], (0.025, 0.975))
            got = (difference.value, difference.low, difference.high)
            assert got == EXACT((value - other, *expected), abs=1e-11), (name, key)


@every_case
def test_stored_thresholds_accept_the_rows_at_or_above_them(case: Case) -> None:
    methods = _by_name(case.evaluate(2))
    assert methods["a"].at_threshold is None
    for method in case.methods[1:]:
        points = methods[method.name].at_threshold
        assert points is not None
        assert method.thresholds is not None
        for number, point in enumerate(points):
            of_rule = number if isinstance(method, RuleRows) else slice(None)
            wrong = method.predictions[of_rule] != case.labels
            rows = oracle.counted(np.ones(len(wrong)), method.score[of_rule], case.weights, case.groups, wrong)
            wanted = oracle.above(rows, method.thresholds[number], len(case.group_names))
            assert point.threshold == method.thresholds[number]
            assert (point.overall, point.balanced, point.worst) == EXACT(
                (wanted.overall, wanted.balanced, wanted.worst), abs=1e-12
            )
            assert point.group_errors == EXACT(tuple(wanted.by_group))
            assert point.group_acceptance == EXACT(tuple(wanted.acceptance))
            accepted = sum(mass for score, mass, _, _ in rows if score >= method.thresholds[number])
            assert point.coverage == EXACT(accepted / len(case.labels))


@pytest.mark.parametrize("ties", [False, True])
def test_curves_and_areas_are_the_products_where_all_weights_are_one(ties: bool) -> None:
    case = random_case(rows=500, seed=8, ties=ties, weighted=False, groups=3)
    method = case.methods[0]
    assert isinstance(method, ClassifierRows)
    assert method.confidence is not None
    result = _by_name(case.evaluate(2))["a"]
    correct = method.predictions == case.labels
    areas = selective.areas(tie_groups(method.score, correct))
    overall = selective.risk_coverage(method.score, correct)
    balanced, worst = selective.group_risk_coverage(method.score, correct, case.groups, 3)
    wanted = {
        "aurc": areas.aurc[0],
        "augrc": areas.augrc[0],
        "balanced_aurc": selective.area(balanced),
        "worst_aurc": selective.area(worst),
        "ece": calibration.expected_calibration_error(method.confidence, correct),
    }
    assert {name: result.figures[name] for name in wanted} == EXACT(wanted, abs=1e-12)
    for curve, values in (
        (overall, result.curve.overall),
        (balanced, result.curve.balanced),
        (worst, result.curve.worst),
    ):
        thinned = selective.thinned(curve)
        assert result.curve.coverage == EXACT(tuple(thinned.coverage), abs=1e-15)
        assert values == EXACT(tuple(thinned.risk), abs=1e-12)


def test_accuracies_are_scikit_learns_with_weights() -> None:
    case = random_case(rows=300, seed=9)
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(6), 300)
    predictions = probabilities.argmax(axis=1)
    nll = -np.log(probabilities[np.arange(300), case.labels])
    method = ClassifierRows("a", predictions, probabilities.max(axis=1), nll=nll)
    result = replace(case, methods=(method,)).evaluate(2).methods[0]
    wanted = log_loss(case.labels, probabilities, sample_weight=case.weights, labels=np.arange(6))
    assert result.figures["nll"] == EXACT(wanted)
    assert result.figures["accuracy"] == EXACT(accuracy_score(case.labels, predictions, sample_weight=case.weights))
    wanted = balanced_accuracy_score(case.labels, predictions, sample_weight=case.weights)
    assert result.figures["balanced_accuracy"] == EXACT(wanted)


def test_scores_of_the_specification_give_its_errors() -> None:
    """Scores .9 .8 .7 .6, wrong 0 1 0 1, groups 0 0 1 1, at ¼, ½, ¾ and 1; a group left out would give 0 at ¼."""
    method = ClassifierRows("a", np.array([0, 9, 1, 9]), np.array([0.9, 0.8, 0.7, 0.6]))
    labels = np.array([0, 0, 1, 1])
    case = Case(labels, labels, np.ones(4), np.arange(4), (method,), coverages=(0.25, 0.5, 0.75, 1.0))
    result = case.evaluate(2).methods[0]
    assert [point.balanced for point in result.at_coverage] == [0.5, 0.75, 0.25, 0.5]
    assert [point.worst for point in result.at_coverage] == [1, 1, 0.5, 0.5]
    assert result.curve.balanced == (0, 0.5, 0.25, 0.5)
    assert result.curve.worst == (0, 0.5, 0.5, 0.5)


def test_an_evaluation_survives_json() -> None:
    evaluation = random_case(seed=4).evaluate(5)
    text = json.dumps(evaluation.to_dict(), allow_nan=False)
    assert Evaluation.from_dict(json.loads(text)) == evaluation
