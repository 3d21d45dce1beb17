"""What a row's bits depend on besides the weights and the pixels, and the key that rows are kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

from app.domain.errors import RequestError
from app.domain.requests import BatchSize, Precision

SHAPES: Mapping[str, tuple[int, ...]] = {"openvino": (8,), "cpu": (16, 32, 64), "cuda": (16, 32, 64, 128, 256)}
"""Physical batches, in images, for OpenVINO and for PyTorch on either device; a short batch is filled up.

Measured on CPUs: 8 images stay in a core's cache (OpenVINO), 32 to 64 beat 128 and more (PyTorch). A GPU wants
many images, until launches are hidden. Few fixed shapes, because at others the bits of a row may change.
"""

ROW_GROUP = 16
"""PyTorch on a CPU gives a float32 row the same bits in all batches of a multiple of this many images."""

SAMPLED = 1000
"""Images of a unit that are also computed in fp32, besides kept rows, to see what another precision costs."""


@dataclass(frozen=True, slots=True)
class ComputeEnvironment:
    """How one worker computes, as it records it in the store. Workers with equal values give equal bits."""

    device: Literal["cpu", "cuda"]
    model: str
    """The processor's own name, such as `NVIDIA H200` or `AMD EPYC (family 25, model 17, stepping 1)`."""
    capability: str
    """Instruction set that kernels are chosen by, such as `AVX512`; CUDA: the compute capability and cuDNN."""
    engine: str
    engine_version: str
    revision: str
    """Digest of relogit's own engine code."""
    precisions: tuple[Precision, ...]
    """What it can compute in."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ComputeEnvironment:
        """Rebuild the value that `dataclasses.asdict` wrote.

        Fields that only another version of relogit writes are left out.

        Raises:
            KeyError: something is missing.
        """
        return cls(
            **{field.name: data[field.name] for field in fields(cls)} | {"precisions": tuple(data["precisions"])}
        )

    def batch(self, wanted: BatchSize) -> int:
        """Choose the physical batch for an upper bound, in images.

        It is the largest shape that the bound admits, but at least the smallest.
        """
        shapes = SHAPES["openvino" if self.engine == "openvino" else self.device]
        return shapes[-1] if wanted == "auto" else max([size for size in shapes if size <= wanted] or shapes[:1])

    def numerics(self, precision: Precision, batch: int) -> NumericsKey:
        """Return the numerics of rows that this worker computes.

        Raises:
            RequestError: `precision-unavailable`.
        """
        if precision not in self.precisions:
            raise RequestError(
                "precision-unavailable",
                f"Precision {precision!r} cannot be had from {self.engine} on {self.model}; there is "
                f"{', '.join(self.precisions)}.",
                available=list(self.precisions),
            )
        free = (self.device, self.engine, precision) == ("cpu", "torch", "fp32") and batch % ROW_GROUP == 0
        of_worker = (self.device, self.model, self.capability, self.engine, self.engine_version, self.revision)
        return NumericsKey(precision, *of_worker, f"any multiple of {ROW_GROUP}" if free else batch)


@dataclass(frozen=True, slots=True)
class NumericsKey:
    """A class of computations that give a row the same bits."""

    precision: Precision
    """What convolutions multiply in. `tf32` only says that it may be used; `fp32` never lets it."""
    device: str
    model: str
    capability: str
    engine: str
    engine_version: str
    revision: str
    batch: int | str
    """Images of a physical batch, unless it is known to make no difference."""


@dataclass(frozen=True)
class RowSource:
    """Everything that the logit rows of one expert over one pool depend on."""

    tensors_sha256: str
    """Of the network's tensors, names and all; not of the file they came in."""
    network: Mapping[str, Any]
    """The architecture as a spec that builds it."""
    classes: int
    pixels_sha256: str
    """Of the pool's shape and pixels, in order; not of its labels."""
    transform: Mapping[str, Any]
    numerics: NumericsKey

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON-able fields."""
        return asdict(self)

    @cached_property
    def key(self) -> str:
        """Digest of all of it, as 64 hex digits: the key that its rows are kept under."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def row_source(
    passport: Mapping[str, Any], pixels_sha256: str, transform: Mapping[str, Any], numerics: NumericsKey
) -> RowSource:
    """Gather what an expert's rows over a pool depend on.

    Workers and plans both use it, so that they agree on the key. The passport is as JSON has it.
    """
    of_passport = {name: passport[name] for name in ("tensors_sha256", "network", "classes")}
    return RowSource(**of_passport, pixels_sha256=pixels_sha256, transform=transform, numerics=numerics)
