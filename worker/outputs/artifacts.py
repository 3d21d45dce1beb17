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
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from app.domain.errors import JobError, TransientError
from app.domain.fault_points import reach
from app.files.artifacts import artifact_path, damaged
from app.files.disk import ContentChanged, DigestedFile

LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a zip's member, up to the lengths of its name and extra field (APPNOTE.TXT 4.3.7)."""


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


@dataclass(frozen=True)
class Draft:
    """An artifact's file that is whole, but has no name yet."""

    path: Path
    sha256: str
    """Of its bytes, in hex."""
    size: int
    """Bytes."""


@contextmanager
def drafted(objects_dir: Path, content: Logits) -> Iterator[Draft]:
    """Write the .npz. Equal content gives equal bytes. What was not published is gone when the block ends."""
    objects_dir.mkdir(parents=True, exist_ok=True)

    def write(stream: BinaryIO) -> None:
        np.savez(stream, logits=content.logits, targets=content.targets, predictions=content.predictions)

    path = _write_beside(objects_dir, write)
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        with ThreadPoolExecutor(1) as flushing:
            flushing.submit(_flush, path)  # the disk writes while the file is verified; `publish` makes sure of it
            reach("artifact.drafted")
            yield Draft(path, sha256, path.stat().st_size)
    finally:
        path.unlink(missing_ok=True)


def read_arrays(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """Read an artifact's arrays from disk, with the digest that was recorded.

    Raises:
        JobError: `artifact-damaged`.
    """
    with _checked(path, sha256) as stream, np.load(stream, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def read_rows(path: Path, sha256: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read the logits of some rows of an artifact, without holding the others in memory.

    Args:
        path: of the artifact.
        sha256: that was recorded.
        rows: [n] int64, their numbers.

    Returns:
        [n, C] float32.

    Raises:
        JobError: `artifact-damaged`.
    """
    with _checked(path, sha256) as stream, zipfile.ZipFile(stream) as archive:
        member = archive.getinfo("logits.npy")
        stream.seek(member.header_offset)
        name, extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
        stream.seek(name + extra, os.SEEK_CUR)
        npy.read_magic(stream)
        (count, classes), fortran, dtype = npy.read_array_header_1_0(stream)
        if fortran or dtype != np.float32 or (len(rows) and not 0 <= rows.min() <= rows.max() < count):
            raise ValueError(f"its logits are {dtype} [{count}, {classes}], or not in C order")
        start, width = stream.tell(), classes * dtype.itemsize
        read = []
        for row in rows:
            stream.seek(start + int(row) * width)
            read.append(stream.read(width))
    return np.frombuffer(b"".join(read), dtype).reshape(len(rows), classes)


@contextmanager
def _checked(path: Path, sha256: str) -> Iterator[DigestedFile]:
    """Open an artifact whose digest is right; what is read from it is of that digest."""
    with DigestedFile(path) as stream:
        if stream.sha256 != sha256:
            raise damaged(str(path), stream.sha256, sha256)
        try:
            yield stream
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, struct.error, ContentChanged) as error:
            raise JobError("artifact-damaged", f"{path} cannot be read: {error}.") from error


def targets_sha256(targets: NDArray[Any]) -> str:
    """Of integer targets [N], in hex: equal between experts of one split."""
    return hashlib.sha256(targets.astype("<i8").tobytes()).hexdigest()


def publish(draft: Draft, objects_dir: Path, target: Path, manifest: dict[str, Any], lock: Path) -> Path:
    """Name a draft by its content, and show it under `outputs/<output_dir>`: its own copy, the manifest beside it.

    A copy (sharing blocks where the file system can), never a link: whoever saves over the shown file must
    not write through to the job's own. When this returns, all three files last, whatever happens to the power.

    Args:
        draft: what is published.
        objects_dir: where the jobs' own files lie.
        target: the .npz to be shown; the manifest goes beside it.
        manifest: JSON-able.
        lock: a file that all who publish lock: two jobs may write to one folder, and each pair belongs together.

    Returns:
        The job's own file.

    Raises:
        TransientError: `copy-incomplete`.
    """
    text = json.dumps(manifest, indent=2) + "\n"
    own = artifact_path(objects_dir, draft.sha256)
    own.parent.mkdir(exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)

    def copy(stream: BinaryIO) -> None:
        with draft.path.open("rb", buffering=0) as reading:
            if not _share_blocks(reading.fileno(), stream.fileno()):
                shutil.copyfileobj(reading, stream)

    with ExitStack() as leftovers:
        # All are whole before any is shown: a full disk then changes nothing.
        copied = _write_beside(target.parent, copy)
        leftovers.callback(copied.unlink, missing_ok=True)
        if copied.stat().st_size != draft.size:
            raise TransientError("copy-incomplete", f"{draft.path} could not be copied whole to {target}.")
        described = _write_beside(target.parent, lambda stream: stream.write(text.encode()))
        leftovers.callback(described.unlink, missing_ok=True)
        _flush(draft.path, copied, described)
        with lock.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel drops it with its holder
            reach("publish.whole")
            draft.path.replace(own)
            reach("publish.own")
            # Two files cannot change at once. Whoever looks in between, or after this process died there, may find no
            # manifest, but never one that is of another file.
            target.with_suffix(".json").unlink(missing_ok=True)
            copied.replace(target)
            reach("publish.shown")
            described.replace(target.with_suffix(".json"))
    # A rename shows all of a file or nothing; it lasts once its folder is on disk as well.
    _flush(own.parent, target.parent)
    reach("publish.done")
    return own


def _flush(*paths: Path) -> None:
    """Have files or folders written to disk, all at once: one after the other takes several times as long."""

    def flush(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    with ThreadPoolExecutor(len(paths)) as threads:
        for _ in threads.map(flush, paths):
            pass


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
            os.fchmod(stream.fileno(), 0o644)  # mkstemp's 0600 would hide results from the rest of the group
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
