"""Properties of evaluations: the order of rows, repeated images, windows of ranks, rows without weight."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from app.domain.evaluations import Evaluation
from tests.unit.evaluation_inputs import COVERAGES, Case, random_case, reweighted
from worker.combine.evaluation.coverages import RuleRankings
from worker.combine.evaluation.evaluate import evaluate
from worker.combine.evaluation.method_rows import ClassifierRows, EvaluatedRows, RuleRows
from worker.combine.evaluation.samples import resampled

COARSE = ("aurc", "balanced_aurc", "worst_aurc")
"""Means over the coverages k/N, so they depend on N itself."""
ZEROS = np.zeros(60, dtype=np.int64)


def _numbers(value: object, path: str = "") -> dict[str, float | None]:
    """Flatten to numbers by their path."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    else:
        return {} if isinstance(value, str) else {path: value}  # type: ignore[dict-item]
    return {key: number for name, part in items for key, number in _numbers(part, f"{path}/{name}").items()}


def _same(one: Evaluation, other: Evaluation, without: tuple[str, ...] = ()) -> None:
    """Assert equal numbers, to rounding."""
    first, second = (
        {path: value for path, value in _numbers(asdict(each)).items() if not set(path.split("/")) & set(without)}
        for each in (one, other)
    )
    assert first == pytest.approx(second, abs=1e-10)


def _rows(case: Case) -> EvaluatedRows:
    return EvaluatedRows.of(case.labels, case.groups, case.group_names, case.weights, case.images)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    case = random_case(seed=seed)
    shuffled = case.rows(np.random.default_rng(seed).permutation(len(case.labels)))
    _same(case.evaluate(), shuffled.evaluate())


def test_an_image_that_repeats_is_drawn_as_one() -> None:
    """A list in which each image appears twice has the figures and intervals of the list with each once."""
    case = random_case(seed=1, repeats=False)
    twice = case.rows(np.repeat(np.arange(len(case.labels)), 2))
    _same(case.evaluate(), twice.evaluate(), without=(*COARSE, "curve", "rows", "effective_rows"))


def test_rows_that_repeat_an_image_make_no_interval_narrower_than_once() -> None:
    """Were repeats drawn on their own, the intervals of a doubled list would shrink by about √2."""
    case = random_case(rows=400, seed=2, repeats=False)
    twice = case.rows(np.repeat(np.arange(400), 2))
    apart = replace(twice, images=np.arange(800))
    widths = []
    for each in (twice, apart):
        interval = each.evaluate(400).methods[0].intervals["accuracy"]
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(2), rel=0.2)


def test_resamples_keep_the_images_of_each_class_and_the_rows_of_each_image() -> None:
    rows = _rows(random_case(rows=200, seed=3))
    images = np.flatnonzero(np.diff(rows.units, prepend=-1))
    for sample in resampled(rows, 20, 0):
        assert (sample.counts == sample.counts[:, images][:, rows.units]).all()
        for label in np.unique(rows.labels):
            of_class = images[rows.labels[images] == label]
            assert (sample.counts[:, of_class].sum(axis=1) == len(of_class)).all()


def test_each_image_is_drawn_equally_often() -> None:
    """Of n images each is drawn B times in B resamples on average: 5 deviations of a binomial from it."""
    rows = _rows(random_case(rows=50, seed=4, classes=2, repeats=False))
    counts = np.concatenate([sample.counts for sample in resampled(rows, 4000, 0)]).sum(axis=0, dtype=np.int64)
    assert (np.abs(counts - 4000) < 5 * np.sqrt(4000)).all()


def test_fewer_resamples_are_the_first_of_more() -> None:
    rows = _rows(random_case(rows=50, seed=5))
    few, more = (np.concatenate([sample.counts for sample in resampled(rows, size, 1)]) for size in (7, 30))
    assert (few == more[:7]).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_reference_does_not_differ_from_itself(seed: int) -> None:
    reference = random_case(seed=seed).evaluate().methods[0]
    for name, difference in reference.differences.items():
        assert difference is not None, name
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_full_coverage_accepts_everything(seed: int) -> None:
    for method in random_case(seed=seed).evaluate().methods:
        last, accuracy = method.at_coverage[-1], method.figures["accuracy"]
        assert accuracy is not None
        assert last.overall == pytest.approx(1 - accuracy)
        assert last.group_acceptance == pytest.approx((1, 1))
        low, high = method.intervals["accuracy"] or (0, 0)
        assert last.bands["overall"] == pytest.approx((1 - high, 1 - low))
        for group, error in zip(("head", "tail"), last.group_errors, strict=True):
            assert method.figures[f"{group}_accuracy"] == pytest.approx(1 - (error or 0))


def test_coverage_is_met_exactly_under_ties_and_weights() -> None:
    for method in random_case(seed=7).evaluate(5).methods:
        assert [point.coverage for point in method.at_coverage] == pytest.approx(list(COVERAGES), abs=1e-9)


def test_a_rule_of_equal_scores_is_a_classifier() -> None:
    """The same decisions at each coverage give the same figures, by either way of computing them."""
    case = random_case(rows=500, seed=8)
    classifier = case.methods[1]
    assert isinstance(classifier, ClassifierRows)
    shape = (len(COVERAGES), 500)
    predictions, score = np.broadcast_to(classifier.predictions, shape), np.broadcast_to(classifier.score, shape)
    both = replace(case, methods=(classifier, RuleRows("rule", predictions, score, classifier.thresholds)))
    one, other = both.evaluate(100).methods
    for name, value in other.figures.items():
        if value is not None:
            assert value == pytest.approx(one.figures[name], abs=1e-12), name
            assert other.intervals[name] == pytest.approx(one.intervals[name], abs=1e-12), name
    for left, right in zip(one.at_coverage, other.at_coverage, strict=True):
        assert _numbers(asdict(left)) == pytest.approx(_numbers(asdict(right)), abs=1e-11)


@pytest.mark.parametrize("shift", [-0.15, 0.0, 0.15], ids=["above", "inside", "below"])
@pytest.mark.parametrize("ties", [False, True])
def test_windows_of_ranks_change_no_result(ties: bool, shift: float) -> None:
    """Borders inside a window, and outside one of another coverage, are those among all ranks."""
    case = random_case(rows=2000, seed=9, ties=ties)
    rows, rule = _rows(case), case.methods[2]
    assert isinstance(rule, RuleRows)
    coverages = np.array(COVERAGES) * 0.8
    rankings = replace(RuleRankings.of(rule, rows, coverages), coverages=coverages + shift)
    every = replace(
        rankings,
        windows=tuple((0, ranking.tie_groups) for ranking in rankings.rankings),
        above=np.zeros_like(rankings.above),
    )
    if not ties:
        assert all(last - first < 1000 for first, last in rankings.windows)
    for sample in resampled(rows, 50, 0):
        for block in sample.blocks():
            assert rankings.accepted(block) == pytest.approx(every.accepted(block), abs=1e-8)


@pytest.mark.parametrize("wrong", [False, True])
def test_rounding_accepts_no_trace_of_the_next_row(wrong: bool) -> None:
    """70 times .1 falls short of 7 in float64, and yet coverage 7/80 of weight 80 accepts nothing of the next row."""
    labels = np.repeat([0, 1], [70, 10])
    weights = np.repeat([0.1, 7.3], [70, 10])
    assert weights[:70].cumsum()[-1] < 7
    predictions, score = labels * (2 if wrong else 1), np.arange(80.0)[::-1]
    methods = (
        ClassifierRows("a", predictions, score),
        RuleRows("b", np.stack([predictions] * 2), np.stack([score] * 2)),
    )
    case = Case(labels, labels, weights, np.arange(80), methods, coverages=(7 / 80, 1.0))
    for method in case.evaluate(2).methods:
        assert method.at_coverage[0].group_acceptance == pytest.approx((1, 0), abs=1e-12)
        assert method.at_coverage[0].group_errors == (0, 1)  # nothing of the tail is accepted
    figures = case.evaluate(2).methods[0].figures
    assert figures["worst_aurc"] == pytest.approx(73 / 80 if wrong else 0)


def test_one_group_has_the_same_three_curves() -> None:
    figures = random_case(seed=10, groups=1).evaluate(5).methods[0].figures
    assert figures["balanced_aurc"] == pytest.approx(figures["aurc"])
    assert figures["worst_aurc"] == pytest.approx(figures["aurc"])
    assert figures["worst_aurc_grid"] == pytest.approx(figures["aurc_grid"])


def test_scaling_weights_and_scores_changes_nothing() -> None:
    case = random_case(seed=11)
    scaled = replace(case, weights=case.weights * 7)
    scaled = replace(
        scaled, methods=tuple(replace(method, score=method.score * 4 - 1, thresholds=None) for method in case.methods)
    )
    _same(case.evaluate(), scaled.evaluate(), without=("at_threshold",))


def test_rows_without_weight_change_no_figure() -> None:
    case = reweighted(random_case(seed=12, repeats=False), list(range(5, 60, 4)))
    fewer = case.rows(np.flatnonzero(case.weights))
    for method, other in zip(case.evaluate(5).methods, fewer.evaluate(5).methods, strict=True):
        for name in set(method.figures) - set(COARSE):
            assert method.figures[name] == pytest.approx(other.figures[name], abs=1e-12), name


def test_reliability_bins_sum_to_the_calibration_error_and_expert_weights_are_means() -> None:
    case = random_case(seed=13)
    method, result = case.methods[0], case.evaluate(2).methods[0]
    assert method.expert_weights is not None
    assert result.reliability is not None
    gaps = [b.weight * abs((b.accuracy or 0) - (b.confidence or 0)) for b in result.reliability]
    assert sum(gaps) == pytest.approx(result.figures["ece"])
    assert sum(b.weight for b in result.reliability) == pytest.approx(1)
    assert result.expert_weights is not None
    for number, name in enumerate(case.group_names):
        inside = case.groups == number
        wanted = np.average(method.expert_weights[inside], axis=0, weights=case.weights[inside])
        assert result.expert_weights[name] == pytest.approx(tuple(wanted))


def test_a_check_that_raises_stops_the_evaluation() -> None:
    case, calls = random_case(seed=14), []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedError

    arguments = (case.labels, case.groups, case.group_names, case.weights, case.images, COVERAGES, "a", check)
    with pytest.raises(InterruptedError):
        evaluate(case.methods, *arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"methods": random_case().methods[:1] * 2},
        {"methods": (ClassifierRows("a", ZEROS, np.full(60, np.nan)),)},
        {"methods": (ClassifierRows("a", ZEROS, np.zeros(60), nll=np.full(60, np.inf)),)},
        {"methods": (ClassifierRows("a", ZEROS, np.zeros(59)),)},
        {"methods": (ClassifierRows("a", np.stack([ZEROS] * 6), np.zeros((6, 60))),)},
        {"weights": np.zeros(60)},
        {"weights": np.full(60, -1.0)},
        {"coverages": (0.5, 0.2)},
        {"coverages": (0.0, 1.0)},
        {"coverages": ()},
    ],
    ids=["names", "score", "nll", "rows", "shape", "no weight", "negative", "falling", "zero", "none"],
)
def test_wrong_arguments_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"names|not finite|scores|weights|coverages"):
        replace(random_case(), **wrong).evaluate(2)  # type: ignore[arg-type]
