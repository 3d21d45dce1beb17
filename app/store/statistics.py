"""What is on record, counted: jobs, units, the queue, and the sums over all that ever happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.store.database import Database


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """The store at one moment. What there is none of may be missing."""

    jobs: Mapping[tuple[str, str], int]
    """By state and kind."""
    units: Mapping[str, int]
    """Of the jobs that have not ended, by state."""
    waiting_since: float | None
    """Since when the oldest task could have been claimed, in seconds since the epoch; None when none waits.

    A job's verification waits from the end of its last unit on, every other task from its job's acceptance; one that
    was handed back has waited as long as its job.
    """
    totals: Mapping[tuple[str, str], float]
    """The sums of `app.store.transitions.tally`, by name and label."""


JOBS = "SELECT state, kind, count(*) FROM jobs GROUP BY state, kind"
OPEN = "state IN ('queued', 'claimed')"
"""Tasks of jobs that have not ended; each such job has one. Word for word as the index `tasks_open` has it."""
# CROSS JOIN: by itself SQLite would go through the units of all jobs.
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
    """Count, in one snapshot. Reads no requests, results or verifications."""
    with database.snapshot() as db:
        since = [db.execute(query).fetchone()[0] for query in (WAITING, VERIFYING)]
        return QueueStatistics(
            jobs={(state, kind): count for state, kind, count in db.execute(JOBS)},
            units=dict(db.execute(UNITS).fetchall()),
            waiting_since=min((moment for moment in since if moment is not None), default=None),
            totals={(name, label): value for name, label, value in db.execute(TOTALS)},
        )
