"""What each row contributes, held against scikit-learn, torch-uncertainty and PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from tests.unit.metric_inputs import Case, drawn, every_case
from tests.unit.oracles import torch_uncertainty_file
from worker.verify.metrics import calibration, rows
from worker.verify.metrics.rows import score_rows


@every_case
def test_nll_is_pytorchs_cross_entropy(case: Case) -> None:
    """Each row's nll is the cross-entropy of its logits in float64."""
    logits = torch.from_numpy(case.logits.astype(np.float64))
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(case.labels), reduction="none")
    np.testing.assert_allclose(case.scores.nll, expected.numpy(), rtol=1e-12, atol=1e-14)


@every_case
def test_mean_nll_is_sklearns_log_loss(case: Case) -> None:
    """The mean is log_loss, wherever its clipping of probabilities at 2.2e-16 does not show, and C > 1."""
    if case.classes == 1 or case.scores.nll.max() > 30:
        pytest.skip("log_loss refuses one class, and clips")
    expected = log_loss(case.labels, case.probabilities, labels=range(case.classes))
    assert calibration.nll(case.scores.nll) == pytest.approx(expected, abs=1e-12)


@every_case
def test_brier_is_torch_uncertaintys(case: Case) -> None:
    """Each row's Brier score is BrierScore's: summed over the classes, 0…2.

    For one class the library's is that of a two-class problem given one probability; here that row is certain: 0.
    """
    if case.classes == 1:
        assert case.scores.brier.tolist() == [0.0] * len(case.labels)
        return
    metric = torch_uncertainty_file("brier_score.py").BrierScore(num_classes=case.classes, reduction="none")
    metric.update(torch.from_numpy(case.probabilities), torch.from_numpy(case.labels))
    np.testing.assert_allclose(case.scores.brier, metric.compute().numpy(), atol=1e-12)
    assert calibration.brier(case.scores.brier) == pytest.approx(float(metric.compute().mean()))


@every_case
def test_confidence_is_the_largest_probability(case: Case) -> None:
    """Confidence is the largest entry of the row's softmax."""
    np.testing.assert_allclose(case.scores.confidence, case.probabilities.max(axis=1), rtol=1e-14)


@every_case
def test_rank_is_the_labels_place_in_a_stable_sort(case: Case) -> None:
    """The rank is the label's place when classes are sorted by falling logit, equal ones in class order."""
    order = np.argsort(-case.logits.astype(np.float64), axis=1, kind="stable")
    assert case.scores.rank.tolist() == (order == case.labels[:, None]).argmax(axis=1).tolist()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores are the same, bit for bit, whatever the rows are worked in."""
    case = drawn(11, 333, 7)
    monkeypatch.setattr(rows, "BLOCK_VALUES", 1)  # a row at a time
    single = score_rows(case.logits, case.predictions, case.labels)
    monkeypatch.setattr(rows, "BLOCK_VALUES", 70)  # ten, and a rest of three
    for found in (score_rows(case.logits, case.predictions, case.labels), case.scores):
        for name in ("confidence", "nll", "brier", "rank", "correct"):
            np.testing.assert_array_equal(getattr(found, name), getattr(single, name))


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.float16, 6e4), (np.float32, 3e38), (np.float64, 1.7e308)], ids=str
)
def test_the_largest_logits_give_finite_scores(dtype: type[np.floating], largest: float) -> None:
    """Logits at the ends of their dtype give finite scores and means, and no warning at all."""
    logits = np.array([[largest, -largest, 0], [-largest, -largest, -largest]] * 3, dtype=dtype)
    labels = np.array([0, 1, 1, 2, 2, 0])
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        scores = score_rows(logits, logits.argmax(axis=1), labels)
        assert np.isfinite([calibration.nll(scores.nll), calibration.brier(scores.brier)]).all()
    for values in (scores.confidence, scores.nll, scores.brier):
        assert np.isfinite(values).all()
    assert scores.brier.tolist() == pytest.approx([0, 2 / 3, 2, 2 / 3, 2, 2 / 3])
    assert scores.rank.tolist() == [0, 1, 2, 2, 1, 0]
    assert scores.nll[2] > 1e4


def test_correct_is_of_the_predictions_as_given() -> None:
    """Predictions are taken as recorded, not made anew from the logits."""
    scores = score_rows(np.array([[1.0, 0.0]]), np.array([1], dtype=np.int32), np.array([1]))
    assert scores.correct.tolist() == [True]
    assert scores.rank.tolist() == [1]
    assert scores.predictions.dtype == np.int64
