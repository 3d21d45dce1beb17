"""The jobs' own immutable artifacts: files named by their content."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Container, Iterator
from pathlib import Path

from app.domain.errors import JobError
from app.files.disk import file_sha256, is_old

PIECE_BYTES = 2**18
"""Bytes of a file that are read at once to be sent."""


def artifact_path(objects_dir: Path, sha256: str) -> Path:
    """Return where the artifact with that digest lies."""
    return objects_dir / sha256[:2] / f"{sha256}.npz"


def damaged(what: str, actual: str, expected: str) -> JobError:
    """Build the error for a file with an unexpected sha256."""
    return JobError(
        "artifact-damaged",
        f"{what} has sha256 {actual} instead of {expected}: it was changed, or the disk is at fault. "
        "Run the job again.",
    )


def check_content(path: Path, sha256: str, what: str) -> None:
    """Compare a file's digest with what was recorded.

    The result is not cached by the file's times: a memory map changes content without moving them. The message
    begins with `what`.

    Raises:
        JobError: `artifact-damaged`.
        OSError: the file cannot be read.
    """
    actual = file_sha256(path)
    if actual != sha256:
        raise damaged(what, actual, sha256)


def checked_pieces(path: Path, sha256: str) -> Iterator[bytes]:
    """Read a file in pieces and check its digest.

    Raises:
        JobError: `artifact-damaged`, after the last piece.
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            yield piece
    if digest.hexdigest() != sha256:
        raise damaged(str(path), digest.hexdigest(), sha256)


def orphaned_artifacts(objects_dir: Path, referred: Container[str], since: float) -> list[Path]:
    """List old artifacts that are unreferenced or unfinished.

    Artifacts from before the job store was created, `since` in seconds since the epoch, belong to another store,
    which may come back.
    """
    orphans = []
    for path in [*objects_dir.glob("*/*.npz"), *objects_dir.glob(".*.part")]:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            if path.stem not in referred and is_old(path) and path.stat().st_mtime > since:
                orphans.append(path)
    return orphans
