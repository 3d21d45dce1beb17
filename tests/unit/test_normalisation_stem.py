"""Which networks have a stem that the rule was measured for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from worker.experts.architectures import CifarResNetSpec, TorchvisionResNetSpec
from worker.normalisation.stem import Stem, stem_of

CIFAR_STEM = TorchvisionResNetSpec("resnet18", 10, cifar_stem=True, max_pool=False)


def collected(network: nn.Module) -> nn.Module:
    """The network after the first batch norm has seen a batch."""
    norm = network.get_submodule("bn1")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.train()(torch.randn(4, norm.num_features, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1)
    return network


class Odd(nn.Module):
    """A network with the first two layers of a test's choice."""

    def __init__(self, conv1: nn.Module, bn1: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv1, bn1


def test_a_cifar_resnet_and_torchvisions_have_stems() -> None:
    """Both families give the weights, zeros for the missing bias, and the running statistics in float64."""
    for network in (CifarResNetSpec((1, 1, 1), (8, 8, 8), 10).build(), CIFAR_STEM.build()):
        stem = stem_of(collected(network))
        assert isinstance(stem, Stem)
        weights = network.state_dict()
        np.testing.assert_array_equal(stem.weight, weights["conv1.weight"].double())
        np.testing.assert_array_equal(stem.mean, weights["bn1.running_mean"].double())
        np.testing.assert_array_equal(stem.variance, weights["bn1.running_var"].double())
        assert stem.weight.dtype == stem.mean.dtype == np.float64
        assert not stem.bias.any()


def test_the_convolutions_bias_is_part_of_the_stem() -> None:
    """A bias shifts the output, and so it is taken along."""
    convolution = nn.Conv2d(3, 9, 3, padding=1)
    stem = stem_of(collected(Odd(convolution, nn.BatchNorm2d(9))))
    assert isinstance(stem, Stem)
    assert convolution.bias is not None
    np.testing.assert_array_equal(stem.bias, convolution.bias.detach().double())


def test_a_missing_batch_counter_does_not_matter() -> None:
    """Old files lack num_batches_tracked, which is then 0: touched running statistics count all the same."""
    network = collected(CifarResNetSpec((1, 1, 1), (8, 8, 8), 10).build())
    network.state_dict()["bn1.num_batches_tracked"].zero_()
    assert isinstance(stem_of(network), Stem)


def test_dead_channels_are_left_out() -> None:
    """Channels without weights, or whose variance has decayed away, hold rounding errors only."""
    network = collected(CifarResNetSpec((1, 1, 1), (12, 12, 12), 10).build())
    tensors = network.state_dict()
    tensors["conv1.weight"][3] = 0
    tensors["bn1.running_var"][5] = 1e-20
    stem = stem_of(network)
    assert isinstance(stem, Stem)
    live = [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(stem.mean, tensors["bn1.running_mean"][live].double())
    np.testing.assert_array_equal(stem.weight, tensors["conv1.weight"][live].double())


@pytest.mark.parametrize(
    ("conv1", "bn1", "reason"),
    [
        (nn.Identity(), nn.BatchNorm2d(8), "no convolution called conv1"),
        (nn.Conv2d(3, 8, 3, padding=1), nn.Identity(), "may have been folded"),
        (nn.Conv2d(3, 8, 7, stride=2, padding=3), nn.BatchNorm2d(8), "7x7 with stride 2"),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), "3x3 with stride 2"),
        (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), "zero padding 1"),
        (nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(8), "zero padding 1"),
        (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), "over 1 channels"),
        (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(9), "has 9 channels"),
        (nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), "Only 6 channels"),
    ],
)
def test_other_stems_are_refused_with_the_reason(conv1: nn.Module, bn1: nn.Module, reason: str) -> None:
    """Every stem that was not measured is named as what it is."""
    network = Odd(conv1, bn1)
    answer = stem_of(collected(network) if isinstance(bn1, nn.BatchNorm2d) else network)
    assert isinstance(answer, str)
    assert reason in answer


def with_number(tensor: str, value: float) -> nn.Module:
    """A network one of whose first batch norm's statistics is impossible."""
    network = collected(CifarResNetSpec((1, 1, 1), (8, 8, 8), 10).build())
    network.state_dict()[tensor][2] = value
    return network


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (CifarResNetSpec((1, 1, 1), (8, 8, 8), 10).build(), "never collected"),
        (Odd(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8, track_running_stats=False)), "keeps no running"),
        (with_number("bn1.running_mean", float("nan")), "not finite, or negative"),
        (with_number("bn1.running_var", -1.0), "not finite, or negative"),
    ],
)
def test_statistics_that_are_none_are_refused(network: nn.Module, reason: str) -> None:
    """Untouched, absent and impossible statistics are no statistics."""
    answer = stem_of(network)
    assert isinstance(answer, str)
    assert reason in answer
