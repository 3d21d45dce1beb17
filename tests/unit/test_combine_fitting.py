"""Pretraining fits the combinations, shows them on `validate`, and chooses one."""

from __future__ import annotations

import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from app.domain.combine_requests import NetOptions
from app.domain.combining import PRETRAINED, Candidate, LinearParameters, Method, NetParameters
from app.domain.errors import JobError
from tests.unit.combined import halves, make_rows, permuted, stacked, weighted_nll
from worker.combine.combiners import combiner_of
from worker.combine.fitting import FitData, assess, fit_method, nll_differences, pretrain, validate_figures
from worker.combine.prior import log_prior
from worker.combine.rows import ClassGroups, ExpertRows
from worker.combine.summary import summarise

PRIOR = log_prior(np.array([500, 200, 80, 30, 12, 5, 0]))
DATA = FitData(
    make_rows(200, weighted=True), make_rows(150, seed=1, weighted=True), PRIOR, NetOptions(epochs=4, batch_size=32)
)
EVERY: tuple[Method, ...] = (
    "uniform", "temperature", "linear", "geometric", "logit-adjustment", "log-linear", "net"
)  # fmt: skip


def test_candidates_are_shown_in_the_order_of_the_table() -> None:
    """Each with its NLL on both lists, and the lowest on `validate` without an interval."""
    candidates, chosen = pretrain(DATA, halves())
    assert [c.method for c in candidates] == list(PRETRAINED)
    assert chosen in PRETRAINED
    for c in candidates:
        combiner = combiner_of(c.method, c.parameters, PRIOR)
        assert c.fit_nll == pytest.approx(weighted_nll(combiner.log_mix(stacked(DATA.fit))[0], DATA.fit))
        expected = weighted_nll(combiner.log_mix(stacked(DATA.validate))[0], DATA.validate)
        assert c.validate.nll == pytest.approx(expected)
        assert Candidate.from_dict(asdict(c)) == c
        assert assess(c.method, c.parameters, DATA, halves()) == replace(c, nll_difference=None)
    best = min(candidates, key=lambda c: c.validate.nll)
    assert [c.method for c in candidates if c.nll_difference is None] == [best.method]
    _, *others = {c.parameters.temperatures for c in candidates if not hasattr(c.parameters, "exponents")}
    assert len(others) == 1  # `uniform` has ones; `linear` and `net` share theirs


@pytest.mark.parametrize("method", EVERY)
def test_equal_input_gives_equal_parameters(method: Method) -> None:
    """To the last bit; and the method that is named is the only one that is fitted, and chosen."""
    fresh = FitData(DATA.fit, DATA.validate, PRIOR, DATA.options)
    candidates, chosen = pretrain(fresh, halves(), method)
    assert chosen == method
    assert [c.method for c in candidates] == [method]
    assert candidates[0].nll_difference is None
    fitted = fit_method(method, DATA.fit, DATA.validate, PRIOR, DATA.options, lambda: None)
    assert fitted == (candidates[0].parameters, candidates[0].fit_nll)


def test_what_a_method_generalises_is_never_better_on_fit() -> None:
    """More parameters fit better: uniform and temperature ≥ linear, geometric ≥ logit-adjustment ≥ log-linear."""
    nll = {m: fit_method(m, DATA.fit, DATA.validate, PRIOR, DATA.options, lambda: None)[1] for m in EVERY}
    assert nll["linear"] <= nll["temperature"] + 1e-12
    assert nll["log-linear"] <= nll["logit-adjustment"] <= nll["geometric"]


def test_one_expert_gets_temperature_scaling() -> None:
    data = FitData(make_rows(experts=1), make_rows(experts=1, seed=1), PRIOR)
    parameters, _ = fit_method("linear", data.fit, data.validate, PRIOR, data.options, lambda: None)
    assert parameters == LinearParameters((1.0,), data.temperatures)
    assert data.temperatures[0] != 1


def test_another_order_of_experts_is_another_order_of_linear_parameters() -> None:
    order = (2, 0, 1)
    first = pretrain(DATA, halves(), "linear")[0][0].parameters
    other = pretrain(replace(DATA, fit=permuted(DATA.fit, order)), halves(), "linear")[0]
    assert isinstance(first, LinearParameters)
    assert isinstance(other[0].parameters, LinearParameters)
    np.testing.assert_allclose(other[0].parameters.weights, [first.weights[e] for e in order], atol=1e-9)
    assert other[0].parameters.temperatures == tuple(first.temperatures[e] for e in order)


def test_features_that_never_change_are_not_scaled() -> None:
    """The top 5 of four classes have all the mass; rounding is not blown up to a signal."""
    rows = make_rows(classes=4)
    parameters, _ = fit_method("net", rows, rows, None, NetOptions(epochs=1), lambda: None)
    assert isinstance(parameters, NetParameters)
    assert parameters.feature_scales[3:9] == (1.0,) * 6
    assert min(parameters.feature_scales) > 1e-6
    assert parameters.best_epoch == 1


def test_the_simpler_of_two_that_validate_cannot_tell_apart_is_chosen() -> None:
    """With the same expert three times all combinations are about equal; with many rows the better one wins."""
    alone = make_rows(60, experts=1, seed=3)
    same = ExpertRows(alone.logits * 3, alone.labels, alone.weights)
    candidates, chosen = pretrain(FitData(same, same, None, DATA.options), halves())
    intervals = {c.method: c.nll_difference for c in candidates}
    simplest = next(m for m in PRETRAINED if (interval := intervals[m]) is None or interval[0] <= 0 <= interval[1])
    assert chosen == simplest
    hot = ExpertRows(tuple(z * 20 for z in alone.logits), alone.labels, alone.weights)
    candidates, chosen = pretrain(FitData(hot, hot, None, DATA.options), halves())
    uniform = candidates[0].nll_difference
    assert chosen != "uniform"
    assert uniform is not None
    assert uniform[0] > 0


def test_intervals_are_those_of_a_paired_bootstrap() -> None:
    """With one class, SciPy's percentile bootstrap of the mean difference has the same ends but for its draws."""
    random = np.random.default_rng(0)
    first = random.gamma(2.0, size=400)
    second = first + random.normal(0.05, 0.5, 400)
    labels = np.zeros(400, dtype=np.int64)
    intervals = nll_differences([second, first], labels, np.ones(400))
    assert intervals[1] is None
    expected = bootstrap((second - first,), np.mean, method="percentile", rng=1).confidence_interval
    assert intervals[0] == pytest.approx(tuple(expected), abs=0.006)


def test_intervals_draw_rows_within_their_class() -> None:
    """Where every class has one value the difference cannot vary, weighted by the classes' weights."""
    labels = np.repeat([0, 1, 2], [5, 3, 2])
    gaps, weights = np.array([1.0, 2.0, 4.0])[labels], np.array([0.1, 1.0, 3.0])[labels]
    lowest = np.linspace(0.0, 1.0, 10)
    interval = nll_differences([lowest, lowest + gaps], labels, weights)[1]
    assert interval == pytest.approx([np.average(gaps, weights=weights)] * 2)


def test_the_first_of_equally_good_combinations_has_no_interval() -> None:
    nll = np.linspace(0.0, 1.0, 8)
    assert nll_differences([nll, nll.copy()], np.zeros(8, dtype=np.int64), np.ones(8)) == [None, (0.0, 0.0)]


def test_figures_on_validate_are_weighted_means() -> None:
    """As scikit-learn computes them with sample weights."""
    rows, combiner = DATA.validate, combiner_of("uniform", LinearParameters((1 / 3,) * 3, (1.0,) * 3), None)
    summary = summarise(rows, combiner, halves())
    figures = validate_figures(summary, halves())
    labels, predictions, weights = rows.labels, summary.predictions, rows.weights
    mix = np.exp(combiner.log_mix(stacked(rows))[0])
    assert figures.nll == pytest.approx(log_loss(labels, mix, sample_weight=weights))
    assert figures.accuracy == pytest.approx(accuracy_score(labels, predictions, sample_weight=weights))
    expected = balanced_accuracy_score(labels, predictions, sample_weight=weights)
    assert figures.balanced_accuracy == pytest.approx(expected)
    for name, of_group in (("head", summary.groups == 0), ("tail", summary.groups == 1)):
        expected = accuracy_score(labels[of_group], predictions[of_group], sample_weight=weights[of_group])
        assert figures.group_accuracy[name] == pytest.approx(expected)


def test_classes_and_groups_without_weight_are_left_out() -> None:
    rows = make_rows(weighted=True)
    weights = np.where(rows.labels < 3, rows.weights, 0.0)
    groups = ClassGroups(("head", "tail", "none"), np.where(np.arange(7) < 3, 0, 1))
    combiner = combiner_of("uniform", LinearParameters((1 / 3,) * 3, (1.0,) * 3), None)
    summary = summarise(ExpertRows(rows.logits, rows.labels, weights), combiner, groups)
    figures = validate_figures(summary, groups)
    assert figures.group_accuracy["tail"] is None
    assert figures.group_accuracy["none"] is None
    assert figures.group_accuracy["head"] == pytest.approx(figures.accuracy)
    recalls = [(summary.predictions[rows.labels == c] == c) for c in range(3)]
    expected = np.mean([np.average(r, weights=weights[rows.labels == c]) for c, r in enumerate(recalls)])
    assert figures.balanced_accuracy == pytest.approx(expected)


def test_an_unknown_prior_fits_no_exponent_for_it() -> None:
    parameters, _ = fit_method("log-linear", DATA.fit, DATA.validate, None, DATA.options, lambda: None)
    assert asdict(parameters)["prior_exponent"] == 0.0
    with pytest.raises(JobError) as caught:
        fit_method("logit-adjustment", DATA.fit, DATA.validate, None, DATA.options, lambda: None)
    assert caught.value.code == "train-counts-unknown"


@pytest.mark.parametrize("method", ["temperature", "linear", "log-linear", "net"])
def test_the_check_stops_every_fit(method: Method) -> None:
    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit_method(method, DATA.fit, DATA.validate, PRIOR, DATA.options, check)


@pytest.mark.parametrize("method", ["linear", "log-linear", "net"])
def test_memory_is_that_of_a_block(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting and summarising rows whose logits take 10 MB in float64 takes less than 3 MB, of which rows are 1."""
    rows = make_rows(2000, classes=200)
    monkeypatch.setattr("worker.combine.rows.BLOCK_VALUES", 2**13)
    monkeypatch.setattr("worker.combine.gating_net.BLOCK_ROWS", 256)
    data = FitData(rows, rows, None, NetOptions(epochs=1))
    pretrain(FitData(make_rows(10), make_rows(10), None), halves(), method)  # what is loaded once is no part of it
    tracemalloc.start()
    try:
        pretrain(data, halves(200), method)
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()
