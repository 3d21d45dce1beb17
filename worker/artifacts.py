"""Logit artifacts: written atomically and deterministically, read back, and shown under `outputs/`.

The format is that of the scripts that relogit replaces: `logits` float32 [N, C], `targets` int64 [N],
`predictions` int64 [N], rows in the order of the split's index file, plain `np.savez`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.errors import JobError, TransientError
from app.objects import object_path


@dataclass(frozen=True)
class Logits:
    """What one unit computed."""

    logits: NDArray[np.float32]
    """[N, C] float32."""
    targets: NDArray[np.int64]
    """[N] int64, the data set's labels."""

    @property
    def predictions(self) -> NDArray[np.int64]:
        """[N] int64, the first of the largest logits."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)


def write_object(objects_dir: Path, content: Logits) -> tuple[str, int]:
    """Write the .npz under the name of its own digest. Equal content gives equal bytes.

    Returns:
        sha256 in hex, and bytes.
    """
    objects_dir.mkdir(parents=True, exist_ok=True)

    def write(stream: BinaryIO) -> None:
        np.savez(stream, logits=content.logits, targets=content.targets, predictions=content.predictions)

    temporary = _write_beside(objects_dir, write)
    with temporary.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    path = object_path(objects_dir, sha256)
    path.parent.mkdir(exist_ok=True)
    size = temporary.stat().st_size
    _move(temporary, path)
    return sha256, size


def read_object(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """The arrays as they lie on disk, after their digest was found right.

    Raises:
        JobError: `artifact-damaged`.
        TransientError: `artifact-gone`.
    """
    try:
        opened = path.open("rb")
    except FileNotFoundError as error:
        message = f"{path} is gone; another job that had the same was deleted."
        raise TransientError("artifact-gone", message) from error
    with opened as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != sha256:
            raise JobError(
                "artifact-damaged", f"{path} has sha256 {found} instead of {sha256}: the disk is at fault."
            )
        stream.seek(0)
        try:
            with np.load(stream, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise JobError("artifact-damaged", f"{path} cannot be read back: {error}.") from error


def publish(source: Path, target: Path, manifest: dict[str, Any], lock: Path) -> None:
    """Show an artifact under `outputs/<output_dir>`: its own copy, with the manifest beside it.

    A copy (sharing blocks where the file system can), never a link: whoever saves over the shown file must
    not write through to the job's own.

    Args:
        source: the job's own file.
        target: the .npz to be shown; the manifest goes beside it.
        manifest: JSON-able.
        lock: a file that all who publish lock: two jobs may write to one folder, and each pair belongs together.

    Raises:
        TransientError: `artifact-gone` or `copy-incomplete`.
    """
    if not source.exists():
        raise TransientError("artifact-gone", f"{source} is gone; another job that had the same was deleted.")
    target.parent.mkdir(parents=True, exist_ok=True)

    def copy(stream: BinaryIO) -> None:
        with source.open("rb", buffering=0) as reading:
            if not _share_blocks(reading.fileno(), stream.fileno()):
                shutil.copyfileobj(reading, stream)

    text = json.dumps(manifest, indent=2) + "\n"
    with lock.open("a") as handle, ExitStack() as leftovers:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel drops it with its holder
        # Both are whole before either is shown: a full disk then changes nothing.
        copied = _write_beside(target.parent, copy)
        leftovers.callback(copied.unlink, missing_ok=True)
        if copied.stat().st_size != source.stat().st_size:
            raise TransientError("copy-incomplete", f"{source} could not be copied whole to {target}.")
        described = _write_beside(target.parent, lambda stream: stream.write(text.encode()))
        leftovers.callback(described.unlink, missing_ok=True)
        _move(copied, target)
        _move(described, target.with_suffix(".json"))


def _share_blocks(source: int, target: int) -> bool:
    """Let the kernel copy, by reference where the file system can; False: copy yourself what is left."""
    left = os.fstat(source).st_size
    try:
        while left > 0 and (copied := os.copy_file_range(source, target, left)) > 0:
            left -= copied
    except (OSError, AttributeError):  # two file systems, one that cannot, or no Linux
        return False
    return left == 0


def _write_beside(folder: Path, write: Callable[[BinaryIO], object]) -> Path:
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)  # mkstemp's 0600 would hide results from the rest of the group
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _move(source: Path, target: Path) -> None:
    # The rename shows all of the file or nothing; it lasts once its folder is on disk as well.
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
