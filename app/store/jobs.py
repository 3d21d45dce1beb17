"""The job store, which is also the queue: the only truth about jobs.

Every change is one `BEGIN IMMEDIATE` transaction. What a worker records, it records with the token of its
claim; a claim that was taken from it (it was thought dead) raises `ClaimLost` and changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.domain.errors import Conflict, TransientError
from app.domain.job_kinds import TASKS, Task
from app.domain.jobs import Artifact, Claim, Job, JobOptions, JobState, Progress, UnitPlan, final_state
from app.domain.requests import Request
from app.store.transitions import (
    check_claim,
    end_job,
    end_task,
    insert_job,
    read_job,
    requeue,
    reset_crash_count,
    set_unit,
    settle,
    stop_job,
    take_task,
    tally,
    to_be_cancelled,
)
from app.store.workers import Workers


class JobStore(Workers):
    """Jobs, their units, and who works on them. Safe to use from any thread and process."""

    # --- the API's side ---------------------------------------------------------------------------

    def submit(
        self,
        request: Request,
        units: Sequence[UnitPlan] = (),
        terms: JobOptions | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> Job:
        """Record a job whose request was checked.

        Args:
            request: what is to be done.
            units: are computed in the order given.
            terms: what comes with it.
            check: raises if what the job refers to has gone meanwhile; from then on nobody removes it.
        """
        with self._database.transaction() as db:
            check()
            return insert_job(db, request, units, terms or JobOptions())

    def get(self, job_id: str) -> Job:
        """The job as it stands.

        Raises:
            NotFound: there is none with that id.
        """
        with self._database.snapshot() as db:
            return read_job(db, job_id)

    def jobs(self, *, states: Iterable[JobState] = (), kind: str | None = None, limit: int = 100) -> list[Job]:
        """The newest jobs first, of the given states, or of all; of one kind, or of any."""
        wanted = json.dumps([str(state) for state in states])
        where = "(? = '[]' OR state IN (SELECT value FROM json_each(?))) AND kind = coalesce(?, kind)"
        with self._database.snapshot() as db:
            found = f"SELECT id FROM jobs WHERE {where} ORDER BY seq DESC LIMIT ?"
            rows = db.execute(found, (wanted, wanted, kind, limit))
            return [read_job(db, row["id"]) for row in rows.fetchall()]

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop. What no worker holds ends at once; the rest within a batch.

        Raises:
            Conflict: it has ended otherwise already.
        """
        with self._database.transaction() as db:
            job = read_job(db, job_id)
            if job.state.ended and job.state is not JobState.CANCELLED:
                raise Conflict("job-ended", f"Job {job_id} has already {job.state}; there is nothing to cancel.")
            if not job.state.ended:
                stop_job(db, job_id)
            return read_job(db, job_id)

    def expire(self) -> list[str]:
        """Stop the jobs whose deadline has passed, as `cancel` does; they end as failed.

        Returns:
            Their ids.
        """
        now = time.time()
        overdue = "SELECT id FROM jobs WHERE deadline_at <= ? AND finished_at IS NULL AND NOT cancel_requested"
        if self._database.connection.execute(overdue, (now,)).fetchone() is None:
            return []
        with self._database.transaction() as db:
            found = [row["id"] for row in db.execute(overdue, (now,)).fetchall()]
            for job_id in found:
                message = "The job had not ended by its deadline. What was done by then stands."
                error = {"code": "deadline-exceeded", "message": message, "details": {}}
                db.execute("UPDATE jobs SET error = ? WHERE id = ?", (json.dumps(error), job_id))
                stop_job(db, job_id)
            return found

    def delete(self, job_id: str, forget: Callable[[str], None]) -> None:
        """Forget an ended job, then its files.

        In this order: a job on record must not lose its files because this process dies in between. What is left
        then, nobody refers to, and the next sweep removes it.

        Args:
            job_id: which.
            forget: see `release`.

        Raises:
            Conflict: it has not ended.
        """
        self.release(self.remove(job_id), forget)

    def remove(self, job_id: str) -> frozenset[str]:
        """Forget an ended job. Returns the sha256 of each artifact that it referred to.

        Raises:
            Conflict: it has not ended.
        """
        with self._database.transaction() as db:
            job = read_job(db, job_id)
            if not job.state.ended:
                raise Conflict(
                    "job-not-ended",
                    f"Job {job_id} is {job.state}. Cancel it first, or wait until it has ended.",
                )
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        return frozenset(unit.artifact.sha256 for unit in job.units if unit.artifact)

    def release(self, digests: Iterable[str], forget: Callable[[str], None]) -> None:
        """Call `forget` with each digest that no job refers to, before anybody can record that one as theirs."""
        with self._database.transaction() as db:
            for digest in sorted(digests):
                if db.execute("SELECT 1 FROM units WHERE artifact_sha256 = ?", (digest,)).fetchone() is None:
                    forget(digest)

    @property
    def created_at(self) -> float:
        """When the store was made, in seconds since the epoch."""
        return float(self._database.connection.execute("SELECT created_at FROM store").fetchone()[0])

    def artifacts(self) -> frozenset[str]:
        """sha256 of every artifact that a job refers to."""
        rows = self._database.connection.execute(
            "SELECT artifact_sha256 FROM units WHERE artifact_sha256 IS NOT NULL"
        )
        return frozenset(row[0] for row in rows)

    def uploads(self, *, open_only: bool = False) -> frozenset[str]:
        """Ids of every upload that a job refers to, or only of those whose job has not ended."""
        asked = "SELECT json_extract(request, '$.upload') FROM jobs WHERE kind = 'verification'"
        asked += " AND finished_at IS NULL" if open_only else ""
        return frozenset(row[0] for row in self._database.connection.execute(asked) if row[0] is not None)

    # --- the worker's side ------------------------------------------------------------------------

    def claim(
        self,
        worker: str,
        precisions: Sequence[str] = ("fp32",),
        tasks: Sequence[Task] = tuple(TASKS),
    ) -> Claim | None:
        """Take the next task: the oldest job's first. None when there is nothing to do.

        Args:
            worker: its name.
            tasks: kinds of task to take.
            precisions: what it can compute in. A task of another one it leaves to a worker on record that can;
                where there is none, it takes it, and fails it with the reason.
        """
        with self._database.transaction() as db:
            return take_task(db, worker, precisions, tasks)

    def version(self) -> int:
        """A number that moves when anybody else has changed something. Costs microseconds."""
        return self._database.version()

    def start_unit(self, claim: Claim, split: str) -> bool:
        """The unit is about to begin. Returns whether to go on, as `progress`."""
        with self._database.transaction() as db:
            check_claim(db, claim)
            fresh = {"done": 0, "reused": 0, "computed": 0, "rate": None}
            set_unit(db, claim, split, state="running", started_at=time.time(), **fresh)
            db.execute(
                "UPDATE units SET attempts = attempts + 1 WHERE job = ? AND expert = ? AND split = ?",
                (claim.job.id, claim.expert, split),
            )
            return not to_be_cancelled(db, claim)

    def progress(self, claim: Claim, split: str, progress: Progress) -> bool:
        """Record how far a unit is, and learn whether to go on.

        Returns:
            False when the job is to be cancelled: the worker stops here and calls `cancelled`.
        """
        with self._database.transaction() as db:
            check_claim(db, claim)
            set_unit(db, claim, split, rate=progress.rate, **_counts(progress))
            return not to_be_cancelled(db, claim)

    def go_on(self, claim: Claim) -> bool:
        """Whether the claim is this worker's and its job is not to be cancelled.

        Raises:
            ClaimLost: the claim was taken away.
        """
        with self._database.snapshot() as db:
            check_claim(db, claim)
            return not to_be_cancelled(db, claim)

    def hold(self, claim: Claim) -> None:
        """Make sure the claim is still this worker's, before it shows anything to the world."""
        with self._database.snapshot() as db:
            check_claim(db, claim)

    def finish_unit(
        self,
        claim: Claim,
        split: str,
        artifact: Artifact,
        report: dict[str, Any],
        progress: Progress,
        is_there: Callable[[], bool],
    ) -> None:
        """The unit's file is written and its report passed.

        Args:
            claim: this worker's.
            split: which unit of it.
            artifact: its file.
            report: its verification.
            progress: where it stands at its end.
            is_there: whether the file still is; another job's deletion may have taken the very same one.

        Raises:
            TransientError: it is gone, and can be written again.
        """
        with self._database.transaction() as db:
            check_claim(db, claim)
            if not is_there():
                raise TransientError("artifact-gone", f"The file of ({claim.expert}, {split}) is gone.")
            fields = _counts(progress) | {
                "state": "succeeded",
                "finished_at": time.time(),
                "report": json.dumps(report),
                "artifact": json.dumps(artifact.to_dict()),
                "artifact_sha256": artifact.sha256,
            }
            set_unit(db, claim, split, **fields)
            reset_crash_count(db, claim)
            tally(db, "units", "succeeded")
            tally(db, "rows", "reused", progress.reused)
            tally(db, "rows", "computed", progress.computed)
            for phase, seconds in progress.seconds.items():
                tally(db, "seconds", phase, seconds)

    def fail_unit(
        self, claim: Claim, split: str, error: dict[str, Any], report: dict[str, Any] | None = None
    ) -> None:
        """The unit cannot be done; the others stand."""
        with self._database.transaction() as db:
            check_claim(db, claim)
            fields = {"error": json.dumps(error), "report": json.dumps(report) if report else None}
            set_unit(db, claim, split, state="failed", finished_at=time.time(), **fields)
            reset_crash_count(db, claim)
            tally(db, "units", "failed")

    def end_task(self, claim: Claim) -> None:
        """Every unit of the claim has ended, or the job is being cancelled, which ends the rest of them.

        Raises:
            RuntimeError: units are open, or it is no task with units, and nothing is being cancelled.
        """
        with self._database.transaction() as db:
            check_claim(db, claim)
            job = read_job(db, claim.job.id)
            still_open = [u.split for u in job.units if u.expert == claim.expert and not u.state.ended]
            if (still_open or not TASKS[claim.task].has_units) and not job.cancel_requested:
                raise RuntimeError(f"{claim.task} {claim.expert} of job {job.id} cannot end: {still_open} are open")
            end_task(db, claim)
            settle(db, claim.job.id)

    def finish_job(self, claim: Claim, verification: dict[str, Any]) -> None:
        """Record the job's own checks and, from them and its units, its final state.

        A verification of files that was carried out has succeeded, whatever its verdict: it is no result that might
        count. So have splits that were drawn.
        """
        with self._database.transaction() as db:
            check_claim(db, claim)
            end_task(db, claim)
            job = read_job(db, claim.job.id)
            carried_out = not TASKS[claim.task].verdict_counts and "error" not in verification
            verified = carried_out or verification["verdict"] == "passed"
            db.execute("UPDATE jobs SET verification = ? WHERE id = ?", (json.dumps(verification), job.id))
            end_job(db, job.id, final_state(job, verified=verified))

    def hand_back(self, claim: Claim) -> None:
        """Give the claim back undone, for another worker to take: this one is stopping."""
        with self._database.transaction() as db:
            check_claim(db, claim)
            requeue(db, claim.job.id, claim.task, claim.expert)


def _counts(progress: Progress) -> dict[str, Any]:
    return {
        "done": progress.done,
        "reused": progress.reused,
        "computed": progress.computed,
        "notes": json.dumps(list(progress.notes)),
    }
