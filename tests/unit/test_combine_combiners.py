"""Each combination's log η is its formula's, and exact where probabilities underflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, logsumexp, softmax

from app.domain.combining import LinearParameters, LogLinearParameters, NetParameters, Parameters
from tests.unit.combined import make_rows, stacked
from worker.combine import probabilities
from worker.combine.combiners import combiner_of
from worker.combine.features import gate_features
from worker.combine.gating_net import encode_tensors
from worker.combine.net_training import GatingNet
from worker.combine.prior import log_prior
from worker.combine.rows import Floats

PRIOR = log_prior(np.array([500, 200, 80, 30, 12, 5, 0]))
Z = stacked(make_rows())


def net_parameters(experts: int = 3) -> NetParameters:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = GatingNet(experts)
    width = 7 * experts + 3
    tensors = {name: values.numpy() for name, values in net.state_dict().items()}
    return NetParameters(
        (1.3, 0.8, 2.0)[:experts], (0.5,) * width, (2.0,) * width, encode_tensors(tensors), best_epoch=1
    )


ALL: list[Parameters] = [
    LinearParameters((0.2, 0.0, 0.8), (1.3, 0.8, 2.0)),
    LogLinearParameters((0.2, -0.1, 0.8), -0.6),
    LogLinearParameters((1 / 3, 1 / 3, 1 / 3), 0.0),
    net_parameters(),
]
METHODS = ("linear", "log-linear", "geometric", "net")


def log_mix(parameters: Parameters, logits: Floats) -> tuple[Floats, Floats | None]:
    return combiner_of("linear", parameters, PRIOR).log_mix(logits)


def test_linear_averages_probabilities() -> None:
    found, weights = log_mix(ALL[0], Z)
    expected = 0.2 * softmax(Z[:, 0] / 1.3, axis=1) + 0.8 * softmax(Z[:, 2] / 2.0, axis=1)
    np.testing.assert_allclose(found, np.log(expected), atol=1e-13)
    np.testing.assert_array_equal(weights, np.broadcast_to([0.2, 0.0, 0.8], (len(Z), 3)))


def test_log_linear_adds_logits_and_the_prior() -> None:
    found, weights = log_mix(ALL[1], Z)
    expected = log_softmax(0.2 * Z[:, 0] - 0.1 * Z[:, 1] + 0.8 * Z[:, 2] - 0.6 * PRIOR, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert weights is None


def test_net_weights_experts_row_by_row() -> None:
    """By PyTorch's net on standardised features of the tempered probabilities."""
    p = softmax(Z / np.array([1.3, 0.8, 2.0])[:, None], axis=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = GatingNet(3).eval().double()
    with torch.no_grad():
        gate = net(torch.from_numpy((gate_features(p) - 0.5) / 2.0)).softmax(dim=1).numpy()
    found, weights = log_mix(ALL[3], Z)
    assert weights is not None
    np.testing.assert_allclose(weights, gate, atol=1e-12)
    np.testing.assert_allclose(found, np.log((gate[:, :, None] * p).sum(axis=1)), atol=1e-12)


@pytest.mark.parametrize("parameters", ALL, ids=METHODS)
def test_every_mixture_is_a_distribution(parameters: Parameters) -> None:
    found, weights = log_mix(parameters, Z)
    np.testing.assert_allclose(logsumexp(found, axis=1), 0.0, atol=1e-13)
    if weights is not None:
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-13)


@pytest.mark.parametrize("parameters", ALL, ids=METHODS)
def test_logits_far_apart_keep_their_logarithms(parameters: Parameters) -> None:
    """Where η itself underflows to 0, log η is still finite."""
    found, _ = log_mix(parameters, Z * 1e4)
    assert np.isfinite(found).all()
    assert found.min() < -2000
    np.testing.assert_allclose(logsumexp(found, axis=1), 0.0, atol=1e-12)


@pytest.mark.parametrize("parameters", ALL, ids=METHODS)
def test_constants_added_to_an_expert_change_nothing(parameters: Parameters) -> None:
    offsets = np.random.default_rng(0).normal(scale=20, size=Z.shape[:2])[:, :, None]
    np.testing.assert_allclose(log_mix(parameters, Z + offsets)[0], log_mix(parameters, Z)[0], atol=1e-10)


def test_one_expert_is_temperature_scaling() -> None:
    """Linear with E = 1 has the weight 1, log-linear the same η with a = 1/T."""
    alone = Z[:, :1]
    expected = log_softmax(alone[:, 0] / 1.7, axis=1)
    found, weights = log_mix(LinearParameters((1.0,), (1.7,)), alone)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert weights is not None
    assert (weights == 1).all()
    np.testing.assert_allclose(log_mix(LogLinearParameters((1 / 1.7,), 0.0), alone)[0], expected, atol=1e-13)
    _, weights = log_mix(net_parameters(1), alone)
    assert weights is not None
    assert (weights == 1).all()


def test_a_prior_that_is_unknown_is_missed_only_with_an_exponent() -> None:
    combiner_of("log-linear", LogLinearParameters((1.0,), 0.0), None)
    with pytest.raises(ValueError, match="exponent for the prior"):
        combiner_of("log-linear", LogLinearParameters((1.0,), 0.5), None)


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e4, 1e4) | st.just(-np.inf)))
def test_logsumexp_is_scipys(values: Floats) -> None:
    """Along both axes, with some or all entries −inf."""
    for axis in (0, 1):
        expected = logsumexp(values, axis=axis)
        np.testing.assert_allclose(probabilities.logsumexp(values, axis), expected, rtol=1e-13, atol=1e-14)


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_log_softmax_is_scipys_in_float64(values: np.ndarray) -> None:
    found = probabilities.log_softmax(values)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, log_softmax(values.astype(np.float64), axis=1), rtol=1e-13, atol=1e-13)


def test_label_log_probabilities_are_finite_for_all_finite_logits() -> None:
    """Even where two of them are further apart than a float reaches."""
    rows = make_rows(experts=2)
    found = probabilities.label_log_probabilities(rows, (1.5, 0.7))
    expected = log_softmax(stacked(rows) / np.array([1.5, 0.7])[:, None], axis=2)
    np.testing.assert_allclose(found, expected[np.arange(len(found)), :, rows.labels], atol=1e-13)
    far = type(rows)((np.array([[1.7e308, -1.7e308]]),), np.array([1]), np.ones(1))
    assert probabilities.label_log_probabilities(far, (1.0,)) == -probabilities.MAX_NLL
