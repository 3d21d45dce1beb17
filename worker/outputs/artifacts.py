"""Write logit artifacts atomically, read them back, and publish them under `outputs/`.

The format is that of the scripts that relogit replaces: `logits` float32 [N, C], `targets` int64 [N],
`predictions` int64 [N], rows in the order of the split's index file, plain `np.savez`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.domain.errors import JobError, TransientError
from app.domain.fault_points import reach
from app.domain.syntax_trees import SYNTAX_TREES
from app.files.artifacts import artifact_path, damaged
from app.files.digested import ContentChanged, DigestedFile
from app.files.disk import copy, file_sha256, flush, write_beside

NO_COMPANIONS: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class Logits:
    """The logits and labels of one unit."""

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
    """A complete artifact file that has no name yet."""

    path: Path
    sha256: str
    """Of its bytes, in hex."""
    size: int
    """Bytes."""


@contextmanager
def drafted(objects_dir: Path, content: Logits) -> Iterator[Draft]:
    """Write the .npz, and remove it afterwards unless published.

    Equal content gives equal bytes.
    """
    objects_dir.mkdir(parents=True, exist_ok=True)

    def write(stream: BinaryIO) -> None:
        np.savez(stream, logits=content.logits, targets=content.targets, predictions=content.predictions)

    path = write_beside(objects_dir, write)
    try:
        sha256 = file_sha256(path)
        with ThreadPoolExecutor(1) as flushing:
            flushing.submit(flush, path)  # the disk writes while the file is verified; `publish` makes sure of it
            reach("artifact.drafted")
            yield Draft(path, sha256, path.stat().st_size)
    finally:
        path.unlink(missing_ok=True)


def read_arrays(path: Path, sha256: str, *names: str) -> dict[str, NDArray[Any]]:
    """Read an artifact's named or all arrays; check the digest.

    Raises:
        JobError: `artifact-damaged`.
    """
    # Digested and read in one go: arrays of a file that changed in between would be taken for the recorded ones.
    with DigestedFile(path) as stream:
        if stream.sha256 != sha256:
            raise damaged(str(path), stream.sha256, sha256)
        try:
            with SYNTAX_TREES, np.load(stream, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names or arrays.files}
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, ContentChanged) as error:
            raise JobError("artifact-damaged", f"{path} cannot be read: {error}.") from error


def read_rows(path: Path, sha256: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read an artifact's logits [n, C] float32 at `rows`.

    Raises:
        JobError: `artifact-damaged`.
    """
    logits = read_arrays(path, sha256, "logits")["logits"]
    recorded = not len(rows) or 0 <= rows.min() <= rows.max() < len(logits)
    if logits.ndim != 2 or logits.dtype != np.float32 or not recorded:
        message = f"{path} holds logits {logits.dtype}{list(logits.shape)}, without the rows that were recorded."
        raise JobError("artifact-damaged", message)
    return logits[rows]


def targets_sha256(targets: NDArray[Any]) -> str:
    """Hash integer targets [N].

    All experts of one split have equal ones.
    """
    return hashlib.sha256(targets.astype("<i8").tobytes()).hexdigest()


@contextmanager
def publishing(lock: Path) -> Iterator[None]:
    """Wait until no other publisher holds `lock`, and hold it.

    It cannot be taken twice, not even by its holder.
    """
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel drops it with its holder
        yield


def publish(
    draft: Draft,
    objects_dir: Path,
    target: Path,
    manifest: dict[str, Any],
    lock: Path,
    companions: Mapping[str, bytes] = NO_COMPANIONS,
) -> Path:
    """Name a draft by content; copy it with its manifest.

    The shown file, `target`, is a copy, never a link: saving over it must not change the job's own, whose path is
    returned. When this returns, all files survive a power cut. Every publisher locks `lock`: two jobs may write
    to one folder, and each pair belongs together. `companions` are files beside the copy, by name, which change with
    it.

    Raises:
        TransientError: `copy-incomplete`.
    """
    text = json.dumps(manifest, indent=2) + "\n"
    own = artifact_path(objects_dir, draft.sha256)
    own.parent.mkdir(exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)

    with ExitStack() as unpublished:
        # All files are complete before any is shown: a full disk then changes nothing.
        copied = _copy_hidden(draft, target, unpublished)
        described = _write_hidden(target.parent, text.encode(), unpublished)
        beside = {name: _write_hidden(target.parent, content, unpublished) for name, content in companions.items()}
        flush(draft.path, copied, described, *beside.values())
        with publishing(lock):
            reach("publish.whole")
            draft.path.replace(own)
            reach("publish.own")
            # Two files cannot change at once. A reader in between, or after a crash there, may find no manifest, but
            # never the manifest of another file.
            target.with_suffix(".json").unlink(missing_ok=True)
            copied.replace(target)
            reach("publish.shown")
            for name, path in beside.items():
                path.replace(target.with_name(name))
            described.replace(target.with_suffix(".json"))
    # A rename lasts once its folder is on disk as well.
    flush(own.parent, target.parent)
    reach("publish.done")
    return own


def _copy_hidden(draft: Draft, target: Path, unpublished: ExitStack) -> Path:
    """Copy a draft to a hidden file beside `target`, which `unpublished` removes."""

    def write_copy(stream: BinaryIO) -> None:
        with draft.path.open("rb", buffering=0) as source:
            copy(source, stream)

    copied = write_beside(target.parent, write_copy)
    unpublished.callback(copied.unlink, missing_ok=True)
    if copied.stat().st_size != draft.size:
        raise TransientError("copy-incomplete", f"{draft.path} could not be copied whole to {target}.")
    return copied


def _write_hidden(folder: Path, content: bytes, unpublished: ExitStack) -> Path:
    """Write a complete hidden file, which `unpublished` removes."""
    path = write_beside(folder, lambda stream: stream.write(content))
    unpublished.callback(path.unlink, missing_ok=True)
    return path
