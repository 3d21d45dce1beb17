"""Statistics of the store: jobs, units, the queue, and counters over all time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.store.database import Database


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """The store at one moment. A count of 0 may be missing."""

    jobs: Mapping[tuple[str, str], int]
    """By state and kind."""
    units: Mapping[str, int]
    """Of the jobs that have not ended, by state."""
    waiting_since: float | None
    """When the oldest open task became claimable, in seconds since the epoch; None when none waits.

    The verification of a job became so at the end of its last unit, any other task when its job was accepted, even if
    it was handed back since.
    """
    totals: Mapping[tuple[str, str], float]
    """The counters of `app.store.transitions.tally`, by name and label."""


JOBS = "SELECT state, kind, count(*) FROM jobs GROUP BY state, kind"
OPEN = "state IN ('queued', 'claimed')"
"""Tasks of jobs that have not ended; each such job has one. The same text as in the index `tasks_open`, which SQLite
uses only then."""
# CROSS JOIN: SQLite would choose to read the units of all jobs first.
UNITS = (
    "SELECT units.state, count(*)"
    f" FROM (SELECT DISTINCT job FROM tasks WHERE {OPEN}) AS open"
    " CROSS JOIN units ON units.job = open.job GROUP BY units.state"
)
WAITING = (
    "SELECT min(created_at) FROM jobs"
    f" WHERE id IN (SELECT job FROM tasks WHERE {OPEN} AND state = 'queued' AND task != 'verify')"
)
VERIFYING = (
    "SELECT min((SELECT max(finished_at) FROM units WHERE units.job = tasks.job))"
    f" FROM tasks WHERE {OPEN} AND state = 'queued' AND task = 'verify'"
)
TOTALS = "SELECT name, label, value FROM totals"


def queue_statistics(database: Database) -> QueueStatistics:
    """Count in one snapshot, without reading requests, results or verifications."""
    with database.snapshot() as db:
        since = [db.execute(query).fetchone()[0] for query in (WAITING, VERIFYING)]
        return QueueStatistics(
            jobs={(state, kind): count for state, kind, count in db.execute(JOBS)},
            units=dict(db.execute(UNITS).fetchall()),
            waiting_since=min((moment for moment in since if moment is not None), default=None),
            totals={(name, label): value for name, label, value in db.execute(TOTALS)},
        )
