"""Reading of a checkpoint file: named float32 weights, with every tensor of the file accounted for.

Files are written by torch.save (zip, or the older format) or as safetensors; they are bare or wrapped, and have the
names of the saved module. This module gives all of them the same names and records its changes. It drops nothing in
silence: entries that are no weights are listed, and a file that can be read in two ways is an error.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from app.domain.errors import TransientError
from worker.device import NO_MEMORY
from worker.experts.plain_values import plain_values_allowed
from worker.experts.stored_numbers import StoredAccuracy, other_entries, read_accuracy, read_temperature
from worker.experts.tensors import (
    AVERAGED,
    BATCH_COUNTER,
    FLOATS,
    INTEGERS,
    bare_names,
    is_plain,
    problem,
    short_name,
)
from worker.experts.weight_sets import TOP, choose_weights

Format = Literal["pytorch-zip", "pytorch-legacy", "safetensors"]

VARIANCE = "running_var"  # batch norm's name for it


@dataclass(frozen=True)
class CheckpointFile:
    """One checkpoint, read once.

    Attributes:
        sha256: digest of the file's bytes, in hex.
        tensors: name to float32 tensor (int64 for `num_batches_tracked`) on the CPU, all finite. Names are bare:
            `conv1.weight`, `fc.bias`; shortcuts keep their names in the file.
        temperature: the stored calibration scalar, finite and > 0, or None.
        weights: path of the weights in the file, such as `state_dict` or `ema.module`; None for its top.
        dtype: types of the saved weights, such as `float32` or `float16, float32`.
        ignored: entries beside the weights that are no weights, such as `epoch` or `optimizer`.
        renamed: rules that were applied to all names, such as `module.* -> *`.
        notes: sentences about other changes.
    """

    name: str
    sha256: str
    bytes: int
    format: Format
    tensors: dict[str, Tensor]
    temperature: float | None
    stored_accuracy: StoredAccuracy | None
    weights: str | None
    dtype: str
    ignored: tuple[str, ...]
    renamed: tuple[str, ...]
    notes: tuple[str, ...]


def read_checkpoint(path: Path, weights: str | None = None) -> CheckpointFile:
    """Read a checkpoint without running any code in it.

    `weights` is the declared path of the weights in the file; None if none is declared.

    Raises:
        JobError: `checkpoint-missing`, `-empty`, `-unreadable`, `-unsafe`, `-no-weights`, `-ambiguous`,
            `-tensor-kind`, `-nonfinite`, `-variance`, `weights-not-found`, or `temperature-invalid`. The message
            names the file and the entry at fault.
        TransientError: memory or the disk failed; the file may be sound.
    """
    file = path.name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise problem("checkpoint-missing", file, "there is no such checkpoint file.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise problem("checkpoint-unreadable", file, f"the file cannot be read ({error.strerror}).") from error
    except OSError as error:  # the disk failed, which does not mean that the file is bad
        raise TransientError("checkpoint-unreadable", f"{file} cannot be read now: {error.strerror}.") from error
    if not data:
        raise problem("checkpoint-empty", file, "the file is empty (0 bytes); a checkpoint was expected.")
    kind, loaded = _load(file, data)
    choice = choose_weights(file, loaded, weights)
    extras, place = other_entries(choice), choice.weights.path
    named, renamed = bare_names(file, dict(choice.weights.tensors))
    temperatures, ignored = extras.temperatures, extras.ignored
    if "temperature" in named:
        temperatures = {"temperature, among the weights": named.pop("temperature"), **temperatures}
    if named.pop(AVERAGED, None) is not None:
        ignored.append(f"{AVERAGED}, among the weights")
    tensors, dtype, changes = _as_float32(file, named)
    accuracy, remarks = read_accuracy(extras.accuracies)
    return CheckpointFile(
        name=file,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        format=kind,
        tensors=tensors,
        temperature=read_temperature(file, temperatures),
        stored_accuracy=accuracy,
        weights=None if place == TOP or kind == "safetensors" else place,
        dtype=dtype,
        ignored=tuple(ignored),
        renamed=tuple(renamed),
        notes=(*choice.notes, *changes, *remarks),
    )


def _load(file: str, data: bytes) -> tuple[Format, object]:
    """Load a file's object, or safetensors' metadata with their `state_dict`."""
    header_size = int.from_bytes(data[:8], "little")
    try:
        if data[8:9] == b"{" and header_size <= len(data) - 8:
            metadata = json.loads(data[8 : 8 + header_size]).get("__metadata__", {})
            return "safetensors", {**metadata, "state_dict": safetensors.torch.load(data)}
        # PyTorch's warnings concern the author of the file; problems that matter raise an error below.
        with warnings.catch_warnings(), plain_values_allowed():
            warnings.simplefilter("ignore")
            loaded = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        return ("pytorch-zip" if data.startswith(b"PK") else "pytorch-legacy"), loaded
    # A damaged pickle runs its own wrong instructions, so the loaders fail in any of these ways.
    except (
        pickle.UnpicklingError, safetensors.SafetensorError, struct.error,
        ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        if any(text in str(error) for text in NO_MEMORY):
            raise TransientError("out-of-memory", f"There is no memory to load {file} just now.") from error
        callee = re.search(r"GLOBAL ([\w.]*\w)\s", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if callee:
            raise problem(
                "checkpoint-unsafe",
                file,
                f"the file would run code on loading: it calls '{callee[1]}', and only tensors and plain values are "
                "loaded. Save the network's state_dict() alone, with torch.save or safetensors.",
                unsafe_global=callee[1],
            ) from error
        raise problem(
            "checkpoint-unreadable",
            file,
            f"this is not a complete checkpoint ({len(data)} bytes, beginning with {data[:16]!r}): it is damaged, "
            "truncated or another kind of file. relogit reads state dicts saved by torch.save (zip or the older "
            "format) and safetensors.",
            reason=str(error)[:500],
        ) from error


def _as_float32(file: str, named: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str, list[str]]:
    """Convert weights to float32; also return stored types and notes."""
    tensors: dict[str, Tensor] = {}
    dtypes: Counter[torch.dtype] = Counter()
    for name, tensor in named.items():
        counter = name.endswith(BATCH_COUNTER)
        if not is_plain(tensor) or tensor.dtype not in (FLOATS | INTEGERS if counter else FLOATS):
            raise problem(
                "checkpoint-tensor-kind",
                file,
                f"'{name}' is {short_name(tensor.dtype)} ({short_name(tensor.layout)}, {tensor.device.type}); a "
                "weight has to be a plain dense tensor of float32, float16, bfloat16 or float64.",
                name=name,
            )
        converted = tensor.detach().to(torch.int64 if counter else torch.float32)
        if not torch.isfinite(converted).all():
            raise problem("checkpoint-nonfinite", file, f"'{name}' holds NaN or infinity as float32.", name=name)
        if name.endswith(VARIANCE):
            _check_variance(file, name, converted)
        tensors[name] = converted
        if not counter:
            dtypes[tensor.dtype] += 1
    change = {torch.float16: "widened", torch.bfloat16: "widened", torch.float64: "rounded"}
    notes = [f"{n} tensors of {short_name(dtype)} were {change[dtype]} to float32." for dtype, n in dtypes.items()
             if dtype in change]  # fmt: skip
    return tensors, ", ".join(sorted(map(short_name, dtypes))), notes


def _check_variance(file: str, name: str, variance: Tensor) -> None:
    """Refuse a negative variance; a ReLU may hide its NaN."""
    negative = (variance < 0).nonzero()
    if len(negative):
        index = negative[0].tolist()
        value = float(variance[tuple(index)])
        raise problem(
            "checkpoint-variance",
            file,
            f"'{name}' holds {value:g} at {index}: a variance cannot be below zero, so no logits can be computed.",
            name=name,
            index=index,
            value=value,
        )
