"""What a process that was killed left half-written among results, splits and kept rows."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from pathlib import Path

from app.files.artifacts import LEFT_S
from app.store.liveness import is_held

UNFINISHED = re.compile(r"\.[a-z0-9_]{8}\.part")
"""How `tempfile` calls what is written beside its place; nobody else's files are called so."""


def sweep_leftovers(outputs_dir: Path, data_dir: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove what was being written under `<outputs>/<output_dir>/<expert>`, and sets of splits that were, unless it
    is so young that somebody may be at it.

    Returns:
        What was removed, or with `dry_run` would be.
    """
    old = time.time() - LEFT_S
    removed = []
    for path in [*outputs_dir.glob("[!.]*/*/.*.part"), *data_dir.glob(".*.part")]:
        with contextlib.suppress(OSError):  # it stays then, and does no harm
            if UNFINISHED.fullmatch(path.name) and path.lstat().st_mtime < old:
                if not dry_run:
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                removed.append(path)
    return removed


def sweep_locks(locks_dir: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove old locks that nobody holds: of workers that died before they, or whoever buried them, were done.

    Returns:
        What was removed, or with `dry_run` would be.
    """
    old = time.time() - LEFT_S
    removed = []
    for path in locks_dir.glob("*.lock"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < old and not is_held(path):
                if not dry_run:
                    path.unlink()
                removed.append(path)
    return removed
