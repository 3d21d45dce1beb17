"""Causes: each is named where it is planted, with its value, and none where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax

from app.domain.comparisons import Cause, Pairing
from tests.unit.compared import COUNTS, make_labels, make_logits
from worker.compare.causes import CauseInput, find_cause
from worker.compare.manifest_facts import Manifest
from worker.compare.rows import Logits

A = make_logits(make_labels(150), 1)
LOG_PRIOR = np.log(COUNTS / COUNTS.sum())
RANDOM = np.random.default_rng(5)

MADE: dict[str, Any] = {
    "checkpoint": {"sha256": "a" * 64, "tensors_sha256": "b" * 64, "network": {"stages": 3}},
    "dataset": {"sha256": "c" * 64},
    "transform": {"scale": "1/255", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    "calibration": {"mode": "none", "divided_by": None},
    "compute": {"precision": "fp32", "engine": "torch", "device": "cpu"},
}
"""What a manifest states."""


def cause_of(
    b: Logits,
    a: Logits = A,
    manifests: tuple[Manifest | None, Manifest | None] = (None, None),
    pairing: Pairing | None = None,
    counts: NDArray[np.int64] | None = COUNTS,
) -> Cause:
    pairing = pairing or Pairing("order", len(a), len(a), 0, 0)
    return find_cause(CauseInput(a, b, a, b, pairing, manifests, counts))


def changed(part: str, **values: Any) -> dict[str, Any]:
    return {**MADE, part: {**MADE[part], **values}}


def test_equal_logits_are_identical() -> None:
    """Whatever the manifests say: nothing is left to explain."""
    cause = cause_of(A.copy(), manifests=(MADE, changed("checkpoint", tensors_sha256="d" * 64)))
    assert (cause.kind, cause.proof) == ("identical", "numbers")


@pytest.mark.parametrize("noise", [1e-6, 3e-5])
def test_arithmetic_is_precision(noise: float) -> None:
    """Its largest difference is the value."""
    b = (A + RANDOM.uniform(-noise, noise, A.shape)).astype(np.float32)
    cause = cause_of(b)
    assert cause.kind == "precision"
    assert float(cause.value or 0) == pytest.approx(np.abs(b.astype(float) - A).max(), rel=0.1)


def test_storing_in_half_precision_is_precision() -> None:
    """Differences of a thousandth are no more than float16 has."""
    assert cause_of(A.astype(np.float16)).kind == "precision"
    assert cause_of((A * 1.01).astype(np.float32)).kind == "temperature"


@given(st.floats(0.05, 20).filter(lambda t: abs(t - 1) > 1e-3), st.booleans())
def test_a_temperature_is_found_with_its_value(divisor: float, shifted: bool) -> None:
    """To five digits, for float32, with any constant added to the rows."""
    b = (A / divisor + (RANDOM.normal(0, 1, (len(A), 1)) if shifted else 0)).astype(np.float32)
    cause = cause_of(b)
    assert (cause.kind, cause.proof) == ("temperature", "numbers")
    assert float(cause.value or 0) == pytest.approx(divisor, rel=1e-5)


def test_log_probabilities_are_logits_but_for_a_constant_for_each_row() -> None:
    """Every probability is the same, so no other cause is named."""
    assert cause_of(log_softmax(A.astype(float), axis=1).astype(np.float32)).kind == "row-constant"


def test_a_prior_is_a_constant_for_each_class() -> None:
    """Its strength is the value where the constants are a multiple of the log prior."""
    adjusted = cause_of((A - 1.5 * LOG_PRIOR).astype(np.float32))
    assert adjusted.kind == "prior"
    assert float(adjusted.value or 0) == pytest.approx(-1.5, rel=1e-4)
    other = cause_of((A + RANDOM.normal(size=A.shape[1])).astype(np.float32))
    assert (other.kind, other.value) == ("prior", None)
    assert cause_of((A - 1.5 * LOG_PRIOR).astype(np.float32), counts=None).value is None


@pytest.mark.parametrize("half", [False, True])
def test_rows_in_another_order_are_found(half: bool) -> None:
    """Bit by bit, or within the precision of the files; how many have moved is the value."""
    order = np.arange(len(A))
    order[20:60] = RANDOM.permutation(order[20:60])
    b = A[order].astype(np.float16) if half else A[order]
    cause = cause_of(b)
    assert cause.kind == "permuted-rows"
    if not half:
        assert cause.value == str(int((order != np.arange(len(A))).sum()))


def test_lists_that_differ_are_the_cause_where_their_common_rows_are_the_same() -> None:
    """The number of rows that one alone has is the value."""
    pairing = Pairing("sample", len(A), len(A), 12, 3)
    cause = cause_of(A.copy(), pairing=pairing)
    assert (cause.kind, cause.value) == ("other-split", "15")
    assert "A has 12 rows that B does not have, and B 3" in cause.sentence
    assert cause_of(A * np.float32(0.5), pairing=pairing).kind == "temperature"


@pytest.mark.parametrize(
    ("part", "values", "kind"),
    [
        ("checkpoint", {"tensors_sha256": "d" * 64}, "other-weights"),
        ("checkpoint", {"network": {"stages": 4}}, "other-network"),
        ("dataset", {"sha256": "d" * 64}, "other-data"),
        ("transform", {"mean": [0.4, 0.5, 0.6]}, "other-normalisation"),
        ("calibration", {"mode": "checkpoint", "divided_by": 1.5}, "other-calibration"),
    ],
)
def test_what_both_manifests_state_differently_is_a_cause(part: str, values: dict[str, Any], kind: str) -> None:
    """Where no law of the numbers holds; only if both state it."""
    b = (A + RANDOM.normal(0, 0.3, A.shape)).astype(np.float32)
    cause = cause_of(b, manifests=(MADE, changed(part, **values)))
    assert (cause.kind, cause.proof) == (kind, "manifests")
    assert cause_of(b, manifests=(None, changed(part, **values))).kind == "unknown"


def test_a_stated_precision_explains_no_more_than_it_can() -> None:
    """Where all else is the same: bf16 moves logits by some percent of the largest, not by half of it."""
    in_bf16 = changed("compute", precision="bf16")
    near, far = ((A + RANDOM.uniform(-gap, gap, A.shape)).astype(np.float32) for gap in (0.02, 3.0))
    cause = cause_of(near, manifests=(MADE, in_bf16))
    assert (cause.kind, cause.proof) == ("precision", "manifests")
    assert cause_of(far, manifests=(MADE, in_bf16)).kind == "unknown"
    assert cause_of(near, manifests=(in_bf16, in_bf16)).kind == "unknown"
    assert cause_of(near, manifests=(None, in_bf16)).kind == "unknown"


def test_other_weights_are_named_though_the_difference_is_small() -> None:
    """A step of training is not precision."""
    b = (A + RANDOM.uniform(-1e-5, 1e-5, A.shape)).astype(np.float32)
    assert cause_of(b, manifests=(MADE, changed("checkpoint", tensors_sha256="d" * 64))).kind == "other-weights"


def test_without_proof_the_cause_is_unknown_and_says_what_was_excluded() -> None:
    """Precision, temperature, class constants, order; and what the manifests have in common."""
    b = (A + RANDOM.normal(0, 0.3, A.shape)).astype(np.float32)
    cause = cause_of(b, manifests=(MADE, MADE))
    assert (cause.kind, cause.proof, cause.value) == ("unknown", None, None)
    text = " ".join(cause.excluded)
    for word in ("precision", "temperature", "each class", "another order", "same weights, normalisation"):
        assert word in text, word
    assert "neither A nor B has a manifest" in " ".join(cause_of(b).excluded)


def test_too_few_numbers_prove_no_law() -> None:
    """One row fits any constants, and one row of two classes any temperature."""
    assert cause_of(make_logits(np.array([1]), 7), make_logits(np.array([1]), 8)).kind == "unknown"
    two = np.array([[1.0, 0.0]], np.float32)
    assert cause_of(two * 3, two).kind == "unknown"


def test_other_numbers_of_classes_leave_only_the_manifests() -> None:
    """Logits of 5 and of 4 classes have no difference."""
    assert cause_of(A[:, :4]).kind == "unknown"
    assert "5 classes and B 4" in cause_of(A[:, :4]).excluded[0]


def test_constant_logits_are_no_temperature() -> None:
    """A side without any signal is no scaled copy of another."""
    zeros = np.zeros_like(A)
    assert {cause_of(zeros).kind, cause_of(A, zeros).kind} == {"unknown"}


@given(st.integers(0, 2**32 - 1))
def test_independent_experts_have_no_cause(seed: int) -> None:
    """No law holds between logits that have nothing to do with each other."""
    assert cause_of(make_logits(make_labels(150), seed)).kind in ("unknown", "identical")


@pytest.mark.parametrize("masked", [1, 2])
def test_masked_classes_excuse_no_difference_between_the_others(masked: int) -> None:
    """Two networks whose first classes are −1e9 are no law's; a temperature of the rest is none of the whole."""
    other = make_logits(make_labels(150), 9)
    a, b = A.copy(), other.copy()
    a[:, :masked] = b[:, :masked] = -1e9
    assert cause_of(b, a).kind == "unknown"
    assert cause_of((b + RANDOM.normal(0, 1, b.shape) * (b > -1e9)).astype(np.float32), b).kind == "unknown"


@pytest.mark.parametrize("constant", [1e5, 1e6, 1e7])
def test_a_huge_constant_excuses_no_other_difference(constant: float) -> None:
    """Tolerances are of a row's largest logit, which a constant raises without limit."""
    other = make_logits(make_labels(150), 9)
    assert cause_of((other + np.float32(constant)).astype(np.float32)).kind == "unknown"


def test_nearly_uniform_probabilities_of_two_networks_are_no_precision() -> None:
    """They differ by less than the tolerance of their size, and by all of what tells classes apart."""
    first, second = (0.1 + RANDOM.normal(0, 1e-6, A.shape) for _ in range(2))
    assert cause_of(second.astype(np.float32), first.astype(np.float32)).kind == "unknown"
