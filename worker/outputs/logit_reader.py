"""Reads files of logits that anybody may have made: nothing in them is run, and no more is held than is asked for."""

from __future__ import annotations

import io
import lzma
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from app.domain.errors import JobError
from app.files.digested import DigestedFile
from worker.verify.file_schema import ARTIFACT, BARE, BARE_WITH_TARGETS, Form

ROOM = 4
"""An array of so many times the bytes that are right is not read: its shape alone shows that it is wrong."""
HEADER_ROOM = 2**16
"""Bytes. Headers of plain arrays have some hundred; one may claim to have 4 GiB."""
DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    struct.error,
    AssertionError,
    LookupError,
)
"""What Python, numpy and torch raise over bytes that no program of theirs wrote; their words help nobody."""


@dataclass(frozen=True, eq=False)
class StoredLogits:
    """A file as it lies there."""

    arrays: dict[str, NDArray[Any]]
    """By name; of one that is far too large, or of another name, only shape and dtype are to be relied on."""
    form: Form
    sha256: str
    """Of the file's bytes."""
    size: int
    """Bytes."""


@dataclass(frozen=True, eq=False)
class StoredTargets:
    """A file of targets as it lies there."""

    targets: NDArray[Any]
    """Of one that is far too large only shape and dtype are to be relied on."""
    sha256: str
    """Of the file's bytes."""
    size: int
    """Bytes."""


def read_stored(path: Path, samples: int, classes: int) -> StoredLogits:
    """Read an .npz, or a .pt with one tensor.

    Args:
        path: of the file.
        samples: rows that it should have.
        classes: classes that it should have.

    Raises:
        JobError: `logits-missing` or `logits-unreadable`, which says why and what would have been right.
    """
    largest = ROOM * 8 * max(samples * classes, 1) + 2**20
    # A file that changes while it is read counts as unreadable: its figures would have another file's digest.
    with _errors(path), DigestedFile(path) as stream:
        if path.suffix == ".pt":
            logits = _tensor(stream, largest, "(N, C) of logits")
            return StoredLogits({"logits": logits}, BARE, stream.sha256, stream.size)
        return StoredLogits(_arrays(stream, largest), ARTIFACT, stream.sha256, stream.size)


def read_targets(path: Path, samples: int) -> StoredTargets:
    """Read targets from a .pt with one tensor of any shape and dtype.

    Args:
        path: of the file.
        samples: targets that it should have.

    Raises:
        JobError: `logits-missing` or `logits-unreadable`, which says why and what would have been right.
    """
    with _errors(path), DigestedFile(path) as stream:
        targets = _tensor(stream, ROOM * 8 * max(samples, 1) + 2**20, "(N) of targets")
        return StoredTargets(targets, stream.sha256, stream.size)


def with_targets(stored: StoredLogits, targets: StoredTargets) -> StoredLogits:
    """Join a bare tensor with the targets that lie beside it."""
    arrays = {**stored.arrays, "targets": targets.targets}
    return StoredLogits(arrays, BARE_WITH_TARGETS, stored.sha256, stored.size)


def _arrays(stream: IO[bytes], largest: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(stream) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                shape, dtype = _header(file)
            name = member.removesuffix(".npy")
            if dtype.hasobject:
                raise ValueError(f"{name} holds Python objects (a pickle), which are not read; numbers are expected")
            if name in arrays:
                raise ValueError(f"it holds {name} twice")
            if name not in ARTIFACT.dtypes or np.prod(shape, dtype=object) * dtype.itemsize > largest:
                arrays[name] = np.broadcast_to(np.zeros((), dtype), shape)
                continue
            with archive.open(member) as file:
                arrays[name] = npy.read_array(file, allow_pickle=False)
    return arrays


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    beginning = io.BytesIO(file.read(HEADER_ROOM))
    version = npy.read_magic(beginning)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:  # 3.0 is for field names beyond Latin-1, which no plain array has
        raise ValueError(f"its .npy format {version} is not that of a plain array")
    shape, _, dtype = read(beginning)
    return shape, dtype


def _tensor(stream: IO[bytes], largest: int, expected: str) -> NDArray[Any]:
    if zipfile.is_zipfile(stream):  # the older format cannot be compressed either
        with zipfile.ZipFile(stream) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                # PyTorch would unpack it whole, a thousand times its size, before its shape is known.
                raise ValueError("it is compressed, as PyTorch writes none; save the tensor again with torch.save")
    stream.seek(0)
    loaded = torch.load(stream, map_location="cpu", weights_only=True)
    if not isinstance(loaded, torch.Tensor):
        raise ValueError(f"it holds a {type(loaded).__name__}; one tensor {expected} is expected")
    tensor = loaded.detach()
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ValueError("its tensor is sparse or quantized; a plain one is expected")
    shape = tuple(tensor.shape)
    if tensor.numel() * 8 > largest:  # one number in the file can be repeated to any size
        tensor = torch.zeros((), dtype=tensor.dtype)
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        raise ValueError("its tensor is bfloat16, which is not read; for logits, float16 or float32 is expected")
    return np.broadcast_to(tensor.resolve_conj().resolve_neg().numpy(), shape)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Translate every error of Python, numpy and torch about a bad file."""
    try:
        yield
    except FileNotFoundError:
        raise JobError("logits-missing", f"{path.name} no longer exists.") from None
    except DAMAGED as error:
        right = "an .npz of plain arrays" if path.suffix == ".npz" else "a .pt of one plain tensor"
        raise JobError("logits-unreadable", f"{path.name} is damaged, or is not {right}.") from error
    except (OSError, ValueError, EOFError, RuntimeError, TypeError, AttributeError, OverflowError) as error:
        why = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise JobError("logits-unreadable", f"{path.name} cannot be read: {why}.") from error
