"""How long what jobs leave is kept: until told otherwise, and never less long than a job refers to it.

What is removed is the service's own: jobs, their immutable files, uploads, kept rows, leftovers. The files under
`outputs/<output_dir>` are the user's copies: nothing here ever touches them, whichever job wrote them.

The store's own file is left alone: SQLite uses the pages of deleted jobs again. It stays as large as it was at its
largest (25 MB for 4,000 units; after these were deleted, the next 4,000 made it no longer), its log at most 64 MB.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import stat
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.errors import NotFound
from app.domain.fault_points import reach
from app.domain.jobs import JobState
from app.domain.requests import RecomputeRequest, VerificationRequest
from app.files.artifacts import artifact_path, sweep
from app.files.row_store import Entry, on_disk
from app.retention.orphans import sweep_leftovers, sweep_locks
from app.retention.storage import Storage
from app.settings import Settings

log = logging.getLogger(__name__)

CLOCKS_DIFFER_S = 1.0
"""A file's time may lag behind the clock that jobs are dated by."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be kept; None is without limit."""

    jobs_older_than_s: float | None = None
    """Jobs that ended longer ago go."""
    artifacts_max_bytes: int | None = None
    """The longest ended jobs go until the jobs' own files, results and uploads, take no more."""
    rows_older_than_s: float | None = None
    """Rows that no job has used for longer go."""
    rows_max_bytes: int | None = None
    """The longest unused rows go until the rest takes no more on disk."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """As the settings say."""
        return cls(
            settings.keep_jobs_s, settings.keep_artifacts_bytes, settings.keep_rows_s, settings.keep_rows_bytes
        )


@dataclass(frozen=True, slots=True)
class Deleted:
    """What deleting a job did."""

    bytes: int
    """Freed."""
    kept_back: tuple[str, ...]
    """Files that could not be removed, with the reason. No job refers to them any more."""


@dataclass(frozen=True, slots=True)
class RemovedJob:
    """A job that went."""

    id: str
    kind: str
    state: JobState
    finished_at: float
    bytes: int
    """Freed with it: no other job refers to them."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is still there."""

    jobs: int
    files_bytes: int
    """Of the jobs' own files, results and uploads."""
    rows: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be, and what is left."""

    jobs: tuple[RemovedJob, ...]
    rows: tuple[Entry, ...]
    unreferred_bytes: int
    """Of what nobody referred to, and of what killed processes had left."""
    kept_back: tuple[str, ...]
    """What should have gone and could not be removed, with the reason."""
    left: Left

    @property
    def freed_bytes(self) -> int:
        """All together."""
        return sum(job.bytes for job in self.jobs) + sum(rows.bytes for rows in self.rows) + self.unreferred_bytes


def collect(limits: Limits, used: Storage, *, dry_run: bool = False) -> Collected:
    """Remove what is kept beyond the limits, and what nobody refers to and is older than an hour.

    Jobs that have not ended stay, with all that they refer to, and with the rows that were used since the oldest of
    them was accepted. Rows that an open job is only going to ask for cannot be told from others, as their key depends
    on the checkpoint's content: if they go, it computes them again, to the same bits. Several calls may run at once.

    Args:
        limits: what may be kept.
        used: the service's parts.
        dry_run: nothing is removed; what is told is what would be.

    Raises:
        sqlite3.Error: the store cannot be used. What was removed by then is gone.
    """
    now = time.time()
    kept_back: list[str] = []
    jobs = _jobs(used)
    gone = _remove_jobs(jobs, limits, now, used, kept_back, dry_run=dry_run)
    # Who was accepted since, and is at its rows already, has moved their time as well.
    needed_since = min((created - CLOCKS_DIFFER_S for created in _open_since(jobs)), default=now)
    rows, rows_left = _remove_rows(needed_since, limits, used, kept_back, dry_run=dry_run)
    unreferred = remove_unreferred(used, dry_run=dry_run)
    if dry_run:
        ids = {one.id for one in gone}
        jobs_left = [job for job in jobs if job.id not in ids]
    else:
        jobs_left = _jobs(used)
    files = {file for job in jobs_left for file in job.files}
    left = Left(len(jobs_left), sum(map(_size, files)), tuple(rows_left))
    return Collected(tuple(gone), tuple(rows), unreferred, tuple(kept_back), left)


def tidy(used: Storage) -> None:
    """Collect by the limits of the settings, or else what nobody refers to. To be called every so often; logs it."""
    limits = Limits.of(used.settings)
    found = collect(limits, used)
    if found.jobs or found.rows or found.unreferred_bytes:
        what = "tidied up by the settings: %d jobs and %d keys of kept rows; %d bytes are freed"
        log.info(what, len(found.jobs), len(found.rows), found.freed_bytes)
    for reason in found.kept_back:
        log.warning("%s", reason)


def delete_job(job_id: str, used: Storage) -> Deleted:
    """Forget an ended job and its own files, immutable or uploaded, as far as no other job refers to them.

    Raises:
        NotFound: there is none.
        Conflict: it has not ended.
    """
    freed = 0
    stuck = []
    gone: list[str] = []

    def forget(digest: str) -> None:
        nonlocal freed
        gone.append(digest)
        path = artifact_path(used.settings.objects_dir, digest)
        size = _size(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # it is nobody's now
            stuck.append(_cannot(path, error))
        else:
            freed += size
        reach("delete.forgotten")

    job = used.jobs.get(job_id)
    used.jobs.delete(job_id, forget)
    reach("delete.recorded")
    upload = job.request.upload if isinstance(job.request, VerificationRequest) else None
    if upload is not None and (folder := _taken_away(upload, used)) is not None:
        size = _size(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            stuck.append(_cannot(folder, error))
        freed += size - _size(folder)
        results = (job.verification or {}).get("results", [])
        gone += [result["file"]["sha256"] for result in results if result.get("file")]
    used.inspections.forget_files(gone)
    return Deleted(freed, tuple(stuck))


def _taken_away(upload: str, used: Storage) -> Path | None:
    """Where the files of an upload are that no job refers to any more; nobody finds them there. None: one does."""
    with used.database.transaction():  # nobody can submit a verification of it in between
        if upload in used.jobs.uploads():
            return None
        try:
            return used.uploads.take_away(upload)
        except (NotFound, OSError):
            return None


def remove_unreferred(used: Storage, *, dry_run: bool = False) -> int:
    """Remove objects and uploads that no job refers to, and what killed processes left; nothing younger than an hour.

    Returns:
        The bytes that this freed, or would.
    """
    settings, jobs = used.settings, used.jobs

    def found(*, dry_run: bool) -> list[Path]:
        uploads = used.uploads.sweep(jobs.uploads(), dry_run=dry_run)
        return [
            *sweep(settings.objects_dir, jobs.artifacts(), jobs.created_at, dry_run=dry_run),
            *(settings.uploads_dir / upload for upload in uploads),
            *sweep_leftovers(settings.outputs_dir, settings.data_dir, dry_run=dry_run),
            *sweep_locks(settings.locks_dir, dry_run=dry_run),
        ]

    size = {path: _size(path) for path in found(dry_run=True)}
    if dry_run:
        return sum(size.values()) + sum(map(on_disk, used.rows.leftovers()))
    freed = 0
    if size:
        # In a transaction: whoever wants to record such a file as theirs meanwhile waits, and looks whether it is
        # still there.
        with used.database.transaction():
            freed = sum(size.get(path, 0) for path in found(dry_run=False))
    return freed + used.rows.sweep()


@dataclass(frozen=True, slots=True)
class _Job:
    id: str
    kind: str
    state: JobState
    created_at: float
    finished_at: float | None
    files: frozenset[Path]
    """Of its own: artifacts, and the folder of an upload."""


def _jobs(used: Storage) -> list[_Job]:
    """Every job, the longest ended first."""
    wanted = "id, kind, state, created_at, finished_at, json_extract(request, '$.upload') AS upload"
    with used.database.snapshot() as db:
        files: dict[str, set[Path]] = {}
        referred = "SELECT DISTINCT job, artifact_sha256 FROM units WHERE artifact_sha256 IS NOT NULL"
        for job, digest in db.execute(referred):
            files.setdefault(job, set()).add(artifact_path(used.settings.objects_dir, digest))
        jobs = db.execute(f"SELECT {wanted} FROM jobs ORDER BY finished_at, seq").fetchall()
    for job in jobs:
        if job["upload"] is not None:
            files.setdefault(job["id"], set()).add(used.settings.uploads_dir / job["upload"])
    return [
        _Job(
            id=job["id"],
            kind=job["kind"],
            state=JobState(job["state"]),
            created_at=job["created_at"],
            finished_at=job["finished_at"],
            files=frozenset(files.get(job["id"], ())),
        )
        for job in jobs
    ]


def _open_since(jobs: list[_Job]) -> list[float]:
    """When the jobs were accepted that may use rows and have not ended."""
    return [job.created_at for job in jobs if job.kind == RecomputeRequest.kind and not job.state.ended]


def _remove_jobs(
    jobs: list[_Job], limits: Limits, now: float, used: Storage, kept_back: list[str], *, dry_run: bool
) -> list[RemovedJob]:
    size = {file: _size(file) for job in jobs for file in job.files}
    referring = Counter(file for job in jobs for file in job.files)
    needed = {file for job in jobs if not job.state.ended for file in job.files}
    left = sum(size.values())
    removed = []
    for job in jobs:
        if not job.state.ended or job.finished_at is None:
            continue
        old = limits.jobs_older_than_s is not None and now - job.finished_at > limits.jobs_older_than_s
        # A job that has nothing to give goes for its age alone.
        gives = any(size[file] for file in job.files - needed)
        over = limits.artifacts_max_bytes is not None and left > limits.artifacts_max_bytes and gives
        if not old and not over:
            continue
        freed = sum(size[file] for file in job.files if referring[file] == 1)
        one = RemovedJob(job.id, job.kind, job.state, job.finished_at, freed)
        if dry_run:
            removed.append(one)
        else:
            with contextlib.suppress(NotFound):  # somebody else was faster, and its bytes are freed as well
                deleted = delete_job(job.id, used)
                removed.append(replace(one, bytes=deleted.bytes))
                kept_back.extend(deleted.kept_back)
        referring.subtract(job.files)
        left -= freed
    return removed


def _remove_rows(
    needed_since: float, limits: Limits, used: Storage, kept_back: list[str], *, dry_run: bool
) -> tuple[list[Entry], list[Entry]]:
    """What went, and what is left."""
    removed = []
    try:
        surplus = used.rows.surplus(
            max_bytes=limits.rows_max_bytes, older_than_s=limits.rows_older_than_s, spare_since=needed_since
        )
        for entry in surplus:
            try:
                freed = entry.bytes if dry_run else used.rows.remove_as_listed(entry)
            except OSError as error:
                kept_back.append(f"Rows {entry.key} cannot be removed: {error.strerror or error}.")
                continue
            if freed is not None:
                removed.append(replace(entry, bytes=freed))
        keys = {entry.key for entry in removed}
        return removed, [entry for entry in used.rows.entries() if not dry_run or entry.key not in keys]
    except OSError as error:
        kept_back.append(f"The kept rows cannot be listed: {error.strerror or error}.")
        return removed, []


def _cannot(path: Path, error: OSError) -> str:
    return f"{path} cannot be removed: {error.strerror or error}. No job refers to it; it is tried again."


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 of what is not there."""
    total = 0
    for one in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):
            found = one.lstat()
            total += 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return total
