"""Probabilities and log-probabilities in the place of logits: named where they are, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.domain.checks import Check
from tests.unit.verified import ROWS, TRUTH, good, verify
from worker.verify.report import scores_of
from worker.verify.scale import check_raw_logits, scale_of
from worker.verify.summary_metrics import OF_CONFIDENCE, statistics

Floats = NDArray[np.floating[Any]]

KEPT = ("accuracy", "balanced_accuracy", "head_accuracy", "class_recalls", "worst_group_accuracy")


def _logits(rows: int = 200, classes: int = 10, spread: float = 4, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, classes)).astype(np.float32) * spread)


def _kind(values: torch.Tensor | Floats) -> str:
    array = values.numpy() if isinstance(values, torch.Tensor) else values
    return scale_of(array).kind


def _check(values: Floats) -> Check:
    check = check_raw_logits(scale_of(values), values.shape[1])
    json.dumps(check.to_dict(), allow_nan=False)
    return check


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("spread", [0.01, 1, 6, 30])
@pytest.mark.parametrize("made", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("stored", [torch.float16, torch.float32, torch.float64])
def test_a_softmax_is_named_whatever_it_was_made_and_stored_in(
    classes: int, spread: float, made: torch.dtype, stored: torch.dtype
) -> None:
    """The rounding of half precisions and of many classes hides none, flat or sharp, nor its logarithm."""
    logits = _logits(200, classes, spread).to(made)
    assert _kind(logits.softmax(dim=1).to(stored)) == "probabilities"
    if spread < 30 and stored is not torch.float64:
        assert _kind(logits.log_softmax(dim=1).to(stored)) == "log-probabilities"


def test_a_softmax_in_numpy_half_precision_is_named() -> None:
    """Where the sum itself is rounded to 11 bits, rows miss 1 by more than storing explains."""
    half = _logits(500, 100).numpy().astype(np.float16)
    shares = np.exp(half - half.max(axis=1, keepdims=True))
    assert _kind(shares / shares.sum(axis=1, keepdims=True)) == "probabilities"


def test_log_probabilities_less_a_rounded_logsumexp_are_named() -> None:
    """Where each row is shifted by a number of 11 bits, all of it is off by that number's rounding."""
    half = (_logits(500).numpy() + 30).astype(np.float16)
    total = np.log(np.exp(half.astype(np.float64)).sum(axis=1, keepdims=True)).astype(np.float16)
    assert _kind(half - total) == "log-probabilities"


@pytest.mark.parametrize("digits", [3, 4, 5, 6])
def test_probabilities_in_decimals_are_named(digits: int) -> None:
    """Numbers that went through a text with so many digits sum to 1 as well as these digits can."""
    rounded = np.round(_logits(100, 20).softmax(dim=1).numpy().astype(np.float64), digits)
    assert _kind(rounded.astype(np.float32)) == _kind(rounded) == "probabilities"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("spread", [0, 0.01, 1, 30, 1e4])
def test_logits_are_none_of_these(classes: int, spread: float, dtype: type[Any]) -> None:
    """Also untrained and sharp ones; and the check passes."""
    logits = (_logits(50, classes, spread).numpy() + 0.15).astype(dtype)
    assert scale_of(logits).resembles == "logits"
    assert _check(logits).verdict == "passed"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_logits_between_0_and_1_are_logits(dtype: type[Any]) -> None:
    """The range alone says nothing: one row in fifty whose sum is not 1 is enough."""
    rng = np.random.default_rng(0)
    logits = rng.random((50, 10)).astype(dtype)
    assert _check(logits).verdict == "passed"
    shares = _logits(50).softmax(dim=1).numpy().astype(dtype)
    assert _kind(shares) == "probabilities"
    shares[49] *= 1.05
    assert _check(shares).verdict == "passed"


def test_sums_of_1_with_a_value_outside_are_logits() -> None:
    """Centred logits plus 1/C sum to 1 in each row, and are no probabilities."""
    logits = _logits().numpy().astype(np.float64)
    logits += 1 / logits.shape[1] - logits.mean(axis=1, keepdims=True)
    assert np.allclose(logits.sum(axis=1), 1)
    assert _kind(logits) == "logits"


def test_a_tolerance_is_not_wider_than_the_numbers_are_coarse() -> None:
    """Rows of float32 that miss 1 by a thousandth are none, though such a row of bfloat16 would be one."""
    shares = _logits().softmax(dim=1).numpy()
    assert _kind(shares * np.float32(1.001)) == "logits"
    assert _kind((_logits().softmax(dim=1) * 1.001).bfloat16().float()) == "probabilities"


def test_negative_numbers_with_another_sum_are_logits() -> None:
    """Log-probabilities shifted by a constant are as good as any logits."""
    logs = _logits().log_softmax(dim=1).numpy()
    assert _kind(logs - np.float32(0.01)) == "logits"
    assert _kind(logs * np.float32(1.5)) == "logits"


@pytest.mark.parametrize(
    ("rows", "made", "verdict"),
    [
        (1, torch.float32, "skipped"), (2, torch.float32, "failed"), (2, torch.float16, "skipped"),
        (5, torch.float16, "failed"), (4, torch.bfloat16, "skipped"), (8, torch.bfloat16, "failed"),
    ],
)  # fmt: skip
def test_few_rows_may_sum_to_1_by_chance(rows: int, made: torch.dtype, verdict: str) -> None:
    """The coarser the numbers, the more rows it takes; below that the check says that it cannot tell."""
    shares = _logits(rows, 10).to(made).softmax(dim=1).float().numpy()
    check = _check(shares)
    assert check.verdict == verdict
    assert (scale_of(shares).reason is None) == (verdict == "skipped")
    assert verdict != "skipped" or "look like probabilities" in check.message


def test_rows_that_are_all_the_same_are_one_row() -> None:
    """A constant row of sum 1 may be an untrained head as well; that it is constant is another check's."""
    uniform = np.full((1000, 10), 0.1, np.float32)
    assert _check(uniform).verdict == "skipped"


def test_hard_decisions_are_probabilities() -> None:
    """One-hot rows give no likelihood either, of two classes as of many."""
    for classes in (2, 10):
        chosen = np.arange(100) % classes
        assert _kind(np.eye(classes, dtype=np.float16)[chosen]) == "probabilities"


def test_one_class_tells_nothing() -> None:
    """Its softmax is 1 in any case."""
    check = _check(np.ones((100, 1), np.float32))
    assert (check.verdict, check.level) == ("skipped", "warning")
    assert "one class" in check.message


@pytest.mark.parametrize("value", [1e308, -1e308, 3e38])
def test_huge_numbers_do_no_harm(value: float) -> None:
    """Neither a warning nor an overflow, wherever they stand."""
    values = np.full((20, 3), value)
    values[:, 1] = -value
    values[12:, 2] = 0
    assert _kind(values) == "logits"


def test_masked_classes_hide_no_log_probabilities() -> None:
    """Huge negative numbers for classes that an expert does not know leave the rows' logsumexp at 0."""
    logs = _logits(100, 10).log_softmax(dim=1).numpy()
    logs = np.concatenate([logs, np.full((100, 5), -1e9, np.float32)], axis=1)
    assert _kind(logs) == "log-probabilities"


def test_a_file_of_probabilities_has_accuracies_and_no_likelihood() -> None:
    """A warning names it; what a second softmax would make wrong is None with the reason, the rest as of logits."""
    right = good()
    arrays = {**right, "logits": torch.from_numpy(right["logits"]).softmax(dim=1).numpy()}
    report, checks = verify(arrays)
    check = checks["raw-logits"]
    assert (report.verdict, check.level, check.verdict) == ("passed", "warning", "failed")
    assert check.measured["scale"] == "probabilities"
    assert f"each of the {ROWS} rows sums to 1" in check.message
    assert all(report.metrics.values[name] is None for name in OF_CONFIDENCE)
    assert {report.metrics.reasons[name] for name in OF_CONFIDENCE} == {scale_of(arrays["logits"]).reason}
    of_logits = verify(right)[0].metrics.values
    assert {name: report.metrics.values[name] for name in KEPT} == {name: of_logits[name] for name in KEPT}
    confidence = arrays["logits"].max(axis=1).astype(np.float64).mean()
    assert checks["accuracy"].measured["mean_confidence"] == pytest.approx(confidence)


def test_a_file_of_log_probabilities_keeps_all_its_figures() -> None:
    """Softmax gives the probabilities back: every figure is that of the logits, and the warning says what is lost."""
    right = good()
    logs = torch.from_numpy(right["logits"]).double().log_softmax(dim=1).float().numpy()
    report, checks = verify({**right, "logits": logs})
    assert (report.verdict, checks["raw-logits"].verdict) == ("passed", "failed")
    assert "all figures are right" in checks["raw-logits"].message
    of_logits = verify(right)[0].metrics.values
    for name in (*OF_CONFIDENCE, "accuracy"):
        assert report.metrics.values[name] == pytest.approx(of_logits[name], rel=1e-5), name


def test_statistics_of_probabilities_are_those_of_accuracies_alone() -> None:
    """No interval, curve, area or diagram that a second softmax would make wrong; each with the reason."""
    scores = scores_of(good(), TRUTH)
    whole, part = statistics(scores, TRUTH), statistics(scores, TRUTH, "Probabilities.")
    assert whole["reasons"] == {}
    assert None not in (whole["curves"]["risk_coverage"], whole["areas"]["risk_coverage"], whole["reliability"])
    intervals = part["intervals"]["figures"]
    assert all(intervals[name] is None for name in OF_CONFIDENCE)
    assert intervals["accuracy"] == whole["intervals"]["figures"]["accuracy"]
    assert part.keys() == whole.keys()
    assert part["curves"].keys() == whole["curves"].keys() == part["areas"].keys()
    assert {*part["curves"].values(), *part["areas"].values(), part["reliability"]} == {None}
    assert part["reasons"] == dict.fromkeys(("curves", "areas", "reliability"), "Probabilities.")
