"""The divergence D and the free fit of mean and std."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from app.catalog.datasets import Transform
from tests.unit.normalisations import CIFAR10, HALF, IMAGENET, pool_statistics, trained_stem
from worker.normalisation.fit import Response, coefficients, divergence, free_fit


def test_divergence_is_the_symmetric_kullback_leibler_divergence() -> None:
    """D is the mean of torch's two Kullback-Leibler divergences between normal distributions."""
    rng = np.random.default_rng(0)
    m, mu, v, r = rng.normal(size=5), rng.normal(size=5), rng.uniform(0.5, 2, 5), rng.uniform(0.5, 2, 5)
    first = Normal(torch.from_numpy(m), torch.from_numpy(v).sqrt())
    second = Normal(torch.from_numpy(mu), torch.from_numpy(r).sqrt())
    expected = (kl_divergence(first, second) + kl_divergence(second, first)).mean() / 2
    assert divergence(m, v, mu, r) == pytest.approx(float(expected))
    assert divergence(mu, r, m, v) == pytest.approx(float(expected))


def test_no_variance_is_infinitely_far() -> None:
    """A variance of 0 on either side gives infinity rather than a division by zero."""
    one, zero = np.ones(1), np.zeros(1)
    assert divergence(one, zero, one, one) == divergence(one, one, one, zero) == float("inf")


@pytest.mark.parametrize("start", [IMAGENET, HALF])
def test_the_free_fit_recovers_mean_and_std(start: Transform) -> None:
    """Statistics that a normalisation gives exactly lead back to it, from near and from far."""
    statistics = pool_statistics()
    stem = trained_stem(statistics, "crop with zeros", CIFAR10)
    fit = free_fit(Response.of(stem, statistics.moments["crop with zeros"]), start)
    assert fit is not None
    transform, distance = fit
    np.testing.assert_allclose([transform.mean, transform.std], [CIFAR10.mean, CIFAR10.std], atol=2e-4)
    assert distance < 1e-7


def test_the_free_fit_lowers_the_divergence() -> None:
    """Where no normalisation fits exactly, the free fit is still at least as near as where it began."""
    statistics = pool_statistics()
    response = Response.of(trained_stem(statistics, "crop with zeros, cutout", CIFAR10), statistics.moments["none"])
    fit = free_fit(response, CIFAR10)
    assert fit is not None
    assert 0 < fit[1] < response.divergence(coefficients(CIFAR10))
