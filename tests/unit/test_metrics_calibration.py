"""Calibration errors, held against torchmetrics, torch-uncertainty and sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.metric_inputs import Case, every_case
from tests.unit.oracles import torch_uncertainty_file, torchmetrics_classification
from worker.verify.metrics.calibration import bin_of, equal_mass_errors, expected_calibration_error, reliability_bins
from worker.verify.metrics.ties import tie_groups

ADAPTIVE = "calibration/adaptive_calibration_error.py"


def _equal_mass(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(equal_mass_errors(tie_groups(confidence, correct), bins)[0])


def _adaptive(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """torch-uncertainty's adaptive calibration error, on its own function so that it stays in float64."""
    right = torch.from_numpy(correct.astype(np.float64))
    return float(torch_uncertainty_file(ADAPTIVE)._ace_compute(torch.from_numpy(confidence), right, bins))


@every_case
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_is_torchmetrics(case: Case, bins: int) -> None:
    """ECE is multiclass_calibration_error (which torch-uncertainty's CalibrationError is as well).

    It differs where a confidence is exactly 1: torchmetrics' buckets are closed below only, so these rows get a
    further bin of their own. Here they are of the last bin, and the library is given a number just below 1. It works
    in float32 whatever it is given, so no closer than to 1e-6.
    """
    if case.classes == 1:  # torchmetrics refuses it; every confidence is 1 then, and every row right
        assert expected_calibration_error(case.scores.confidence, case.scores.correct, bins) == 0
        return
    probabilities = np.minimum(case.probabilities, 1 - 1e-7)
    expected = torchmetrics_classification().multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(case.labels), num_classes=case.classes, n_bins=bins
    )
    found = expected_calibration_error(case.probabilities.max(axis=1), case.scores.correct, bins)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_a_confidence_of_one_is_of_the_last_bin() -> None:
    """Exactly 1 and just below are of one bin, where an error of each cancels the other's surplus."""
    confidence, correct = np.array([1.0, 0.95]), np.array([False, True])
    assert bin_of(confidence).tolist() == [14, 14]
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.95 / 2)
    library = torchmetrics_classification().binary_calibration_error(
        torch.from_numpy(confidence), torch.from_numpy(correct.astype(np.int64)), n_bins=15
    )
    assert float(library) == pytest.approx((1.0 + 0.05) / 2)


def test_bins_are_closed_below() -> None:
    """A confidence on an edge is of the bin above it."""
    assert bin_of(np.array([0.0, 0.5, np.nextafter(0.5, 0), 1.0]), 4).tolist() == [0, 2, 1, 3]


@every_case
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_equal_mass_is_torch_uncertaintys_where_nothing_ties(case: Case, bins: int) -> None:
    """Without ties and with a row for each bin, it is torch-uncertainty's adaptive calibration error.

    With fewer rows than bins the library is NaN: it divides by the rows of empty bins, which here add nothing, so
    the error is then the mean of |correct − confidence|.
    """
    confidence, correct = case.scores.confidence, case.scores.correct
    if len(np.unique(confidence)) < len(confidence):
        pytest.skip("ties: see the test of them")
    found, library = _equal_mass(confidence, correct, bins), _adaptive(confidence, correct, bins)
    if len(confidence) < bins:
        assert np.isnan(library)
        assert found == pytest.approx(np.abs(confidence - correct).mean())
    else:
        assert found == pytest.approx(library, abs=1e-12)


def test_equal_mass_shares_ties_between_bins() -> None:
    """Rows of equal confidence fill the places on both sides of an edge with their mean, in whatever order.

    torch-uncertainty's depends on the order of the rows then.
    """
    confidence, correct = np.array([0.4, 0.6, 0.6, 0.9]), np.array([False, True, False, True])
    swapped = np.array([False, False, True, True])
    # Bins {0.4, half of each 0.6} and {half of each 0.6, 0.9}: gaps 0.4 + 0.1 and 0.1 − 0.1.
    expected = (0.5 + 0.0) / 4
    assert _equal_mass(confidence, correct, 2) == pytest.approx(expected)
    assert _equal_mass(confidence, swapped, 2) == pytest.approx(expected)
    library = {round(_adaptive(confidence, order, 2), 9) for order in (correct, swapped)}
    assert len(library) == 2


def _equal_mass_slowly(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Each row gets its tie group's mean gap; then the bins are slices of the sorted rows."""
    gaps = (confidence - correct)[np.argsort(confidence, kind="stable")]
    ordered = np.sort(confidence)
    for value in np.unique(ordered):
        gaps[ordered == value] = gaps[ordered == value].mean()
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(gaps))


@every_case
@pytest.mark.parametrize("bins", [1, 2, 7, 15])
def test_equal_mass_is_its_definition(case: Case, bins: int) -> None:
    """Ties or not, it is the sum over slices of rows that each stand for the mean of their equals."""
    expected = _equal_mass_slowly(case.scores.confidence, case.scores.correct, bins)
    found = _equal_mass(case.scores.confidence, case.scores.correct, bins)
    assert found == pytest.approx(expected, abs=1e-12)


@every_case
def test_the_diagrams_bins_give_the_ece(case: Case) -> None:
    """The bins hold all rows, and their weighted gaps add up to the ECE; a bin without rows has no means."""
    confidence, correct = case.scores.confidence, case.scores.correct
    bins = reliability_bins(confidence, correct, 10)
    assert bins.edges.tolist() == np.linspace(0, 1, 11).tolist()
    assert bins.count.sum() == len(confidence)
    assert np.isnan(bins.confidence).tolist() == np.isnan(bins.accuracy).tolist() == (bins.count == 0).tolist()
    gaps = np.nan_to_num(np.abs(bins.confidence - bins.accuracy)) * bins.count
    assert gaps.sum() / len(confidence) == pytest.approx(expected_calibration_error(confidence, correct, 10))
