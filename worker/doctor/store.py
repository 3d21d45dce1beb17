"""Whether the job store can be opened, and who uses it."""

from __future__ import annotations

from dataclasses import dataclass

from worker.doctor.finding import Finding, ok, problem, warning


@dataclass(frozen=True, slots=True)
class Store:
    """What a read-only look showed."""

    path: str
    there: bool = True
    error: str | None = None
    """Why it cannot be read."""
    version: int = 0
    """Of its schema."""
    newest: int = 0
    """The schema that this relogit writes."""
    oldest: int = 0
    """The oldest that this relogit can bring up to date."""
    integrity: str = "ok"
    """What SQLite's quick_check says."""
    service: bool = False
    """Whether a living service holds its lock."""
    workers: int = 0
    """Living workers."""


def check_store(seen: Store) -> list[Finding]:
    """The file itself, then who lives."""
    return [_file(seen), _alive(seen)]


def _file(seen: Store) -> Finding:
    away = "Stop the service, move the file away with its -wal and -shm: a new one is made, and results stay."
    if not seen.there:
        return ok("store", f"There is no job store yet; the service makes {seen.path} when it starts.")
    if seen.error is not None:
        return problem(
            "store", f"The job store {seen.path} cannot be read: {seen.error}.", f"Is it this user's? {away}"
        )
    if seen.version > seen.newest:
        return problem(
            "store",
            f"{seen.path} was written by a newer relogit: schema {seen.version}, this one knows {seen.newest}.",
            "Update relogit, or point RELOGIT_OUTPUTS_DIR elsewhere.",
        )
    if seen.version < seen.oldest:
        return problem("store", f"{seen.path} has schema {seen.version}, which this relogit cannot read.", away)
    if seen.integrity != "ok":
        return problem("store", f"The job store {seen.path} is damaged: {seen.integrity}.", away)
    if seen.version < seen.newest:
        return ok(
            "store", f"The job store is whole, of schema {seen.version}; the next start makes it {seen.newest}."
        )
    return ok("store", f"The job store is whole, of schema {seen.version}.")


def _alive(seen: Store) -> Finding:
    workers = "1 worker lives" if seen.workers == 1 else f"{seen.workers} workers live"
    if not seen.service and not seen.workers:
        return ok("service", "No service and no worker uses this outputs folder now.", "python -m app starts both.")
    if not seen.workers:
        return warning(
            "service", "A service uses this outputs folder, but no worker lives: jobs wait.",
            "Its log says why, or, with RELOGIT_WORKERS=0, start one: python -m worker",
        )  # fmt: skip
    if not seen.service:
        return warning(
            "service",
            f"{workers} on this outputs folder, but no service: nobody can send jobs.",
            "Start it: python -m app",
        )
    return ok("service", f"A service uses this outputs folder, and {workers}.")
