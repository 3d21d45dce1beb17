"""Checkpoint file to named float32 weights, with every tensor of the file accounted for.

Files come as torch.save writes them (zip, or the older form) or as safetensors; bare or wrapped; with the
names of the module that was saved. Here all of that becomes one naming, and what was changed is written down.
Nothing is dropped in silence: what is no weight is listed, and two readings of one file are an error.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import re
import struct
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from app.errors import JobError, TransientError
from worker.device import NO_MEMORY
from worker.plain_values import plain_values_allowed
from worker.tensor_names import bare_names, problem

Format = Literal["pytorch-zip", "pytorch-legacy", "safetensors"]

WRAPPERS = ("model_state_dict", "state_dict", "model", "net")
MAX_NESTING = 4  # wrappers within wrappers; a bound, because a pickled dictionary may hold itself
BATCH_COUNTER = "num_batches_tracked"  # batch norm's own count: the one integer, and not used for logits
FLOATS = {torch.float32, torch.float16, torch.bfloat16, torch.float64}
INTEGERS = {torch.int64, torch.int32}


@dataclass(frozen=True)
class CheckpointFile:
    """One checkpoint, read once.

    Attributes:
        name: the file's name, without its folder.
        sha256: of the file's bytes, in hex.
        bytes: size of the file.
        format: how it was saved.
        tensors: name to float32 tensor (int64 for `num_batches_tracked`) on the CPU, all finite. Names are bare:
            `conv1.weight`, `fc.bias`; shortcuts keep the name that the file gives them.
        temperature: the stored calibration scalar, finite and > 0, or None where there is none.
        dtype: what the weights were saved as, such as `float32` or `float16, float32`.
        ignored: entries beside the weights that are none, such as `epoch` or `optimizer`.
        renamed: rules that were applied to all names, such as `module.* -> *`.
        notes: sentences about what else was changed in reading.
    """

    name: str
    sha256: str
    bytes: int
    format: Format
    tensors: dict[str, Tensor]
    temperature: float | None
    dtype: str
    ignored: tuple[str, ...]
    renamed: tuple[str, ...]
    notes: tuple[str, ...]


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read a checkpoint without running any code that it may hold.

    Raises:
        JobError: `checkpoint-missing`, `-empty`, `-unreadable`, `-unsafe`, `-no-weights`, `-ambiguous`,
            `-tensor-kind`, `-nonfinite`, or `temperature-invalid`. The message names the file and the culprit.
        TransientError: memory or disk failed, not the file.
    """
    file = path.name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise problem("checkpoint-missing", file, "there is no such checkpoint file.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise problem("checkpoint-unreadable", file, f"the file cannot be read ({error.strerror}).") from error
    except OSError as error:  # a disk that hiccups says nothing about the file
        raise TransientError("checkpoint-unreadable", f"{file} cannot be read now: {error.strerror}.") from error
    if not data:
        raise problem("checkpoint-empty", file, "the file is empty (0 bytes); a checkpoint was expected.")
    kind, loaded = _load(file, data)
    named, temperatures, ignored = _find_weights(file, loaded)
    named, renamed = bare_names(file, named)
    if "temperature" in named:
        temperatures = {"temperature, among the weights": named.pop("temperature"), **temperatures}
    if not named:
        raise _no_weights(file, loaded)
    tensors, dtype, notes = _as_float32(file, named)
    return CheckpointFile(
        name=file,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        format=kind,
        tensors=tensors,
        temperature=_temperature(file, temperatures),
        dtype=dtype,
        ignored=tuple(ignored),
        renamed=tuple(renamed),
        notes=tuple(notes),
    )


def _load(file: str, data: bytes) -> tuple[Format, object]:
    """The object in the file; of a safetensors file a wrapper of its metadata and its `state_dict`."""
    header_size = int.from_bytes(data[:8], "little")
    try:
        if data[8:9] == b"{" and header_size <= len(data) - 8:
            metadata = json.loads(data[8 : 8 + header_size]).get("__metadata__", {})
            return "safetensors", {**metadata, "state_dict": safetensors.torch.load(data)}
        # Its warnings speak to whoever saved the file; what matters in them comes as an error below.
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
        refused = re.search(r"GLOBAL ([\w.]*\w)\s", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused:
            raise problem(
                "checkpoint-unsafe",
                file,
                f"the file would run code on loading: it calls for '{refused[1]}', and only tensors and plain "
                "values are loaded. Save the network's state_dict() alone, with torch.save or safetensors.",
                unsafe_global=refused[1],
            ) from error
        raise problem(
            "checkpoint-unreadable",
            file,
            f"this is no whole checkpoint ({len(data)} bytes, beginning with {data[:16]!r}): damaged, cut short "
            "or something else. Read are state dicts saved by torch.save (zip or older form) and safetensors.",
            reason=str(error)[:500],
        ) from error


def _find_weights(file: str, loaded: object) -> tuple[dict[str, Tensor], dict[str, object], list[str]]:
    """Named tensors within their wrappers, the temperatures beside them by place, and what else there is."""
    temperatures: dict[str, object] = {}
    ignored: list[str] = []
    level, path = loaded, ""
    while isinstance(level, Mapping):
        wrappers = (
            [key for key in WRAPPERS if _holds_tensors(level.get(key))] if path.count(".") < MAX_NESTING else []
        )
        if len(wrappers) > 1:
            raise _two_sets(file, *(f"{path}{key}" for key in wrappers))
        weights: dict[str, Tensor] = {}
        for key, value in level.items():
            name = str(key)
            if name in wrappers:
                continue
            if isinstance(value, Tensor) and not wrappers:
                weights[name] = value
            elif isinstance(value, Tensor) and "." in name:  # a weight's name, outside of the wrapper
                raise _two_sets(file, f"{path}{name}", f"{path}{wrappers[0]}")
            elif name == "temperature" and value is not None:
                temperatures[f"{path}{name}"] = value
            else:
                ignored.append(f"{path}{name}")
        if not wrappers:
            return weights, temperatures, ignored
        path += f"{wrappers[0]}."
        level = level[wrappers[0]]
    raise _no_weights(file, loaded)


def _holds_tensors(value: object, nesting: int = MAX_NESTING) -> bool:
    """Whether these are weights, or a wrapper of some."""
    if not isinstance(value, Mapping) or nesting == 0:
        return False
    return any(isinstance(entry, Tensor) for entry in value.values()) or any(
        _holds_tensors(value.get(key), nesting - 1) for key in WRAPPERS
    )


def _two_sets(file: str, *places: str) -> JobError:
    named = " and ".join(f"'{place}'" for place in places)
    return problem(
        "checkpoint-ambiguous",
        file,
        f"weights stand in {named}, and which are meant cannot be known; save one set of weights only.",
        names=list(places),
    )


def _no_weights(file: str, loaded: object) -> JobError:
    entries = [str(key) for key in loaded][:20] if isinstance(loaded, Mapping) else []
    held = "its entries are " + ", ".join(entries) if entries else f"it holds a {type(loaded).__name__}"
    return problem(
        "checkpoint-no-weights",
        file,
        f"the file loads but has no named weights ({held}). They are looked for at its top and in "
        f"{', '.join(WRAPPERS)}; save the network's state_dict() there.",
        entries=entries,
    )


def _temperature(file: str, found: Mapping[str, object]) -> float | None:
    """The one temperature, of shape () or (1,), finite and > 0."""
    values: dict[str, float] = {}
    for place, value in found.items():
        number = _number(value)
        if not 0 < number < math.inf:
            shown = (
                f"shape {list(value.shape)}, {value.flatten()[:3].tolist()}" if isinstance(value, Tensor) else value
            )
            raise problem(
                "temperature-invalid",
                file,
                f"'{place}' is no temperature ({shown}); it has to be one finite number above 0.",
                name=place,
            )
        values[place] = number
    if not values:
        return None
    (first, number), *others = values.items()
    for place, other in others:
        # The same number may stand as float32 in one place and as float64 in the other.
        if not math.isclose(number, other, rel_tol=1e-6):
            raise problem(
                "checkpoint-ambiguous",
                file,
                f"two temperatures: '{first}' is {number:g} and '{place}' is {other:g}; the file may hold only one.",
                names=[first, place],
            )
    return number


def _number(value: object) -> float:
    """The value as a number; NaN where it is none. Text counts: safetensors keeps all but tensors as text."""
    if isinstance(value, Tensor):
        readable = _is_plain(value) and value.dtype in FLOATS | INTEGERS and value.shape in ((), (1,))
        return float(value.item()) if readable else math.nan
    try:
        return math.nan if isinstance(value, bool) else float(cast(Any, value))
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _is_plain(tensor: Tensor) -> bool:
    """Dense, on the CPU, and with as many numbers in the file as its shape says (not expanded from fewer)."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _as_float32(file: str, named: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str, list[str]]:
    """The weights as float32, what they were saved as, and notes of what the change meant."""
    tensors: dict[str, Tensor] = {}
    dtypes: Counter[torch.dtype] = Counter()
    for name, tensor in named.items():
        counter = name.endswith(BATCH_COUNTER)
        if not _is_plain(tensor) or tensor.dtype not in (FLOATS | INTEGERS if counter else FLOATS):
            raise problem(
                "checkpoint-tensor-kind",
                file,
                f"'{name}' is {_short(tensor.dtype)} ({_short(tensor.layout)}, {tensor.device.type}); a weight has "
                "to be a plain dense tensor of float32, float16, bfloat16 or float64.",
                name=name,
            )
        converted = tensor.detach().to(torch.int64 if counter else torch.float32)
        if not torch.isfinite(converted).all():
            raise problem("checkpoint-nonfinite", file, f"'{name}' holds NaN or infinity as float32.", name=name)
        tensors[name] = converted
        if not counter:
            dtypes[tensor.dtype] += 1
    change = {torch.float16: "widened", torch.bfloat16: "widened", torch.float64: "rounded"}
    notes = [f"{n} tensors of {_short(dtype)} were {change[dtype]} to float32." for dtype, n in dtypes.items()
             if dtype in change]  # fmt: skip
    return tensors, ", ".join(sorted(map(_short, dtypes))), notes


def _short(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")
