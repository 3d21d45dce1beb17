"""A base that is one .npz file with `images` and `labels`, seen without decoding its images."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.lib import format as npy

from app.domain.errors import RequestError
from app.domain.syntax_trees import SYNTAX_TREES

ARRAYS = ("images", "labels")


@contextmanager
def npz_errors(path: Path) -> Iterator[None]:
    """Raise errors of numpy, zipfile and zlib as RequestError.

    Raises:
        RequestError: `data-corrupt`.
    """
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, EOFError, RuntimeError) as error:
        raise RequestError(
            "data-corrupt", f"{path} is not a readable .npz with `images` and `labels`: {error}."
        ) from error


def npz_checksums(path: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """Read each array's entry in the zip's directory.

    An entry is name, CRC-32, size and compressed size in bytes, and offset.

    A reader of the arrays compares them with these checksums, so another content has others.

    Raises:
        RequestError: `data-corrupt`.
    """
    with npz_errors(path), zipfile.ZipFile(path) as archive:
        members = [archive.getinfo(f"{name}.npy") for name in ARRAYS]
    return tuple((m.filename, m.CRC, m.file_size, m.compress_size, m.header_offset) for m in members)


def npz_size(path: Path) -> int:
    """Read the number of images from an .npz's headers.

    Raises:
        RequestError: `data-corrupt`.
    """
    with npz_errors(path), zipfile.ZipFile(path) as archive:
        shapes = {name: _npy_header(archive, name) for name in ARRAYS}
    (images, image_type), (labels, label_type) = shapes["images"], shapes["labels"]
    fits = (
        len(images) == 4 and images[3] == 3 and image_type == np.uint8
        and labels == images[:1] and np.issubdtype(label_type, np.integer)
    )  # fmt: skip
    if not fits:
        raise RequestError(
            "data-corrupt",
            f"{path} holds images {image_type}{list(images)} and labels {label_type}{list(labels)}; "
            "images uint8 [N, H, W, 3] and integer labels [N] would have been right.",
        )
    return images[0]


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    with archive.open(f"{name}.npy") as member, SYNTAX_TREES:
        stream = cast("BinaryIO", member)
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(stream)
    return shape, dtype


def npz_classes(path: Path) -> int:
    """Count an .npz's classes: its largest label plus 1.

    Raises:
        RequestError: `data-corrupt`.
    """
    npz_size(path)
    with npz_errors(path), SYNTAX_TREES, np.load(path, allow_pickle=False) as arrays:
        labels = arrays["labels"]
        return int(labels.max()) + 1 if labels.size else 0
