"""A summary holds what rejectors need of each row's η, whatever the blocks are."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import entropy

from app.domain.combining import LinearParameters, LogLinearParameters
from tests.unit.combined import halves, make_rows, stacked, weighted_nll
from worker.combine.combiners import Linear, combiner_of
from worker.combine.rows import ClassGroups, ExpertRows, RowSummary
from worker.combine.summary import mix_rows, row_nll, summarise

ROWS = make_rows(weighted=True)
MIXTURE = combiner_of("linear", LinearParameters((0.5, 0.2, 0.3), (1.2, 0.7, 1.0)), None)
PRODUCT = combiner_of("geometric", LogLinearParameters((0.5, 0.2, 0.3), 0.0), None)


def test_a_summary_is_that_of_the_whole_matrix() -> None:
    """Every field, row by row, from η itself."""
    groups = ClassGroups(("many", "medium", "few"), np.array([0, 1, 2, 0, 1, 2, 0]))
    summary = summarise(ROWS, MIXTURE, groups)
    log_mix, gate = MIXTURE.log_mix(stacked(ROWS))
    for n, eta in enumerate(np.exp(log_mix)):
        ranked = np.sort(eta)
        assert summary.predictions[n] == eta.argmax()
        assert summary.confidence[n] == pytest.approx(ranked[-1])
        assert summary.margin[n] == pytest.approx(ranked[-1] - ranked[-2])
        assert summary.negative_entropy[n] == pytest.approx(-entropy(eta))
        assert summary.nll[n] == pytest.approx(-np.log(eta[ROWS.labels[n]]))
        assert summary.groups[n] == groups.of_class[ROWS.labels[n]]
        for k in range(3):
            members = np.flatnonzero(groups.of_class == k)
            assert summary.group_max[n, k] == pytest.approx(eta[members].max())
            assert summary.group_class[n, k] == members[eta[members].argmax()]
            assert summary.group_mass[n, k] == pytest.approx(eta[members].sum())
    np.testing.assert_allclose(summary.group_mass.sum(axis=1), 1.0)
    np.testing.assert_array_equal(summary.expert_weights, gate)
    assert summary.energy is None
    assert summary.labels is ROWS.labels
    assert summary.weights is ROWS.weights


def arrays_of(summary: RowSummary) -> dict[str, np.ndarray]:
    return {f.name: values for f in fields(summary) if (values := getattr(summary, f.name)) is not None}


@pytest.mark.parametrize("combiner", [MIXTURE, PRODUCT], ids=["linear", "log-linear"])
def test_blocks_of_rows_change_nothing(combiner: Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Summary and mixture in blocks of four rows are those of one block."""
    summary, mixed = summarise(ROWS, combiner, halves()), mix_rows(ROWS, combiner)
    monkeypatch.setattr("worker.combine.rows.BLOCK_VALUES", 4 * 3 * 7)
    for name, values in arrays_of(summarise(ROWS, combiner, halves())).items():
        np.testing.assert_allclose(values, arrays_of(summary)[name], rtol=1e-14, err_msg=name)
    again = mix_rows(ROWS, combiner)
    np.testing.assert_array_equal(again[0], mixed[0])
    assert (again[1] is None) == (mixed[1] is None)


def test_a_mixture_for_files_is_float32() -> None:
    log_mix, gate = MIXTURE.log_mix(stacked(ROWS))
    mixed, weights = mix_rows(ROWS, MIXTURE)
    assert weights is not None
    assert gate is not None
    assert mixed.dtype == weights.dtype == np.float32
    np.testing.assert_array_equal(mixed, log_mix.astype(np.float32))
    np.testing.assert_array_equal(weights, gate.astype(np.float32))
    assert mix_rows(ROWS, PRODUCT)[1] is None


def test_the_nll_of_rows_is_that_of_the_summary() -> None:
    nll = row_nll(ROWS, MIXTURE)
    np.testing.assert_array_equal(nll, summarise(ROWS, MIXTURE, halves()).nll)
    expected = weighted_nll(MIXTURE.log_mix(stacked(ROWS))[0], ROWS)
    assert np.average(nll, weights=ROWS.weights) == pytest.approx(expected)


def test_one_expert_has_an_energy() -> None:
    """logsumexp of its logits as they are, without temperature."""
    rows = make_rows(experts=1)
    summary = summarise(rows, combiner_of("linear", LinearParameters((1.0,), (3.0,)), None), halves())
    assert summary.energy is not None
    np.testing.assert_allclose(summary.energy, logsumexp(stacked(rows)[:, 0], axis=1), rtol=1e-13)


def test_a_group_without_classes_has_no_class_and_no_mass() -> None:
    groups = ClassGroups(("head", "tail"), np.zeros(7, dtype=np.int64))
    summary = summarise(ROWS, MIXTURE, groups)
    assert (summary.group_max[:, 1] == 0).all()
    assert (summary.group_class[:, 1] == -1).all()
    assert (summary.group_mass[:, 1] == 0).all()
    np.testing.assert_array_equal(summary.group_class[:, 0], summary.predictions)
    np.testing.assert_array_equal(summary.group_max[:, 0], summary.confidence)


def test_of_equal_probabilities_the_first_class_is_predicted() -> None:
    rows = ExpertRows((np.zeros((2, 4)),), np.array([1, 3]), np.ones(2))
    summary = summarise(rows, combiner_of("linear", LinearParameters((1.0,), (1.0,)), None), halves(4))
    assert summary.predictions.tolist() == [0, 0]
    assert summary.group_class.tolist() == [[0, 2]] * 2
    assert summary.margin.tolist() == [0.0, 0.0]


def test_one_class_is_certain() -> None:
    rows = ExpertRows((np.array([[2.5], [-1.0]]),), np.array([0, 0]), np.ones(2))
    groups = ClassGroups(("head",), np.array([0]))
    summary = summarise(rows, combiner_of("linear", LinearParameters((1.0,), (1.0,)), None), groups)
    for values in (summary.confidence, summary.margin, summary.group_max[:, 0], summary.group_mass[:, 0]):
        assert values.tolist() == [1.0, 1.0]
    assert summary.nll.tolist() == summary.negative_entropy.tolist() == [0.0, 0.0]


def test_probabilities_of_zero_leave_everything_finite() -> None:
    """A label whose η underflows has a finite NLL, up to the largest float64 logits."""
    logits = np.array([[0.0, 5000.0, 0.0, 0.0], [1.7e308, -1.7e308, 0.0, 0.0]])
    rows = ExpertRows((logits,), np.array([0, 1]), np.ones(2))
    for parameters in (LinearParameters((1.0,), (1.0,)), LogLinearParameters((1.0,), 0.0)):
        summary = summarise(rows, combiner_of("linear", parameters, None), halves(4))
        assert summary.nll[0] == pytest.approx(5000.0)
        assert summary.negative_entropy.tolist() == [0.0, 0.0]
        assert all(np.isfinite(values).all() for values in arrays_of(summary).values())
