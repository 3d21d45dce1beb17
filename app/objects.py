"""The jobs' own immutable artifacts: files named by their content."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container
from pathlib import Path

LEFT_S = 3600.0
"""A file that nobody refers to after so long was left by a worker that died, or by a unit that failed."""


def object_path(objects_dir: Path, sha256: str) -> Path:
    """Where the artifact with that digest lies."""
    return objects_dir / sha256[:2] / f"{sha256}.npz"


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
