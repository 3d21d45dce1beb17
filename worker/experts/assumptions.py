"""Properties of a network that its checkpoint file cannot show, declared or assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from worker.experts.architectures import (
    BottleneckStride,
    CifarResNetSpec,
    NetworkSpec,
    Padding,
    StemStride,
    TorchvisionResNetSpec,
)
from worker.experts.tensors import problem

NAMES = {
    "option_a_padding": "padding of the option A shortcuts",
    "max_pool": "max-pool in the stem",
    "stem_stride": "stride of the stem's convolution",
    "stage_strides": "strides of the stages",
    "bottleneck_stride": "convolution of a bottleneck block that has the stride",
    "batch_norm_eps": "epsilon of the batch norms",
}
"""Field of a spec → its description for people."""


@dataclass(frozen=True)
class Assumptions:
    """A data set's declarations of properties that a checkpoint file cannot show.

    None stands for the usual value, which is recorded as assumed.

    Attributes:
        option_a_padding: where parameter-free shortcuts put their zero channels; usually `symmetric`.
        max_pool: whether a torchvision ResNet's stem pools; usually so after the ImageNet stem only.
        stem_stride: stride of a torchvision ResNet's first convolution; usually 2 for the ImageNet stem, 1 for the
            CIFAR stem.
        stage_strides: stride of the first block of each stage; usually 1 in the first stage and 2 in the others.
        bottleneck_stride: which convolution of a bottleneck block has the stride; usually `conv2`.
        batch_norm_eps: epsilon that every batch norm adds to its running variance; usually 1e-5.
        weights: path of the weights in the file, such as `state_dict_ema`.
        shared: fields that are declared for all experts of the data set; they are ignored where they do not apply.
    """

    option_a_padding: Padding | None = None
    max_pool: bool | None = None
    stem_stride: StemStride | None = None
    stage_strides: tuple[int, ...] | None = None
    bottleneck_stride: BottleneckStride | None = None
    batch_norm_eps: float | None = None
    weights: str | None = None
    shared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("stage_strides", "shared"):  # JSON has lists, but a key of a dictionary has to be hashable
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else tuple(value))


@dataclass(frozen=True)
class Assumed:
    """One property that the file does not show, and the value taken.

    `basis` is `declared` in datasets.toml, or `assumed` to have its usual value; `override` is the key that declares
    it.
    """

    what: str
    value: str | bool | int | float | tuple[int, ...]
    basis: Literal["assumed", "declared"]
    override: str


def settle(file: str, spec: NetworkSpec, assumptions: Assumptions) -> tuple[NetworkSpec, tuple[Assumed, ...]]:
    """Put declared values into a spec; record what is assumed.

    Raises:
        JobError: `override-not-applicable`.
    """
    values: dict[str, Any] = {}
    assumed = []
    if assumptions.weights is not None:
        assumed.append(Assumed("set of weights in the file", assumptions.weights, "declared", "weights"))
    for key, what in NAMES.items():
        declared = getattr(assumptions, key)
        if declared is not None and (networks := _only_for(key, spec, declared)):
            if key not in assumptions.shared:
                shortcuts = " with projection shortcuts" if key == "option_a_padding" else ""
                raise problem(
                    "override-not-applicable",
                    file,
                    f"datasets.toml sets {key} for it, which is for {networks} only, and this is a "
                    f"{spec.architecture}{shortcuts}; remove the override.",
                    override=key,
                    architecture=spec.architecture,
                )
            declared = None
        if _only_for(key, spec):
            continue
        values[key] = _usual(key, spec) if declared is None else declared
        assumed.append(Assumed(what, values[key], "assumed" if declared is None else "declared", key))
    return replace(spec, **values), tuple(assumed)


def _usual(key: str, spec: NetworkSpec) -> Any:
    return spec.stride if key == "stem_stride" and isinstance(spec, TorchvisionResNetSpec) else getattr(spec, key)


def _only_for(key: str, spec: NetworkSpec, value: Any = None) -> str | None:
    """Name the networks that a key or value needs, or None."""
    option_a = isinstance(spec, CifarResNetSpec) and spec.shortcut == "option_a"
    torchvision = isinstance(spec, TorchvisionResNetSpec)
    bottleneck = isinstance(spec, TorchvisionResNetSpec) and spec.bottleneck
    match key:
        case "option_a_padding" if not option_a:
            return "parameter-free (option A) shortcuts"
        case "max_pool" | "stem_stride" if not torchvision:
            return "torchvision's ResNets"
        case "bottleneck_stride" if not bottleneck:
            return "bottleneck blocks (resnet50)"
        case "stage_strides" if value is not None and len(value) != len(spec.stage_strides):
            return f"networks of {len(value)} stages"
    return None
