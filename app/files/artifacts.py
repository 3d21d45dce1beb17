"""The jobs' own immutable artifacts: files named by their content."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Container, Iterator
from pathlib import Path

from app.domain.errors import JobError
from app.files.disk import file_sha256

LEFT_S = 3600.0
"""A file that nobody refers to after so long was left by a worker that died, or by a unit that failed."""

PIECE_BYTES = 2**18
"""Of a file that is sent, at once."""


def artifact_path(objects_dir: Path, sha256: str) -> Path:
    """Where the artifact with that digest lies."""
    return objects_dir / sha256[:2] / f"{sha256}.npz"


def damaged(what: str, found: str, expected: str) -> JobError:
    """Describe a file that is not what was written.

    Args:
        what: the file, at the beginning of a sentence.
        found: its sha256 now.
        expected: the sha256 that was recorded.
    """
    return JobError(
        "artifact-damaged",
        f"{what} has sha256 {found} instead of {expected}: it was changed, or the disk is at fault. "
        "Run the job again.",
    )


def check_content(path: Path, sha256: str, what: str) -> None:
    """Digest a file and compare it with what was recorded, anew each time.

    Nothing is remembered by the file's times: a memory map changes content without moving them.

    Args:
        path: of the file.
        sha256: that was recorded.
        what: the file, at the beginning of a sentence.

    Raises:
        JobError: `artifact-damaged`.
        OSError: it cannot be read.
    """
    found = file_sha256(path)
    if found != sha256:
        raise damaged(what, found, sha256)


def checked_pieces(path: Path, sha256: str) -> Iterator[bytes]:
    """Read a file piece by piece; the last one comes only if all have the recorded digest.

    Raises:
        JobError: `artifact-damaged`, in place of the last piece.
        OSError: it cannot be read.
    """
    digest, held = hashlib.sha256(), b""
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            if held:
                yield held
            held = piece
    if digest.hexdigest() != sha256:
        raise damaged(str(path), digest.hexdigest(), sha256)
    yield held


def sweep(objects_dir: Path, referred: Container[str], since: float, *, dry_run: bool = False) -> list[Path]:
    """Remove what no job refers to and what was never finished, unless it is so young that it may be on its way.

    Args:
        objects_dir: the folder.
        referred: sha256 of the artifacts that jobs refer to.
        since: when the store that says so was made, in seconds since the epoch; what is older belongs to another
            store, which may come back.
        dry_run: remove nothing.

    Returns:
        What was removed, or would be.
    """
    old = time.time() - LEFT_S
    removed = []
    for path in [*objects_dir.glob("*/*.npz"), *objects_dir.glob(".*.part")]:
        with contextlib.suppress(OSError):  # it stays then, and does no harm
            if path.stem not in referred and since < path.stat().st_mtime < old:
                if not dry_run:
                    path.unlink()
                removed.append(path)
    return removed
