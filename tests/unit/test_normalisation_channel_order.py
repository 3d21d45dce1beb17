"""Whether labels tell RGB from BGR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.normalisations import CIFAR100
from worker.normalisation import channel_order
from worker.normalisation.channel_order import Logits

LABELS = np.random.default_rng(0).integers(0, 3, 400)
NOISE = np.random.default_rng(1).normal(0, 40, (400, 8, 8, 3))
IMAGES = (100 + 60 * np.eye(3)[LABELS][:, None, None] + NOISE).clip(0, 255).astype(np.uint8)
"""Of class 0 are red images, of 1 green ones, of 2 blue ones."""


def brightest(scale: float = 4.0) -> Logits:
    """A network for RGB: the class is the channel that is brightest."""
    return lambda images: scale * images.mean((2, 3))


def with_bgr(logits: Logits) -> Logits:
    """The same network trained on swapped channels."""
    return lambda images: logits(images.flip(1))


@pytest.mark.parametrize(("network", "order"), [(brightest(), "rgb"), (with_bgr(brightest()), "bgr")])
def test_the_order_that_labels_speak_for(network: Logits, order: str) -> None:
    """A network is right about red and blue in one order only, and both orders are recognised."""
    result = channel_order(network, IMAGES, LABELS, CIFAR100)
    assert result.order == order
    assert result.images == 200
    assert abs(result.difference) > 5 * result.standard_error > 0
    assert order.upper() in result.message
    assert (result.difference > 0) == (order == "rgb")


def hesitant_on_bgr(images: Tensor) -> Tensor:
    """A network for RGB that is less confident where channels are swapped, as real ones are."""
    colours = images.mean((2, 3))
    reddish = colours[:, :1] > colours[:, 2:]
    return colours * torch.where(reddish, 20.0, 2.0)


def test_wrong_labels_decide_nothing() -> None:
    """Labels of other images do not make the hesitant answers to swapped channels look right."""
    reddened = (IMAGES + np.array([150, 0, 0])).clip(0, 255).astype(np.uint8)
    assert channel_order(hesitant_on_bgr, reddened, LABELS, CIFAR100).order == "rgb"
    for seed in range(20):
        labels = np.random.default_rng(seed).permutation(LABELS)
        assert channel_order(hesitant_on_bgr, reddened, labels, CIFAR100).order == "undecidable"


@pytest.mark.parametrize(
    ("network", "images", "reason"),
    [
        (brightest(), IMAGES[..., :1].repeat(3, axis=3), "nearly grey"),
        (lambda images: torch.zeros(len(images), 3), IMAGES, "nearly grey"),
        (brightest(float("nan")), IMAGES, "not finite"),
        (brightest(), IMAGES[:99], "99 labelled images; at least 100"),
    ],
)
def test_without_evidence_the_order_is_undecidable(
    network: Callable[[Tensor], Tensor], images: np.ndarray, reason: str
) -> None:
    """Grey images, constant or broken logits and few images give a reason instead of an order."""
    result = channel_order(network, images, LABELS[: len(images)], CIFAR100)
    assert result.order == "undecidable"
    assert reason in result.message


def test_the_network_gets_normalised_float32_batches() -> None:
    """The callable gets [N, 3, H, W] float32, normalised, first as it is and then with its channels reversed."""
    batches: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        batches.append(images)
        return images.mean((2, 3))

    channel_order(network, IMAGES, LABELS, CIFAR100)
    rgb, bgr = batches
    assert rgb.shape == (200, 3, 8, 8)
    assert rgb.dtype == torch.float32
    torch.testing.assert_close(bgr, rgb.flip(1))
    scaled = IMAGES / 255
    nearest = np.abs((scaled[:, 0, 0] - CIFAR100.mean) / CIFAR100.std - rgb[0, :, 0, 0].numpy()).max(axis=1).min()
    assert nearest < 1e-5
