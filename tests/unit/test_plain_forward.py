"""The plain forward pass is every network's own function, by other operations than the engines'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.unit.engines import EVERY_SPEC, SPECS, TRANSFORM, exact_logits, lived_in, random_images
from worker.compute.plain_forward import MAX_BATCH, plain_logits


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_it_is_the_network_in_float64(spec: str) -> None:
    """Within float32's rounding, for every kind of block, stem and shortcut, and for more than one batch."""
    network, images = lived_in(SPECS[spec]), random_images(MAX_BATCH + 2)
    exact = exact_logits(network, images)
    plain = plain_logits(network, images, TRANSFORM)
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain, exact, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 6, 3, groups=3),
        nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(0, 2)),
        nn.Conv2d(3, 4, 1, stride=2),
        nn.Conv2d(3, 4, 3, dilation=2),
        nn.Conv2d(3, 4, 3, padding="same"),
    ],
)
def test_convolutions_are_pytorchs(convolution: nn.Module) -> None:
    """Groups, kernels, strides and paddings become products of matrices; anything else stays PyTorch's own."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = convolution

        def forward(self, images: Tensor) -> Tensor:
            pooled: Tensor = self.convolution(images).mean(dim=(2, 3))
            return pooled

    network, images = Pooled().eval(), random_images(5, 11)
    np.testing.assert_allclose(
        plain_logits(network, images, TRANSFORM), exact_logits(network, images), atol=1e-5, rtol=1e-5
    )


def test_other_code_in_the_process_keeps_its_convolutions() -> None:
    """The products of matrices are for this call alone."""
    network, images = lived_in(SPECS["projection"]), torch.randn(2, 3, 12, 12)
    with torch.inference_mode():
        before = network(images)
        plain_logits(network, random_images(2), TRANSFORM)
        assert torch.equal(network(images), before)
