"""The CIFAR ResNets: names, sizes, shortcuts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tests.unit.engines import lived_in
from worker.experts.architectures import (
    CifarResNet,
    CifarResNetSpec,
    NetworkSpec,
    OptionAShortcut,
    TorchvisionResNetSpec,
)


def test_resnet32_has_the_reference_names_and_size() -> None:
    """The reference expert has 200 entries without its temperature and 472,756 trainable parameters."""
    network = CifarResNetSpec((5, 5, 5), (16, 32, 64), 100).build()
    names = set(network.state_dict())
    assert len(names) == 200
    assert sum(parameter.numel() for parameter in network.parameters()) == 472_756
    assert {"conv1.weight", "layer2.0.shortcut.0.weight", "layer3.0.shortcut.1.running_var", "fc.bias"} <= names
    assert not any(name.startswith("layer1.0.shortcut") for name in names)


@pytest.mark.parametrize(("padding", "first"), [("symmetric", 2), ("end", 0)])
def test_option_a_subsamples_and_pads(padding: str, first: int) -> None:
    """Option A keeps every second pixel and puts its zero channels half on each side, or all at the end."""
    x = torch.arange(1.0, 33.0).reshape(1, 2, 4, 4)
    out = OptionAShortcut(2, 6, 2, "end" if padding == "end" else "symmetric")(x)
    assert out.shape == (1, 6, 2, 2)
    assert torch.equal(out[:, first : first + 2], x[:, :, ::2, ::2])
    assert out.count_nonzero() == 2 * 2 * 2


def test_option_a_cannot_remove_channels() -> None:
    """Narrowing without a projection is refused, with both widths."""
    with pytest.raises(ValueError, match="8 to 4"):
        CifarResNet(CifarResNetSpec((1, 1, 1), (8, 4, 4), 2, shortcut="option_a"))


def test_three_stages_or_nothing() -> None:
    """A CIFAR ResNet of two stages or strides is refused, and torchvision's of other than four strides."""
    with pytest.raises(ValueError, match="three stages"):
        CifarResNet(CifarResNetSpec((1, 1), (4, 8), 2))
    with pytest.raises(ValueError, match="three stages"):
        CifarResNet(CifarResNetSpec((1, 1, 1), (4, 8, 8), 2, stage_strides=(1, 2, 2, 2)))
    with pytest.raises(ValueError, match="four stages"):
        TorchvisionResNetSpec("resnet18", 2, True, False, stage_strides=(1, 2, 2)).build()


def test_a_fresh_network_can_be_trained() -> None:
    """Every parameter gets a gradient, so the training script reaches all of them."""
    network = CifarResNetSpec((1, 1, 1), (4, 6, 8), 3).build()
    loss = torch.nn.functional.cross_entropy(network(torch.randn(4, 3, 8, 8)), torch.tensor([0, 1, 2, 0]))
    gradients = torch.autograd.grad(loss, list(network.parameters()))  # raises for a parameter out of reach
    assert all(gradient.count_nonzero() for gradient in gradients)


EPS = 1e-3
SPECS: dict[str, NetworkSpec] = {
    "projection": CifarResNetSpec((1, 2, 1), (4, 6, 8), 3, stage_strides=(2, 1, 2), batch_norm_eps=EPS),
    "option A": CifarResNetSpec(
        (1, 2, 1), (4, 4, 8), 3, shortcut="option_a", stage_strides=(2, 2, 1), batch_norm_eps=EPS
    ),
    "resnet18": TorchvisionResNetSpec("resnet18", 3, True, True, stage_strides=(2, 1, 2, 1), batch_norm_eps=EPS),
    "resnet50, conv2": TorchvisionResNetSpec(
        "resnet50", 3, True, False, stage_strides=(2, 1, 2, 1), batch_norm_eps=EPS
    ),
    "resnet50, conv1": TorchvisionResNetSpec(
        "resnet50", 3, False, True, 1, stage_strides=(1, 2, 2, 1), batch_norm_eps=EPS, bottleneck_stride="conv1"
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_network_computes_what_its_spec_says(name: str) -> None:
    """Strides, epsilon and the place of a bottleneck's stride are those of a forward pass written out by hand."""
    spec, network = SPECS[name], lived_in(SPECS[name])
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images), _by_hand(spec, network.state_dict(), images), atol=1e-4, rtol=1e-4)
    usual = replace(spec, batch_norm_eps=1e-5)
    assert not torch.allclose(_by_hand(usual, network.state_dict(), images), network(images), atol=1e-3)


def _by_hand(spec: NetworkSpec, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
    """The logits by functions alone: what the tensors and the spec say, without any module."""

    def normed(x: Tensor, convolution: str, norm: str, stride: int) -> Tensor:
        weight = tensors[f"{convolution}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        named = [tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        mean, variance, gamma, beta = (part.view(1, -1, 1, 1) for part in named)
        return (x - mean) / (variance + spec.batch_norm_eps).sqrt() * gamma + beta

    def shortcut(x: Tensor, block: str, stride: int, width: int) -> Tensor:
        own = "shortcut" if isinstance(spec, CifarResNetSpec) else "downsample"
        if f"{block}.{own}.0.weight" in tensors:
            return normed(x, f"{block}.{own}.0", f"{block}.{own}.1", stride)
        x = x[:, :, ::stride, ::stride]
        extra = width - x.shape[1]
        return F.pad(x, (0, 0, 0, 0, extra // 2, extra - extra // 2))

    x = F.relu(normed(images, "conv1", "bn1", spec.stride if isinstance(spec, TorchvisionResNetSpec) else 1))
    if isinstance(spec, TorchvisionResNetSpec) and spec.max_pool:
        x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage, stage_stride in enumerate(spec.stage_strides, start=1):
        blocks = [name for name in tensors if name.startswith(f"layer{stage}.") and name.endswith("conv1.weight")]
        for index in range(len(blocks)):
            block, stride = f"layer{stage}.{index}", stage_stride if index == 0 else 1
            bottleneck = f"{block}.conv3.weight" in tensors
            first = stride if not bottleneck or spec.bottleneck_stride == "conv1" else 1  # type: ignore[union-attr]
            out = F.relu(normed(x, f"{block}.conv1", f"{block}.bn1", first))
            out = normed(out, f"{block}.conv2", f"{block}.bn2", stride // first)
            if bottleneck:
                out = normed(F.relu(out), f"{block}.conv3", f"{block}.bn3", 1)
            x = F.relu(out + shortcut(x, block, stride, out.shape[1]))
    return F.linear(x.mean(dim=(2, 3)), tensors["fc.weight"], tensors["fc.bias"])
