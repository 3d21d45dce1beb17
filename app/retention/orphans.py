"""Files that nothing refers to: what killed processes and failed units left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.catalog.split_sets import obsolete_sets
from app.files.artifacts import orphaned_artifacts
from app.files.disk import is_old, remove, tree_size
from app.files.row_store import RowStore
from app.files.uploads import Uploads
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.liveness import is_held

UNFINISHED = re.compile(r"\.[a-z0-9_]{8}\.part")
"""Names that `tempfile` gives to unfinished files and sets of splits; no file of a user's is called so."""


@dataclass(frozen=True, slots=True)
class Storage:
    """What one installation keeps. Lives as long as the API."""

    settings: Settings
    database: Database
    jobs: JobStore
    inspections: InspectionStore
    rows: RowStore
    uploads: Uploads


def remove_orphans(storage: Storage, kept_back: list[str] | None = None, *, dry_run: bool = False) -> int:
    """Remove old files that are unfinished or without a job.

    Returns the bytes on disk that this freed, or would free. `kept_back` gets a reason for each file that cannot be
    removed.
    """
    orphans = _orphans(storage)
    if dry_run or not orphans:
        return sum(tree_size(path, on_disk=True) for path in orphans)
    # In a transaction, and listed once more: a worker that records such an artifact meanwhile waits, and then checks
    # that its file is still there.
    with storage.database.transaction():
        return sum(remove_counted(path, kept_back, on_disk=True) for path in _orphans(storage))


def remove_counted(path: Path, kept_back: list[str] | None, *, on_disk: bool = False) -> int:
    """Remove a file or folder; return the bytes freed.

    `kept_back` gets the reason if it cannot be removed.
    """
    size = tree_size(path, on_disk=on_disk)
    try:
        remove(path)
    except OSError as error:
        if kept_back is not None:
            reason = f"{path} cannot be removed: {error.strerror or error}."
            kept_back.append(f"{reason} No job refers to it; it is tried again.")
    return size - tree_size(path, on_disk=on_disk)


def _orphans(storage: Storage) -> list[Path]:
    settings, jobs = storage.settings, storage.jobs
    return [
        *orphaned_artifacts(settings.objects_dir, jobs.artifacts(), jobs.created_at),
        *storage.uploads.orphans(jobs.uploads()),
        *storage.rows.orphans(),
        *_unfinished(settings),
        *obsolete_sets(settings.data_dir),
        *(path for path in settings.locks_dir.glob("*.lock") if is_old(path) and not is_held(path)),
    ]


def _unfinished(settings: Settings) -> Iterator[Path]:
    """Yield old unfinished results and sets of splits."""
    candidates = [*settings.outputs_dir.glob("[!.]*/*/.*.part"), *settings.data_dir.glob(".*.part")]
    return (path for path in candidates if UNFINISHED.fullmatch(path.name) and is_old(path))
