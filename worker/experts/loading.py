"""Strict loading of a checkpoint file: a network ready for inference, and its passport.

Strict means that the network has exactly the tensors of the file, each of the same shape. Properties that a file
cannot show (`assumptions.py`) are declared in datasets.toml or assumed; the passport lists them in both cases.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worker.experts.architectures import CifarResNetSpec, NetworkSpec
from worker.experts.assumptions import Assumed, Assumptions, settle
from worker.experts.checkpoints import CheckpointFile, read_checkpoint
from worker.experts.recognition import SHORTCUT, recognise
from worker.experts.stored_numbers import StoredAccuracy
from worker.experts.tensors import BATCH_COUNTER, problem, rename
from worker.experts.weight_range import folded_extreme

__all__ = ["Assumed", "Assumptions", "Expert", "Passport", "load_expert"]

LISTED = 20  # names of each kind in the details of a mismatch, beside their total


@dataclass(frozen=True)
class Passport:
    """The properties of an expert, for people and for manifests.

    Attributes:
        file, sha256, bytes, format, dtype, temperature, stored_accuracy, weights, renamed, ignored: as in
            `CheckpointFile`.
        architecture: such as `cifar_resnet32` or `resnet18 (CIFAR stem)`.
        widths: output channels of each stage.
        shortcut: `projection`, or `option_a` (parameter-free).
        parameters: number of trained parameters, without the temperature and batch norm's running statistics.
        tensors_sha256: digest of the tensors that logits depend on, with their names and shapes.
        largest_parameter: the largest absolute parameter with batch norm folded into the convolutions; finite.
        network: the architecture with everything that shapes the computation, as JSON.
    """

    file: str
    sha256: str
    bytes: int
    format: str
    architecture: str
    widths: tuple[int, ...]
    shortcut: str
    parameters: int
    classes: int
    temperature: float | None
    stored_accuracy: StoredAccuracy | None
    weights: str | None
    dtype: str
    tensors_sha256: str
    largest_parameter: float
    network: dict[str, Any]
    renamed: tuple[str, ...]
    assumed: tuple[Assumed, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert the passport to JSON types, tuples to lists."""
        return {key: _listed(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Passport:
        """Rebuild a passport from the output of `to_dict`."""
        lists = {key: tuple(data[key]) for key in ("widths", "renamed", "ignored", "notes")}
        assumed = tuple(Assumed(**{name: _tupled(value) for name, value in item.items()}) for item in data["assumed"])
        accuracy = data["stored_accuracy"]
        stored = None if accuracy is None else StoredAccuracy(**accuracy)
        return cls(**{**data, **lists, "assumed": assumed, "stored_accuracy": stored})


def _listed(value: Any) -> Any:
    """Convert tuples to lists at every depth."""
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, list | tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Expert:
    """A network that is ready for inference, and its passport.

    The network maps [N, 3, H, W] float32 normalised images to [N, C] float32 raw logits; it is in eval mode, on the
    CPU, without gradients. The temperature is not applied.
    """

    network: nn.Module
    passport: Passport


def load_expert(path: Path, assumptions: Assumptions | None = None) -> Expert:
    """Load an expert strictly; its bytes decide its format.

    Raises:
        JobError: as `read_checkpoint` and `recognise` raise; `tensors-mismatch` with `missing`, `unexpected` and
            `shapes`; `override-not-applicable`; `weights-overflow`.
    """
    assumptions = assumptions or Assumptions()
    file = read_checkpoint(path, assumptions.weights)
    spec, assumed = settle(file.name, recognise(file.name, file.tensors), assumptions)
    with torch.device("meta"):  # names and shapes only: takes no memory and does not change the random state
        network = spec.build()
    expected = network.state_dict()
    tensors, renamed = _name_shortcuts(file, "shortcut" if isinstance(spec, CifarResNetSpec) else "downsample")
    counters = {name for name in expected if name.endswith(BATCH_COUNTER)} - tensors.keys()
    _check_fit(file, spec, tensors, {name: t for name, t in expected.items() if name not in counters})
    tensors |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    network = network.to_empty(device="cpu")
    network.load_state_dict(tensors, strict=True)
    passport = Passport(
        file=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        format=file.format,
        architecture=spec.architecture,
        widths=spec.widths,
        shortcut=spec.shortcut if isinstance(spec, CifarResNetSpec) else "projection",
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        classes=spec.classes,
        temperature=file.temperature,
        stored_accuracy=file.stored_accuracy,
        weights=file.weights,
        dtype=file.dtype,
        tensors_sha256=_digest(network),
        largest_parameter=folded_extreme(file.name, network),
        network={"kind": type(spec).__name__, "architecture": spec.architecture, **_listed(asdict(spec))},
        renamed=(*file.renamed, *renamed),
        assumed=assumed,
        ignored=file.ignored,
        notes=_notes(file, len(counters)),
    )
    return Expert(network.eval().requires_grad_(False), passport)


def _notes(file: CheckpointFile, absent_counters: int) -> tuple[str, ...]:
    notes = list(file.notes)
    if absent_counters:
        notes.append(f"{absent_counters} {BATCH_COUNTER} entries are absent; inference does not use them.")
    hub_hash = re.search(r"-([0-9a-f]{8})\.\w+$", file.name)
    if hub_hash and file.sha256.startswith(hub_hash[1]):
        notes.append(f"The file's name carries the first digits of its sha256, {hub_hash[1]}, and they are right.")
    return tuple(notes)


def _digest(network: nn.Module) -> str:
    """Hash tensors' names, shapes and values, without unused counters."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.endswith(BATCH_COUNTER):
            digest.update(f"{name} {list(tensor.shape)} ".encode())
            digest.update(tensor.contiguous().numpy().astype("<f4").data)
    return digest.hexdigest()


def _name_shortcuts(file: CheckpointFile, own: str) -> tuple[dict[str, Tensor], list[str]]:
    """Name shortcuts as the network does; also return the rule."""
    tensors = rename(file.name, file.tensors, lambda name: SHORTCUT.sub(rf"\1.{own}.", name))
    other = {"shortcut": "downsample", "downsample": "shortcut"}[own]
    return tensors, [f"{other}.* -> {own}.*"] if tensors.keys() != file.tensors.keys() else []


def _check_fit(
    file: CheckpointFile, spec: NetworkSpec, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Raise `tensors-mismatch` unless names and shapes are the same."""
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    shapes = [
        {"name": name, "found": list(tensors[name].shape), "expected": list(expected[name].shape)}
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    if not (missing or unexpected or shapes):
        return
    misshapen = [f"{s['name']} is {s['found']} where {s['expected']} was expected" for s in shapes]
    mismatches = [
        f"{len(names)} {title}: {', '.join(names[:3])}{' and so on' if len(names) > 3 else ''}"
        for title, names in [("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)]
        if names
    ]
    kind = spec.architecture
    if spec.stage_strides != type(spec).stage_strides:  # declared strides decide which blocks have a projection
        kind += f" with the declared stage_strides {list(spec.stage_strides)}"
    raise problem(
        "tensors-mismatch",
        file.name,
        f"it looks like a {kind}, but its tensors do not fit one. {'; '.join(mismatches)}. "
        "The file must have exactly the network's tensors, in their shapes.",
        architecture=spec.architecture,
        missing=missing[:LISTED],
        missing_total=len(missing),
        unexpected=unexpected[:LISTED],
        unexpected_total=len(unexpected),
        shapes=shapes[:LISTED],
        shapes_total=len(shapes),
        renamed=list(file.renamed),
    )
