"""The job store, which is also the queue: the only truth about jobs.

Every change is one `BEGIN IMMEDIATE` transaction. A worker records with the token of its claim. If the claim was
taken from it, because it seemed dead, recording raises `ClaimLost` and changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.domain.checks import JobReport, ResultReport
from app.domain.errors import Conflict, NotFound, TransientError
from app.domain.job_kinds import TASKS, Task
from app.domain.jobs import Artifact, Claim, Job, JobOptions, JobState, Progress, UnitPlan, final_state
from app.domain.outcomes import Outcome
from app.domain.requests import Request
from app.store import transitions
from app.store.references import References
from app.store.workers import Workers


class JobStore(Workers, References):
    """Jobs, their units, and the workers. Safe to use from any thread and process."""

    # --- the API's side ---------------------------------------------------------------------------

    def submit(
        self,
        request: Request,
        units: Sequence[UnitPlan] = (),
        terms: JobOptions | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> Job:
        """Record a job whose request was checked.

        Its units are computed in the given order.

        `check` raises if something that the job refers to was deleted meanwhile; it is kept from now on.
        """
        with self._database.transaction() as db:
            check()
            return transitions.insert_job(db, request, units, terms or JobOptions())

    def get(self, job_id: str) -> Job:
        """Return a job, or raise NotFound."""
        with self._database.snapshot() as db:
            return transitions.read_job(db, job_id)

    def jobs(
        self,
        *,
        states: Iterable[JobState] = (),
        kind: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return jobs by state and kind, newest first; those older than the job `before`.

        Raises:
            NotFound: there is no job `before`.
        """
        wanted = json.dumps([str(state) for state in states])
        where = "(? = '[]' OR state IN (SELECT value FROM json_each(?))) AND kind = coalesce(?, kind)"
        with self._database.snapshot() as db:
            seq = None if before is None else _number(db, before)
            query = f"SELECT id FROM jobs WHERE {where} AND seq < coalesce(?, 9e18) ORDER BY seq DESC LIMIT ?"
            rows = db.execute(query, (wanted, wanted, kind, seq, limit))
            return [transitions.read_job(db, row["id"]) for row in rows.fetchall()]

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; claimed tasks end after their batch.

        Raises:
            Conflict: it has already succeeded or failed.
        """
        with self._database.transaction() as db:
            job = transitions.read_job(db, job_id)
            if job.state.ended and job.state is not JobState.CANCELLED:
                raise Conflict("job-ended", f"Job {job_id} has already {job.state}; there is nothing to cancel.")
            if not job.state.ended:
                transitions.stop_job(db, job_id)
            return transitions.read_job(db, job_id)

    def expire(self) -> list[str]:
        """Fail the jobs past their deadline; return their ids.

        They stop as by `cancel`.
        """
        now = time.time()
        overdue = "SELECT id FROM jobs WHERE deadline_at <= ? AND finished_at IS NULL AND NOT cancel_requested"
        if self._database.connection.execute(overdue, (now,)).fetchone() is None:
            return []
        with self._database.transaction() as db:
            # The jobs of a run were recorded after it: they fail by their own deadline, before the run stops them.
            job_ids = [row["id"] for row in db.execute(f"{overdue} ORDER BY seq DESC", (now,)).fetchall()]
            for job_id in job_ids:
                message = "The job had not ended by its deadline. Units that had succeeded by then stay."
                error = {"code": "deadline-exceeded", "message": message, "details": {}}
                db.execute("UPDATE jobs SET error = ? WHERE id = ?", (json.dumps(error), job_id))
                transitions.stop_job(db, job_id)
            return job_ids

    # --- the worker's side ------------------------------------------------------------------------

    def claim(
        self, worker: str, precisions: Sequence[str] = ("fp32",), tasks: Sequence[Task] = tuple(TASKS)
    ) -> Claim | None:
        """Claim the oldest job's next task of these kinds, if any.

        A worker leaves a task of another precision than its own to a recorded worker that has it; without such a
        worker it takes the task and fails it with the reason.
        """
        with self._database.transaction() as db:
            return transitions.take_task(db, worker, precisions, tasks)

    def version(self) -> int:
        """Return a number that changes when another connection commits.

        It takes microseconds.
        """
        return self._database.version()

    def start_unit(self, claim: Claim, split: str) -> bool:
        """Record that a unit begins; return as `progress` does."""
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            zero = {"done": 0, "reused": 0, "computed": 0, "rate": None}
            transitions.set_unit(db, claim, split, state="running", started_at=time.time(), **zero)
            db.execute(
                "UPDATE units SET attempts = attempts + 1 WHERE job = ? AND expert = ? AND split = ?",
                (claim.job.id, claim.expert, split),
            )
            return not transitions.to_be_cancelled(db, claim)

    def progress(self, claim: Claim, split: str, progress: Progress) -> bool:
        """Record a unit's progress; return False on cancellation."""
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            transitions.set_unit(db, claim, split, rate=progress.rate, **_counts(progress))
            return not transitions.to_be_cancelled(db, claim)

    def go_on(self, claim: Claim) -> bool:
        """Tell whether to go on; False on cancellation."""
        with self._database.snapshot() as db:
            transitions.check_claim(db, claim)
            return not transitions.to_be_cancelled(db, claim)

    def hold(self, claim: Claim) -> None:
        """Raise `ClaimLost` unless the claim is still this worker's.

        Call it before publishing files.
        """
        with self._database.snapshot() as db:
            transitions.check_claim(db, claim)

    def finish_unit(
        self,
        claim: Claim,
        split: str,
        artifact: Artifact,
        report: ResultReport,
        progress: Progress,
        is_there: Callable[[], bool],
    ) -> None:
        """Record a unit's success, with its artifact and report.

        Raises:
            TransientError: by `is_there`, the file is gone: the deletion of another job removed the same file. It can
                be written again.
        """
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            if not is_there():
                raise TransientError("artifact-gone", f"The file of ({claim.expert}, {split}) is gone.")
            fields = _counts(progress) | {
                "state": "succeeded",
                "finished_at": time.time(),
                "report": json.dumps(report.to_dict()),
                "artifact": json.dumps(artifact.to_dict()),
                "artifact_sha256": artifact.sha256,
            }
            transitions.set_unit(db, claim, split, **fields)
            transitions.reset_crash_count(db, claim)
            transitions.tally(db, "units", "succeeded")
            transitions.tally(db, "rows", "reused", progress.reused)
            transitions.tally(db, "rows", "computed", progress.computed)
            for phase, seconds in progress.seconds.items():
                transitions.tally(db, "seconds", phase, seconds)

    def fail_unit(self, claim: Claim, split: str, error: dict[str, Any], report: ResultReport | None = None) -> None:
        """Record that a unit failed."""
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            fields = {"error": json.dumps(error), "report": json.dumps(report.to_dict()) if report else None}
            transitions.set_unit(db, claim, split, state="failed", finished_at=time.time(), **fields)
            transitions.reset_crash_count(db, claim)
            transitions.tally(db, "units", "failed")

    def end_task(self, claim: Claim) -> None:
        """End a claim whose units have ended or are being cancelled.

        Raises:
            RuntimeError: the job is not being cancelled, and units are open or the task has none.
        """
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            job = transitions.read_job(db, claim.job.id)
            still_open = [u.split for u in job.units if u.expert == claim.expert and not u.state.ended]
            if (still_open or not TASKS[claim.task].has_units) and not job.cancel_requested:
                raise RuntimeError(f"{claim.task} {claim.expert} of job {job.id} cannot end: {still_open} are open")
            transitions.end_task(db, claim)
            transitions.settle(db, claim.job.id)

    def finish_job(self, claim: Claim, verification: JobReport) -> None:
        """Record the job's verification and its final state.

        A verification of files that was carried out has succeeded, whatever its verdict.
        """
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            transitions.end_task(db, claim)
            job = transitions.read_job(db, claim.job.id)
            carried_out = not TASKS[claim.task].verdict_counts and verification.error is None
            verified = carried_out or verification.verdict == "passed"
            db.execute("UPDATE jobs SET verification = ? WHERE id = ?", (json.dumps(verification.to_dict()), job.id))
            transitions.end_job(db, job.id, final_state(job, verified=verified))

    def record_outcome(self, claim: Claim, outcome: Outcome) -> None:
        """Record what a gating, rejector or evaluation resulted in."""
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            db.execute("UPDATE jobs SET outcome = ? WHERE id = ?", (json.dumps(outcome.to_dict()), claim.job.id))

    def hand_back(self, claim: Claim) -> None:
        """Give a claim back for another worker."""
        with self._database.transaction() as db:
            transitions.check_claim(db, claim)
            transitions.requeue(db, claim.job.id, claim.task, claim.expert)


def _number(db: sqlite3.Connection, job_id: str) -> int:
    """Return a job's place in the order of submission, or raise NotFound."""
    row = db.execute("SELECT seq FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("job-not-found", f"There is no job {job_id!r}.")
    return int(row["seq"])


def _counts(progress: Progress) -> dict[str, Any]:
    return {
        "done": progress.done,
        "reused": progress.reused,
        "computed": progress.computed,
        "notes": json.dumps(list(progress.notes)),
    }
