"""What jobs refer to, and the deletion of jobs with what no other job refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.domain.errors import Conflict
from app.store.database import Database
from app.store.run_steps import jobs_in_use
from app.store.transitions import read_job


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
            Conflict: it has not ended, or an open run goes on from its result.
        """
        with self._database.transaction() as db:
            job = read_job(db, job_id)
            if not job.state.ended:
                message = f"Job {job_id} is {job.state}. Cancel it first, or wait until it has ended."
                raise Conflict("job-not-ended", message)
            if (run := jobs_in_use(db).get(job_id)) is not None:
                message = f"The run {run} goes on from job {job_id}. Cancel it, or wait until it has ended."
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

    def in_use(self) -> frozenset[str]:
        """Return the ids of jobs that open runs go on from."""
        return frozenset(jobs_in_use(self._database.connection))

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
        """Return the ids of uploads that (open) jobs reference."""
        query = "SELECT json_extract(request, '$.upload') FROM jobs WHERE kind = 'verification'"
        query += " AND finished_at IS NULL" if open_only else ""
        return frozenset(row[0] for row in self._database.connection.execute(query) if row[0] is not None)
