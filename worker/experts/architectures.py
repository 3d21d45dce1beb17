"""The architectures: relogit's own CIFAR ResNets, and torchvision's ResNets with either stem.

A spec holds everything that shapes the computation; the same spec always gives the same network.
`worker.experts.recognition` infers the spec of a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from torch import Tensor, nn

from worker.torchvision_import import import_torchvision

Shortcut = Literal["projection", "option_a"]
Padding = Literal["symmetric", "end"]
Variant = Literal["resnet18", "resnet34", "resnet50"]
StemStride = Literal[1, 2]
BottleneckStride = Literal["conv1", "conv2"]

BATCH_NORM_EPS = 1e-5
"""PyTorch's default."""


@dataclass(frozen=True)
class CifarResNetSpec:
    """A CIFAR ResNet: three stages of basic blocks.

    Attributes:
        blocks: blocks in each of the three stages; (n, n, n) is the network of depth 6n+2.
        widths: channels of each stage, (16, 32, 64) in the paper.
        stem_width: channels after the first convolution; None means those of the first stage.
        shortcut: how a block adds its input to its output where their shapes differ: through a 1x1 convolution with
            batch norm, or by the paper's option A without parameters: every second pixel, missing channels zero.
        option_a_padding: where option A puts its zero channels: half before and half after, or all after.
        stage_strides: stride of the first block in each of the three stages.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    classes: int
    stem_width: int | None = None
    shortcut: Shortcut = "projection"
    option_a_padding: Padding = "symmetric"
    stage_strides: tuple[int, ...] = (1, 2, 2)
    batch_norm_eps: float = BATCH_NORM_EPS

    @property
    def architecture(self) -> str:
        """The network's name, such as `cifar_resnet32`."""
        return f"cifar_resnet{2 * sum(self.blocks) + 2}"

    def build(self) -> CifarResNet:
        """Build a freshly initialised network."""
        return CifarResNet(self)


@dataclass(frozen=True)
class TorchvisionResNetSpec:
    """One of torchvision's ResNets.

    Attributes:
        cifar_stem: whether the stem's convolution is 3x3 rather than 7x7.
        max_pool: whether the stem has its 3x3 max-pool of stride 2.
        stem_stride: stride of the stem's convolution; None is the usual stride, 1 for 3x3 and 2 for 7x7.
        stage_strides: stride of the first block in each of the four stages.
        bottleneck_stride: which convolution of resnet50's blocks has the stride: the 3x3 (`conv2`) as in torchvision,
            or the 1x1 before it (`conv1`) as in the paper (He et al. 2016, arXiv:1512.03385) and its Caffe models.
    """

    variant: Variant
    classes: int
    cifar_stem: bool
    max_pool: bool
    stem_stride: StemStride | None = None
    stage_strides: tuple[int, ...] = (1, 2, 2, 2)
    batch_norm_eps: float = BATCH_NORM_EPS
    bottleneck_stride: BottleneckStride = "conv2"

    @property
    def bottleneck(self) -> bool:
        """Tell whether the blocks are bottlenecks of three convolutions."""
        return self.variant == "resnet50"

    @property
    def stride(self) -> StemStride:
        """Return the stride of the stem's convolution."""
        return self.stem_stride or (1 if self.cifar_stem else 2)

    @property
    def architecture(self) -> str:
        """The network's name, such as `resnet18 (CIFAR stem)`."""
        return f"{self.variant} ({'CIFAR' if self.cifar_stem else 'ImageNet'} stem)"

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the output channels of each of the four stages."""
        expansion = 4 if self.bottleneck else 1
        return tuple(expansion * width for width in (64, 128, 256, 512))

    def build(self) -> nn.Module:
        """Build a freshly initialised network with torchvision's tensor names.

        Raises:
            ValueError: there are not four stage strides.
        """
        if len(self.stage_strides) != 4:
            raise ValueError(f"{self.variant} has four stages, not strides {self.stage_strides}.")
        import_torchvision()
        from torchvision.models import resnet  # slow to import, and CIFAR experts do not need it

        norm = partial(nn.BatchNorm2d, eps=self.batch_norm_eps)
        network = cast(
            nn.Module, getattr(resnet, self.variant)(weights=None, num_classes=self.classes, norm_layer=norm)
        )
        kernel = 3 if self.cifar_stem else 7
        network.conv1 = nn.Conv2d(3, 64, kernel, stride=self.stride, padding=kernel // 2, bias=False)
        if not self.max_pool:
            network.maxpool = nn.Identity()
        for number, stride in enumerate(self.stage_strides, start=1):
            self._set_stride(network.get_submodule(f"layer{number}.0"), stride)
        return network

    def _set_stride(self, block: nn.Module, stride: int) -> None:
        """Set a first block's stride; add a projection if needed."""
        strided = self.bottleneck_stride if self.bottleneck else "conv1"
        for name in ("conv1", "conv2"):
            block.get_submodule(name).stride = (stride, stride) if name == strided else (1, 1)  # type: ignore[assignment]
        if block.downsample is not None:
            block.get_submodule("downsample.0").stride = (stride, stride)  # type: ignore[assignment]
        elif stride != 1:  # only the first stage of resnet18 and resnet34 has no projection
            width = self.widths[0]
            block.downsample = nn.Sequential(
                nn.Conv2d(width, width, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(width, eps=self.batch_norm_eps),
            )


NetworkSpec = CifarResNetSpec | TorchvisionResNetSpec


class OptionAShortcut(nn.Module):
    """The parameter-free shortcut, which subsamples the image and adds zero channels."""

    def __init__(self, in_width: int, out_width: int, stride: int, padding: Padding) -> None:
        super().__init__()
        if out_width < in_width:
            raise ValueError(f"Option A can add channels, not remove them: {in_width} to {out_width}.")
        extra = out_width - in_width
        before = extra // 2 if padding == "symmetric" else 0
        self.channels = (before, extra - before)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Sample and pad [N, in, H, W] to [N, out, H/stride, W/stride]."""
        # F.pad counts from the last dimension: W, H, then channels.
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut around them."""

    def __init__(self, in_width: int, width: int, stride: int, spec: CifarResNetSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=spec.batch_norm_eps)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps=spec.batch_norm_eps)
        self.shortcut: nn.Module
        if stride == 1 and in_width == width:
            self.shortcut = nn.Identity()
        elif spec.shortcut == "option_a":
            self.shortcut = OptionAShortcut(in_width, width, stride, spec.option_a_padding)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_width, width, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(width, eps=spec.batch_norm_eps),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Transform [N, in, H, W] to [N, width, H/stride, W/stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """The ResNet for small images (He et al. 2016, arXiv:1512.03385, section 4.2).

    Tensors are named conv1, bn1, layer1..3.{i}.{conv1,bn1,conv2,bn2,shortcut.0,shortcut.1} and fc. Weights are
    initialised as by He et al., so the network can be trained.

    Raises:
        ValueError: the spec does not have three stages, or option A would have to remove channels.
    """

    def __init__(self, spec: CifarResNetSpec) -> None:
        super().__init__()
        if not len(spec.blocks) == len(spec.widths) == len(spec.stage_strides) == 3:
            raise ValueError(
                f"A CIFAR ResNet has three stages, not {spec.blocks} blocks of {spec.widths} channels with strides "
                f"{spec.stage_strides}."
            )
        self.spec = spec
        width = spec.widths[0] if spec.stem_width is None else spec.stem_width
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=spec.batch_norm_eps)
        stages = []
        for count, out_width, stride in zip(spec.blocks, spec.widths, spec.stage_strides, strict=True):
            blocks = []
            for index in range(count):
                blocks.append(BasicBlock(width, out_width, stride if index == 0 else 1, spec))
                width = out_width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.fc = nn.Linear(width, spec.classes)
        for module in self.modules():
            # On the meta device there is nothing to initialise, and torch would load its compiler (1.3 s) for it.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Compute raw logits [N, C] float32, before softmax and temperature.

        `images` are [N, 3, H, W] float32 of any H and W from 1, normalised with the expert's mean and std.
        """
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        pooled = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)  # [N, widths[2]]
        return cast(Tensor, self.fc(pooled))
