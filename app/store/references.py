"""What jobs refer to, and the deletion of jobs with what no other job refers to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from app.domain.errors import Conflict
from app.store.database import Database
from app.store.transitions import read_job

UPLOAD = "coalesce(json_extract(request, '$.upload'), json_extract(request, '$.logits.upload'))"
"""SQL: the id of the upload that a job reads, or NULL."""


class References:
    """The part of a `JobStore` that deletes jobs. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete(self, job_id: str, forget: Callable[[str], None]) -> None:
        """Delete an ended job, then its files.

        In this order, since this process may die in between: a recorded job must not lose its files, and the next
        sweep removes files without a job. As `remove` and `release`.
        """
        self.release(self.remove(job_id), forget)

    def remove(self, job_id: str) -> frozenset[str]:
        """Delete an ended job; return its artifacts' sha256.

        Raises:
            Conflict: it has not ended, or a job that has not ended builds on it.
        """
        with self._database.transaction() as db:
            job = read_job(db, job_id)
            if not job.state.ended:
                message = f"Job {job_id} is {job.state}. Cancel it first, or wait until it has ended."
                raise Conflict("job-not-ended", message)
            if (other := built_on(db).get(job_id)) is not None:
                message = f"Job {other} builds on job {job_id}. Cancel it first, or wait until it has ended."
                raise Conflict("job-in-use", message)
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        return frozenset(unit.artifact.sha256 for unit in job.units if unit.artifact)

    def release(self, digests: Iterable[str], forget: Callable[[str], None]) -> None:
        """Call `forget` with each digest that no job references.

        No job can record them meanwhile.
        """
        with self._database.transaction() as db:
            for digest in sorted(digests):
                if db.execute("SELECT 1 FROM units WHERE artifact_sha256 = ?", (digest,)).fetchone() is None:
                    forget(digest)

    @property
    def created_at(self) -> float:
        """When the store was made, in seconds since the epoch."""
        return float(self._database.connection.execute("SELECT created_at FROM store").fetchone()[0])

    def artifacts(self) -> frozenset[str]:
        """Return the sha256 of every referenced artifact."""
        rows = self._database.connection.execute(
            "SELECT artifact_sha256 FROM units WHERE artifact_sha256 IS NOT NULL"
        )
        return frozenset(row[0] for row in rows)

    def uploads(self, *, open_only: bool = False) -> frozenset[str]:
        """Return the ids of uploads that (open) jobs reference, or build on."""
        db = self._database.connection
        query = f"SELECT {UPLOAD}, id, finished_at FROM jobs WHERE kind IN ('verification', 'gating')"
        rows = [row for row in db.execute(query) if row[0] is not None]
        needed = built_on(db) if open_only and rows else {}
        return frozenset(row[0] for row in rows if not open_only or row[2] is None or row[1] in needed)

    def built_on(self) -> frozenset[str]:
        """Return the ids of the jobs that open jobs and runs build on."""
        with self._database.snapshot() as db:
            return frozenset(built_on(db))


def built_on(db: sqlite3.Connection) -> dict[str, str]:
    """Map each job that open jobs build on, directly or by others, to one of those."""
    rows = db.execute(
        "WITH RECURSIVE needs (job, needed) AS ("
        "  SELECT id, json_extract(request, '$.logits.job') FROM jobs WHERE kind = 'gating'"
        "  UNION SELECT id, json_extract(request, '$.gating') FROM jobs WHERE kind = 'rejector'"
        "  UNION SELECT jobs.id, value FROM jobs, json_each(request, '$.gatings') WHERE kind = 'evaluation'"
        "  UNION SELECT jobs.id, value FROM jobs, json_each(request, '$.rejectors') WHERE kind = 'evaluation'"
        "  UNION SELECT jobs.id, json_extract(value, '$.logits.job') FROM jobs, json_each(request, '$.sides')"
        "    WHERE kind = 'comparison'"
        "  UNION SELECT run_steps.job, value FROM run_steps, json_each(run_steps.children)"
        "), reached (needed, builder) AS ("
        "  SELECT needed, job FROM needs JOIN jobs ON jobs.id = needs.job WHERE jobs.finished_at IS NULL"
        "  UNION SELECT needs.needed, builder FROM needs JOIN reached ON reached.needed = needs.job"
        ") SELECT needed, min(builder) AS builder FROM reached GROUP BY needed"
    )
    return {row["needed"]: row["builder"] for row in rows.fetchall()}
