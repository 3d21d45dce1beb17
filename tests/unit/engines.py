"""What the tests of the engines share: lived-in networks of every kind, small images, and engines for them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from app.catalog.datasets import Transform
from app.domain.requests import Precision
from worker.compute.engines.choice import EngineName, make_engine
from worker.compute.engines.engine import Engine, Setup
from worker.compute.engines.pixels import normalise
from worker.experts.architectures import CifarResNetSpec, NetworkSpec, TorchvisionResNetSpec

TRANSFORM = Transform(mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.2))
CLASSES = 7
BATCHES: dict[EngineName, int] = {"torch": 16, "openvino": 8}

SPECS: dict[str, NetworkSpec] = {
    "projection": CifarResNetSpec((2, 1, 1), (8, 12, 16), CLASSES, stem_width=6),
    "option A, symmetric": CifarResNetSpec((1, 2, 1), (8, 11, 16), CLASSES, shortcut="option_a"),
    "option A, end": CifarResNetSpec((1, 1, 2), (8, 8, 15), CLASSES, shortcut="option_a", option_a_padding="end"),
    "resnet18, CIFAR stem": TorchvisionResNetSpec("resnet18", CLASSES, cifar_stem=True, max_pool=False),
    "resnet18, ImageNet stem without max-pool": TorchvisionResNetSpec(
        "resnet18", CLASSES, cifar_stem=False, max_pool=False
    ),
    "resnet50, ImageNet stem": TorchvisionResNetSpec("resnet50", CLASSES, cifar_stem=False, max_pool=True),
    "resnet18, CIFAR stem of stride 2 with max-pool": TorchvisionResNetSpec(
        "resnet18", CLASSES, cifar_stem=True, max_pool=True, stem_stride=2
    ),
    "option A without strides": CifarResNetSpec(
        (1, 1, 1), (8, 11, 16), CLASSES, shortcut="option_a", stage_strides=(1, 1, 1)
    ),
    "option A, strided where no channel is added": CifarResNetSpec(
        (1, 1, 1), (8, 8, 16), CLASSES, shortcut="option_a", stage_strides=(2, 2, 1), batch_norm_eps=1e-3
    ),
    "projection, every stage strided": CifarResNetSpec(
        (1, 2, 1), (8, 12, 16), CLASSES, stage_strides=(2, 2, 2), batch_norm_eps=0.01
    ),
    "resnet18, other strides and epsilon": TorchvisionResNetSpec(
        "resnet18", CLASSES, True, True, stage_strides=(2, 1, 1, 2), batch_norm_eps=1e-3
    ),
    "resnet50, strides in conv1": TorchvisionResNetSpec(
        "resnet50", CLASSES, True, False, stage_strides=(1, 2, 1, 2), batch_norm_eps=1e-3, bottleneck_stride="conv1"
    ),
}
"""Every kind of block, shortcut, stem and stride; ResNet-34 has the blocks of ResNet-18."""

QUICK = ("resnet18, CIFAR stem", "resnet18, CIFAR stem of stride 2 with max-pool")
EVERY_SPEC = [
    name if name in QUICK or isinstance(spec, CifarResNetSpec) else pytest.param(name, marks=pytest.mark.slow)
    for name, spec in SPECS.items()
]
"""To parametrise by: most of the large networks, whose engines take seconds to make, are slow tests."""

SMALL = SPECS["projection"]


@cache
def lived_in(spec: NetworkSpec, largest: float = 50.0) -> nn.Module:
    """A network in eval mode with random weights, random batch norm figures and logits up to about `largest`."""
    torch.manual_seed(0)
    network = spec.build().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]  # these have one
            nn.init.uniform_(module.running_var, 0.3, 3)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.3, 1.2)
            nn.init.normal_(module.bias, std=0.3)
    with torch.no_grad():
        reached = network(normalise(torch.from_numpy(random_images(16)), TRANSFORM)).abs().max()
        assert isinstance(network.fc, nn.Linear)
        network.fc.weight.mul_(largest / reached)
        network.fc.bias.mul_(largest / reached)
    return network


def random_images(count: int, side: int = 12, seed: int = 1) -> NDArray[np.uint8]:
    """[count, side, side, 3] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def exact_logits(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N, C] float64: the network as it stands, in float64 from the normalised pixels on."""
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(images), TRANSFORM).double()
        logits: NDArray[np.float64] = copy.deepcopy(network).double()(pixels).numpy()
    return logits


def engine(
    name: EngineName,
    network: nn.Module,
    *,
    side: int = 12,
    batch: int | None = None,
    precision: Precision = "fp32",
    threads: int = 2,
) -> Engine:
    """An engine on the CPU; the test is skipped where it is not installed."""
    if name == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is an extra that is not installed")
    batch = batch or BATCHES[name]
    return make_engine(
        name, network, Setup(TRANSFORM, (side, side, 3), batch, precision, torch.device("cpu"), threads)
    )


def cut(images: NDArray[np.uint8], batch: int) -> Iterator[NDArray[np.uint8]]:
    """Whole batches, in order."""
    assert len(images) % batch == 0
    return iter(images.reshape(-1, batch, *images.shape[1:]))


def logits_of(made: Engine, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, C] float32 for a whole number of batches."""
    return np.concatenate(list(made.run(cut(images, made.batch))))
