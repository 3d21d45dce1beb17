"""Differences of figures with paired bootstrap intervals, against scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from app.domain.comparisons import FIGURES
from tests.unit.compared import CLASSES, class_counts, make_labels, make_logits
from worker.combine.evaluation.method_rows import EvaluatedRows
from worker.combine.evaluation.samples import resampled
from worker.compare.differences import SEED, paired_figures, side_figures
from worker.compare.rows import Floats, Ints, Logits, SideRows
from worker.verify.metrics.calibration import expected_calibration_error
from worker.verify.metrics.selective import risk_coverage

GROUPS = class_counts().groups


def plain_figures(logits: Logits, labels: Ints, drawn: Ints) -> dict[str, float]:
    """The figures of drawn rows, each by its own definition."""
    logits, labels = logits[drawn].astype(np.float64), labels[drawn]
    shares = np.exp(log_softmax(logits, axis=1))
    predictions = logits.argmax(axis=1)
    right, confidence = predictions == labels, shares.max(axis=1)
    tail = GROUPS.of_class[labels] == 1
    return {
        "accuracy": accuracy_score(labels, predictions),
        "balanced_accuracy": balanced_accuracy_score(labels, predictions),
        "head_accuracy": right[~tail].mean(),
        "tail_accuracy": right[tail].mean(),
        "nll": log_loss(labels, shares, labels=range(CLASSES)),
        "ece": expected_calibration_error(confidence, right),
        "aurc": risk_coverage(confidence, right).risk.mean(),
    }


def drawn_rows(labels: Ints, samples: Ints, resamples: int) -> list[Ints]:
    """The rows that each resample draws, with their repeats."""
    groups = GROUPS.of_class[labels]
    rows = EvaluatedRows.of(labels, groups, GROUPS.names, np.ones(len(labels)), samples)
    counts = np.concatenate([held.counts for held in resampled(rows, resamples, SEED)])
    return [np.repeat(rows.order, count) for count in counts]


@pytest.mark.parametrize("repeated", [False, True])
def test_every_figure_and_interval_is_that_of_its_definition(repeated: bool) -> None:
    """On the rows, and on each of 40 resamples; rows that repeat a sample are drawn together."""
    samples = np.repeat(np.arange(30), 2) if repeated else np.arange(60)
    labels = make_labels(60)
    labels[:CLASSES] = np.arange(CLASSES)
    labels = labels[samples]
    logits = [make_logits(labels, seed, strength) for seed, strength in ((1, 1.0), (2, 1.6))]
    sides = {name: SideRows.of(values, labels) for name, values in zip("AB", logits, strict=True)}
    computed = side_figures(sides, labels, samples, GROUPS, lambda: None, resamples=40)
    figures = {figure.name: figure for figure in paired_figures(computed["A"], computed["B"])}
    assert tuple(figures) == FIGURES
    whole = [plain_figures(values, labels, np.arange(60)) for values in logits]
    draws = drawn_rows(labels, samples, 40)
    gaps = {name: [] for name in FIGURES}  # type: dict[str, list[float]]
    for drawn in draws:
        a, b = (plain_figures(values, labels, drawn) for values in logits)
        for name in FIGURES:
            gaps[name].append(b[name] - a[name])
    for name in FIGURES:
        figure = figures[name]
        assert figure.difference is not None
        assert (figure.a, figure.b) == pytest.approx((whole[0][name], whole[1][name]), abs=1e-12)
        assert figure.difference.value == pytest.approx(whole[1][name] - whole[0][name], abs=1e-12)
        expected = np.quantile(gaps[name], (0.025, 0.975))
        assert (figure.difference.low, figure.difference.high) == pytest.approx(tuple(expected), abs=1e-12), name


def test_a_resample_draws_as_many_rows_of_each_class() -> None:
    """Stratified by class."""
    labels = make_labels(80)
    for drawn in drawn_rows(labels, np.arange(80), 20):
        assert (np.bincount(labels[drawn], minlength=CLASSES) == np.bincount(labels, minlength=CLASSES)).all()


def test_the_interval_of_a_paired_difference_is_narrower_than_of_two_samples() -> None:
    """What makes rows hard for both cancels: here B differs from A on a few rows only."""
    labels = make_labels(300)
    first = make_logits(labels, 1)
    second = first.copy()
    second[:15] = make_logits(labels[:15], 3)
    sides = {"A": SideRows.of(first, labels), "B": SideRows.of(second, labels)}
    computed = side_figures(sides, labels, np.arange(300), GROUPS, lambda: None)
    difference = paired_figures(computed["A"], computed["B"])[0].difference
    assert difference is not None
    paired = difference.high - difference.low
    unpaired = np.ptp(
        np.quantile(computed["B"].samples["accuracy"] - computed["A"].samples["accuracy"][::-1], (0.025, 0.975))
    )
    assert paired < unpaired / 2


def test_equal_sides_differ_by_nothing() -> None:
    """Not even by rounding, in any figure or interval."""
    labels = make_labels(50)
    logits = make_logits(labels, 1)
    sides = {"A": SideRows.of(logits, labels), "B": SideRows.of(logits.astype(np.float64), labels)}
    computed = side_figures(sides, labels, np.arange(50), GROUPS, lambda: None, resamples=30)
    for figure in paired_figures(computed["A"], computed["B"]):
        assert figure.difference is not None
        assert (figure.difference.value, figure.difference.low, figure.difference.high) == (0.0, 0.0, 0.0)


def nothing_of(values: Floats) -> bool:
    return bool(np.isnan(values).all())


def test_what_the_rows_leave_undefined_is_none() -> None:
    """No groups without train counts; no tail accuracy without a row of the tail; one row is enough for the rest."""
    labels = np.array([1])
    sides = {name: SideRows.of(make_logits(labels, seed), labels) for seed, name in enumerate("AB")}
    for groups in (None, GROUPS):
        computed = side_figures(sides, labels, np.array([5]), groups, lambda: None, resamples=10)
        figures = {figure.name: figure for figure in paired_figures(computed["A"], computed["B"])}
        assert (figures["tail_accuracy"].a, figures["tail_accuracy"].difference) == (None, None)
        assert nothing_of(computed["A"].samples["tail_accuracy"])
        assert (figures["head_accuracy"].a is None) == (groups is None)
        assert figures["nll"].difference is not None
        assert figures["aurc"].a in (0.0, 1.0)
