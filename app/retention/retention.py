"""Remove ended jobs by age, kept rows by age and size, and orphans.

Only the service's own files are removed: jobs, their immutable artifacts, uploads, kept rows and orphans. The files
under `outputs/<output_dir>` are the user's copies and stay. So does whatever a job refers to that has not ended.

The store's own file does not shrink: SQLite uses the pages of deleted jobs again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.combine_requests import GatingRequest
from app.domain.errors import Conflict, NotFound
from app.domain.fault_points import reach
from app.domain.jobs import Job, JobState
from app.domain.requests import RecomputeRequest, VerificationRequest
from app.files.artifacts import artifact_path
from app.files.disk import tree_size
from app.files.row_store import Entry
from app.retention.orphans import Storage, remove_counted, remove_orphans
from app.settings import Settings
from app.store.references import UPLOAD

log = logging.getLogger(__name__)

CLOCKS_DIFFER_S = 1.0
"""A file's time may lag behind the clock that jobs are dated by."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be kept; None is without limit."""

    jobs_older_than_s: float | None = None
    """Jobs that ended longer ago are deleted."""
    rows_older_than_s: float | None = None
    """Rows that no job has used for longer are removed."""
    rows_max_bytes: int | None = None
    """The longest unused rows are removed until the rest takes no more on disk."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Take the limits from the settings."""
        return cls(settings.keep_jobs_s, settings.keep_rows_s, settings.keep_rows_bytes)


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job and its own files."""

    id: str
    kind: str
    state: JobState
    created_at: float
    finished_at: float | None
    files: frozenset[Path]
    """Its artifacts, and the folder of its upload."""
    bytes: int = 0
    """Freed with it, once it is deleted: no other job refers to them."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be, and what is left."""

    jobs: tuple[StoredJob, ...]
    rows: tuple[Entry, ...]
    orphan_bytes: int
    """On disk, of files that nothing refers to."""
    kept_back: tuple[str, ...]
    """Why files could not be removed."""
    jobs_left: int
    bytes_left: int
    """Of the files of the jobs that are left, results and uploads."""
    rows_left: tuple[Entry, ...]

    @property
    def freed_bytes(self) -> int:
        """The sum over jobs, rows and orphans."""
        return sum(job.bytes for job in self.jobs) + sum(rows.bytes for rows in self.rows) + self.orphan_bytes


def collect(limits: Limits, storage: Storage, *, dry_run: bool = False) -> Collected:
    """Remove jobs and rows beyond the limits, and orphans.

    Jobs that have not ended stay, with all that they refer to or build on, and with the rows that were used since the
    oldest of them was accepted. Rows that such a job has yet to ask for cannot be told from others, as their key
    depends on the checkpoint's content: if they are removed, the job computes the same bits again. Several calls may
    run at once.

    Raises:
        sqlite3.Error: the store cannot be used. What was removed by then is gone.
    """
    kept_back: list[str] = []
    now = time.time()
    jobs = _jobs(storage)
    sizes = {path: tree_size(path) for job in jobs for path in job.files}
    references = Counter(path for job in jobs for path in job.files)
    max_age_s = math.inf if limits.jobs_older_than_s is None else limits.jobs_older_than_s
    needed = storage.jobs.built_on()
    expired = [
        job
        for job in jobs
        if job.finished_at is not None and now - job.finished_at > max_age_s and job.id not in needed
    ]
    removed = []
    for job in expired:
        references.subtract(job.files)
        freed = sum(sizes[path] for path in job.files if not references[path])
        # Another collection was faster, and returns this job; or a job that builds on it was accepted meanwhile.
        with contextlib.suppress(NotFound, Conflict):
            freed = freed if dry_run else delete_job(job.id, storage, kept_back)
            removed.append(replace(job, bytes=freed))
    # Rows used since now are spared as well: those of a job that was accepted meanwhile.
    open_jobs = [job for job in jobs if job.kind == RecomputeRequest.kind and not job.state.ended]
    spare_since = min((job.created_at - CLOCKS_DIFFER_S for job in open_jobs), default=now)
    rows, rows_left = _prune_rows(limits, spare_since, storage, kept_back, dry_run=dry_run)
    return Collected(
        jobs=tuple(removed),
        rows=tuple(rows),
        orphan_bytes=remove_orphans(storage, kept_back, dry_run=dry_run),
        kept_back=tuple(kept_back),
        jobs_left=len(jobs) - len(expired),
        bytes_left=sum(size for path, size in sizes.items() if references[path]),
        rows_left=tuple(rows_left),
    )


def _prune_rows(
    limits: Limits, spare_since: float, storage: Storage, kept_back: list[str], *, dry_run: bool
) -> tuple[list[Entry], list[Entry]]:
    """Remove surplus rows; return the removed and the rest."""
    age, size = limits.rows_older_than_s, limits.rows_max_bytes
    try:
        removed = storage.rows.prune(max_bytes=size, older_than_s=age, spare_since=spare_since, dry_run=dry_run)
        keys = {entry.key for entry in removed} if dry_run else ()
        return removed, [entry for entry in storage.rows.entries() if entry.key not in keys]
    except OSError as error:
        kept_back.append(f"Kept rows cannot be listed or removed: {error}.")
        return [], []


def tidy(storage: Storage) -> None:
    """Collect by the settings' limits and log the removals."""
    collected = collect(Limits.of(storage.settings), storage)
    if collected.jobs or collected.rows or collected.orphan_bytes:
        message = "tidied up by the settings: %d jobs and %d keys of kept rows; %d bytes are freed"
        log.info(message, len(collected.jobs), len(collected.rows), collected.freed_bytes)
    for reason in collected.kept_back:
        log.warning("%s", reason)


def delete_job(job_id: str, storage: Storage, kept_back: list[str] | None = None) -> int:
    """Delete an ended job and its otherwise unreferenced files.

    Returns the bytes freed. `kept_back` gets a reason for each file that cannot be removed.

    Raises:
        NotFound: there is no such job.
        Conflict: it has not ended, or a job that has not ended builds on it.
    """
    freed = 0
    digests: list[str] = []

    def forget(digest: str) -> None:
        nonlocal freed
        digests.append(digest)
        freed += remove_counted(artifact_path(storage.settings.objects_dir, digest), kept_back)
        reach("delete.forgotten")

    job = storage.jobs.get(job_id)
    storage.jobs.delete(job_id, forget)
    reach("delete.recorded")
    upload = _upload(job)
    if upload is not None and (folder := _set_aside(upload, storage)) is not None:
        freed += remove_counted(folder, kept_back)
        results = (job.verification and job.verification.results) or ()
        digests += [result.source.file.sha256 for result in results if result.source and result.source.file]
    storage.inspections.forget_files(digests)
    return freed


def _upload(job: Job) -> str | None:
    """Return the upload that a job reads, if any."""
    if isinstance(job.request, GatingRequest):
        return job.request.logits.upload
    return job.request.upload if isinstance(job.request, VerificationRequest) else None


def _set_aside(upload: str, storage: Storage) -> Path | None:
    """Set an upload aside; None while a job refers to it."""
    with storage.database.transaction():  # no verification of it can be submitted in between
        if upload in storage.jobs.uploads():
            return None
        try:
            return storage.uploads.set_aside(upload)
        except (NotFound, OSError):
            return None


def _jobs(storage: Storage) -> list[StoredJob]:
    """List every job with its files, longest ended first."""
    query = f"""
        SELECT id, kind, state, created_at, finished_at, {UPLOAD} AS upload,
               (SELECT group_concat(DISTINCT artifact_sha256) FROM units WHERE job = jobs.id) AS digests
        FROM jobs ORDER BY finished_at, seq
    """
    jobs = []
    with storage.database.snapshot() as db:
        for row in db.execute(query):
            digests = row["digests"].split(",") if row["digests"] else []
            files = {artifact_path(storage.settings.objects_dir, digest) for digest in digests}
            if row["upload"] is not None:
                files.add(storage.settings.uploads_dir / row["upload"])
            times = (row["created_at"], row["finished_at"])
            jobs.append(StoredJob(row["id"], row["kind"], JobState(row["state"]), *times, frozenset(files)))
    return jobs
