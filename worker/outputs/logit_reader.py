"""Reading of logit files of any origin, without running code from them and within bounded memory."""

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from app.domain.errors import JobError
from app.domain.syntax_trees import SYNTAX_TREES
from app.files.digested import DigestedFile
from worker.verify.file_schema import ARTIFACT, BARE, BARE_WITH_TARGETS, Form

SIZE_FACTOR = 4
"""Arrays of more than this many times the expected bytes are not read: their shape shows that they are wrong."""
MAX_HEADER_BYTES = 2**16
"""A plain array's header has about a hundred bytes; a forged header may claim 4 GiB."""
DAMAGED = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, struct.error,
    AssertionError, LookupError,
)  # fmt: skip
"""Errors of Python, numpy and torch about damaged files. Their texts help no user, so they are replaced."""


@dataclass(frozen=True, eq=False)
class StoredLogits:
    """The content of a file of logits, or of targets, unchecked."""

    arrays: dict[str, NDArray[Any]]
    """Name → array. An array that is far too large, or has an unknown name, has valid shape and dtype only."""
    form: Form
    sha256: str
    """Digest of the file's bytes."""
    size: int
    """Bytes of the file."""


def read_stored(path: Path, samples: int, classes: int) -> StoredLogits:
    """Read an .npz or one-tensor .pt without checks.

    What is far larger than samples x classes is not read.

    Raises:
        JobError: `logits-missing`; `logits-unreadable`, with the reason and what would have been right.
    """
    max_bytes = SIZE_FACTOR * 8 * max(samples * classes, 1) + 2**20
    # A file that changes while it is read is unreadable: the digest would be that of another content.
    with _errors(path), DigestedFile(path) as stream:
        if path.suffix == ".pt":
            logits = _read_tensor(stream, max_bytes, "(N, C) of logits")
            return StoredLogits({"logits": logits}, BARE, stream.sha256, stream.size)
        return StoredLogits(_read_arrays(stream, max_bytes), ARTIFACT, stream.sha256, stream.size)


def with_targets(stored: StoredLogits, targets: StoredLogits) -> StoredLogits:
    """Combine a bare tensor with the targets beside it."""
    return replace(stored, arrays={**stored.arrays, **targets.arrays}, form=targets.form)


def read_targets(path: Path, samples: int) -> StoredLogits:
    """Read targets from a .pt with one tensor, unchecked.

    Raises:
        JobError: as `read_stored`.
    """
    with _errors(path), DigestedFile(path) as stream:
        targets = _read_tensor(stream, SIZE_FACTOR * 8 * max(samples, 1) + 2**20, "(N) of targets")
        return StoredLogits({"targets": targets}, BARE_WITH_TARGETS, stream.sha256, stream.size)


def _read_arrays(stream: IO[bytes], max_bytes: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(stream) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                shape, dtype = _read_header(file)
            name = member.removesuffix(".npy")
            if dtype.hasobject:
                raise ValueError(f"{name} holds Python objects (a pickle), which are not read; numbers are expected")
            if name in arrays:
                raise ValueError(f"it holds {name} twice")
            if (
                name not in (*ARTIFACT.dtypes, *ARTIFACT.optional)
                or np.prod(shape, dtype=object) * dtype.itemsize > max_bytes
            ):
                arrays[name] = np.broadcast_to(np.zeros((), dtype), shape)
                continue
            with archive.open(member) as file, SYNTAX_TREES:
                arrays[name] = npy.read_array(file, allow_pickle=False)
    return arrays


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    beginning = io.BytesIO(file.read(MAX_HEADER_BYTES))
    version = npy.read_magic(beginning)
    reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if reader is None:  # 3.0 is for field names beyond Latin-1, which no plain array has
        raise ValueError(f"its .npy format {version} is not that of a plain array")
    with SYNTAX_TREES:
        shape, _, dtype = reader(beginning)
    return shape, dtype


def _read_tensor(stream: IO[bytes], max_bytes: int, expected: str) -> NDArray[Any]:
    if zipfile.is_zipfile(stream):  # the older format cannot be compressed
        with zipfile.ZipFile(stream) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                # PyTorch would unpack all of it, up to a thousand times its size, before its shape is known.
                raise ValueError("it is compressed; torch.save never does that: save the tensor again with it")
    stream.seek(0)
    loaded = torch.load(stream, map_location="cpu", weights_only=True)
    if not isinstance(loaded, torch.Tensor):
        raise ValueError(f"it holds a {type(loaded).__name__}; one tensor {expected} is expected")
    tensor = loaded.detach()
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ValueError("its tensor is sparse or quantized; a plain one is expected")
    shape = tuple(tensor.shape)
    if tensor.numel() * 8 > max_bytes:  # a stride of 0 repeats one stored number to any size
        tensor = torch.zeros((), dtype=tensor.dtype)
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        raise ValueError("its tensor is bfloat16, which is not read; for logits, float16 or float32 is expected")
    return np.broadcast_to(tensor.resolve_conj().resolve_neg().numpy(), shape)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Translate errors of Python, numpy and torch into JobErrors."""
    try:
        yield
    except FileNotFoundError:
        raise JobError("logits-missing", f"{path.name} no longer exists.") from None
    except DAMAGED as error:
        expected = "an .npz of plain arrays" if path.suffix == ".npz" else "a .pt of one plain tensor"
        raise JobError("logits-unreadable", f"{path.name} is damaged, or is not {expected}.") from error
    except (OSError, ValueError, EOFError, RuntimeError, TypeError, AttributeError, OverflowError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise JobError("logits-unreadable", f"{path.name} cannot be read: {reason}.") from error
