"""No image leaves the bounds of a network, so one that stays within float32 needs no rectifiers that keep NaN."""

from __future__ import annotations

import copy
import math
import operator

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from torch import Tensor, fx, nn

from tests.unit.engines import SPECS, TRANSFORM, lived_in, random_images
from worker.compute.engines.bounds import largest_value
from worker.compute.engines.folding import fold
from worker.compute.engines.overflow import expose_overflow
from worker.compute.engines.pixels import normalise


@pytest.mark.parametrize("spec", SPECS)
def test_no_value_of_any_layer_exceeds_the_bound(spec: str) -> None:
    """Black, white, saturated and random images: every tensor of the graph stays within."""
    folded = fold(lived_in(SPECS[spec]))
    bound = largest_value(folded, TRANSFORM)
    assert math.isfinite(bound)
    images = random_images(8)
    images[0], images[1] = 0, 255
    images[2:5] = 255 * (images[2:5] > 127)
    seen = []

    class Watching(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            out = super().run_node(n)
            if isinstance(out, Tensor):
                seen.append(float(out.abs().max()))
            return out

    with torch.inference_mode():
        Watching(folded).run(normalise(torch.from_numpy(images), TRANSFORM))
    assert 0 < max(seen) <= bound


def test_a_single_layers_bound_is_reached() -> None:
    """Of one convolution the bound is that of the worst image, no looser."""

    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 1, 1, bias=False)

        def forward(self, images: Tensor) -> Tensor:
            pooled: Tensor = self.conv1(images)
            return pooled

    network = Single().eval()
    with torch.no_grad():
        network.conv1.weight.copy_(torch.tensor([2.0, 3.0, 4.0]).reshape(1, 3, 1, 1))
    white = normalise(torch.full((1, 1, 1, 3), 255, dtype=torch.uint8), TRANSFORM).double()
    reached = float((white[0, :, 0, 0] * torch.tensor([2.0, 3.0, 4.0])).sum())
    assert largest_value(fold(network), TRANSFORM) == pytest.approx(reached)


def test_healthy_networks_keep_their_rectifiers() -> None:
    """Proved not to overflow, they run as they are in float32; in fp16 no such proof holds."""
    network = lived_in(SPECS["projection"])
    kept = {node.target for node in expose_overflow(fold(network), TRANSFORM, "fp32").graph.nodes}
    half = {node.target for node in expose_overflow(fold(network), TRANSFORM, "fp16").graph.nodes}
    assert F.relu in kept
    assert F.leaky_relu not in kept
    assert F.leaky_relu in half


def test_huge_weights_and_unknown_operations_have_no_bound() -> None:
    """What is not proved is guarded: a network near float32's end, and one with an operation that is not known."""
    network = copy.deepcopy(lived_in(SPECS["projection"]))
    with torch.no_grad():
        network.get_parameter("bn1.weight").mul_(1e37)
    assert largest_value(fold(network), TRANSFORM) > torch.finfo(torch.float32).max / 1000
    assert operator.add in {node.target for node in fold(network).graph.nodes}

    class Squaring(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images * images

    assert largest_value(fold(Squaring()), TRANSFORM) == math.inf
