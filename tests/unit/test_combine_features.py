"""The gating net's features, from the experts' probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from worker.combine.features import feature_count, gate_features


def probabilities(rows: int, experts: int, classes: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(classes, 0.5), (rows, experts))


def test_two_experts_of_three_classes() -> None:
    """Vector 5, in the order of the blocks."""
    p = np.array([[[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]])
    pairs = [0.801819, 1.0, 0.0, 0.7, 0.5, 0.816497, 0.253102]
    expected = [*np.repeat(pairs, 2), 1.054920, 0.12, 0.0]
    assert_allclose(gate_features(p), [expected], atol=5e-7)


@pytest.mark.parametrize(("experts", "classes"), [(1, 1), (1, 10), (2, 1), (3, 2), (3, 4), (3, 5), (4, 30)])
def test_features_are_those_of_torch(experts: int, classes: int) -> None:
    """Written once more with PyTorch's own functions, for any number of experts and classes."""
    p = torch.from_numpy(probabilities(6, experts, classes))
    mean, eps = p.mean(dim=1, keepdim=True), 1e-8
    ranked = p.sort(dim=2, descending=True).values
    mass = p.topk(min(5, classes), dim=2).values.sum(dim=2)
    second = ranked[:, :, 1] if classes > 1 else torch.zeros_like(mass)
    one = experts == 1
    expected = torch.cat(
        [
            -(p * (p + eps).log()).sum(dim=2),
            mass,
            1 - mass,
            ranked[:, :, 0],
            ranked[:, :, 0] - second,
            torch.cosine_similarity(p, mean.expand_as(p), dim=2),
            (p * ((p + eps).log() - (mean + eps).log())).sum(dim=2),
            -(mean * (mean + eps).log()).sum(dim=2),
            torch.zeros(6, 1) if one else p.var(dim=1).mean(dim=1, keepdim=True),
            torch.zeros(6, 1) if one else ranked[:, :, 0].std(dim=1, keepdim=True),
        ],
        dim=1,
    )
    found = gate_features(p.numpy())
    assert found.shape == (6, feature_count(experts))
    assert_allclose(found, expected.numpy(), atol=1e-12)


def test_one_sure_expert_has_finite_features() -> None:
    """Probabilities of exactly 0 and 1 have an entropy of 0, and a lone expert agrees with itself."""
    found = gate_features(np.array([[[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]]))
    assert_allclose(found, [[0, 1, 0, 1, 1, 1, 0, 0, 0, 0]], atol=1e-7)


def test_rows_do_not_depend_on_each_other() -> None:
    p = probabilities(20, 3, 8)
    assert_allclose(gate_features(p)[7:8], gate_features(p[7:8]), rtol=1e-14)
