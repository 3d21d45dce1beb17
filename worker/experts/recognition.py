"""Recognition of an architecture from tensor names and shapes alone.

This module only names the network; `loading.py` checks every tensor against the network that was built. Each size is
that of the most tensors, so that a single odd tensor does not change the result and `loading.py` can report it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from app.domain.errors import JobError
from worker.experts.architectures import CifarResNetSpec, NetworkSpec, TorchvisionResNetSpec, Variant
from worker.experts.tensors import problem

KNOWN = (
    "CIFAR ResNets of depth 6n+2 (20, 32, 44, 56, 110: three equal stages of basic blocks) and "
    "torchvision's resnet18, resnet34 and resnet50"
)
SHORTCUT = re.compile(r"(layer\d+\.\d+)\.(?:shortcut|downsample)\.")
_BLOCK = re.compile(r"layer(\d{1,4})\.(\d{1,4})\.(\w+)")
_VARIANTS: dict[tuple[tuple[int, ...], bool], Variant] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
}


def recognise(file: str, tensors: Mapping[str, Tensor]) -> NetworkSpec:
    """Infer a network's spec from its weights.

    Properties that tensors cannot show get their usual value: `option_a_padding` symmetric; `max_pool` true for
    ImageNet's stem and false for CIFAR's. Names are bare, shortcuts called `shortcut` or `downsample`.

    Raises:
        JobError: `architecture-unknown`, with the observed blocks and the known architectures.
    """
    indices: dict[int, set[int]] = {}  # stage → its blocks
    parts: set[str] = set()
    for match in filter(None, map(_BLOCK.match, tensors)):
        indices.setdefault(int(match[1]), set()).add(int(match[2]))
        parts.add(match[3])
    stages = [len(blocks) for _, blocks in sorted(indices.items())]
    # Layers count from 1 and blocks from 0; with a gap in either, the depth is unknown.
    whole = sorted(indices) == list(range(1, len(indices) + 1)) and all(
        blocks == set(range(len(blocks))) for blocks in indices.values()
    )
    bottleneck = "conv3" in parts
    classes = _vote(tensors, r"fc\.(weight|bias)$") or 1  # without a head, `loading.py` reports the missing head
    if whole and len(stages) == 3 and len(set(stages)) == 1 and not bottleneck:
        return _cifar_resnet(file, tensors, tuple(stages), classes)
    variant = _VARIANTS.get((tuple(stages), bottleneck)) if whole else None
    if variant is None:
        blocks = {f"layer{stage}": sorted(numbers) for stage, numbers in sorted(indices.items())}
        raise _unknown(file, tensors, _describe(blocks, bottleneck), blocks)
    conv1 = tensors.get("conv1.weight")
    cifar_stem = conv1 is not None and tuple(conv1.shape[2:]) == (3, 3)
    return TorchvisionResNetSpec(variant, classes, cifar_stem=cifar_stem, max_pool=not cifar_stem)


def _cifar_resnet(file: str, tensors: Mapping[str, Tensor], blocks: tuple[int, ...], classes: int) -> CifarResNetSpec:
    """Infer a CIFAR ResNet from each stage's commonest width."""
    widths = tuple(_vote(tensors, rf"layer{stage}\.\d+\.(conv|bn)[12]\.") for stage in (1, 2, 3))
    stem = _vote(tensors, r"(conv1|bn1)\.") or widths[0]
    if not all(widths):
        raise _unknown(file, tensors, "three stages of blocks without a convolution that shows a width", {})
    projection = any(map(SHORTCUT.match, tensors))
    if not projection and not stem <= widths[0] <= widths[1] <= widths[2]:
        stages = (
            f"three stages of {', '.join(map(str, widths))} channels after a stem of {stem}, without shortcut tensors"
        )
        raise _unknown(file, tensors, f"{stages}; only projections could remove channels", {})
    return CifarResNetSpec(
        blocks, widths, classes, stem_width=stem, shortcut="projection" if projection else "option_a"
    )


def _vote(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Return matching tensors' most common first dimension, else 0."""
    sizes = Counter(
        tensor.shape[0]
        for name, tensor in tensors.items()
        if re.match(pattern, name) and tensor.ndim and tensor.numel()
    )
    return sizes.most_common(1)[0][0] if sizes else 0


def _describe(blocks: dict[str, list[int]], bottleneck: bool) -> str:
    if not blocks:
        return "no tensors named layer1.0.* and so on"
    kind = "bottleneck" if bottleneck else "basic"
    runs = {
        stage: f"{len(numbers)}" if numbers == list(range(len(numbers))) else f"{numbers}"
        for stage, numbers in blocks.items()
    }
    return f"{kind} blocks by stage: " + "; ".join(f"{stage} {run}" for stage, run in runs.items())


def _unknown(file: str, tensors: Mapping[str, Tensor], structure: str, blocks: dict[str, list[int]]) -> JobError:
    first = list(tensors)[:6]
    return problem(
        "architecture-unknown",
        file,
        f"relogit does not know the architecture of these weights. Seen: {structure[:300]}; {len(tensors)} tensors, "
        f"the first {', '.join(first)}. Known: {KNOWN}.",
        stages={stage: len(numbers) for stage, numbers in blocks.items()},
        first_tensors=first,
        known=KNOWN,
    )
