"""The job store, which is also the queue: the only truth about jobs.

Every change is one `BEGIN IMMEDIATE` transaction. What a worker records, it records with the token of its
claim; a claim that was taken from it (it was thought dead) raises `ClaimLost` and changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from app.database import Database
from app.errors import Conflict, TransientError
from app.jobs import Artifact, Claim, Job, JobState, Progress, Task, UnitPlan, final_state
from app.numerics import Arithmetic
from app.requests import Request
from app.transitions import (
    bury_task,
    check_claim,
    end_job,
    end_task,
    forgive_deaths,
    insert_job,
    read_job,
    requeue,
    set_unit,
    settle,
    to_be_cancelled,
)


class JobStore:
    """Jobs, their units, and who works on them. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- the API's side ---------------------------------------------------------------------------

    def submit(self, request: Request, units: Sequence[UnitPlan] = ()) -> Job:
        """Record a job whose request was checked; its units, if it has any, are computed in the order given."""
        with self._database.transaction() as db:
            return insert_job(db, request, units)

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
                db.execute("UPDATE jobs SET cancel_requested = 1, state = 'cancelling' WHERE id = ?", (job_id,))
                db.execute("UPDATE tasks SET state = 'ended' WHERE job = ? AND state = 'queued'", (job_id,))
                settle(db, job_id)
            return read_job(db, job_id)

    def delete(self, job_id: str, forget: Callable[[str], None]) -> None:
        """Forget an ended job.

        Args:
            job_id: which.
            forget: called with the sha256 of each artifact that no other job refers to, before anybody else
                can record that same one as theirs.

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
            digests = {unit.artifact.sha256 for unit in job.units if unit.artifact}
            kept = "SELECT 1 FROM units WHERE artifact_sha256 = ?"
            for digest in sorted(digests):
                if db.execute(kept, (digest,)).fetchone() is None:
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

    def uploads(self) -> frozenset[str]:
        """Ids of every upload that a job refers to."""
        asked = "SELECT json_extract(request, '$.upload') FROM jobs WHERE kind = 'verification'"
        return frozenset(row[0] for row in self._database.connection.execute(asked) if row[0] is not None)

    # --- the worker's side ------------------------------------------------------------------------

    def claim(
        self,
        worker: str,
        precisions: Sequence[str] = ("fp32",),
        tasks: Sequence[Task] = ("recompute", "verify", "check", "draw"),
    ) -> Claim | None:
        """Take the next task: the oldest job's first. None when there is nothing to do.

        Args:
            worker: its name.
            tasks: kinds of task to take.
            precisions: what it can compute in. A task of another one it leaves to a worker on record that can;
                where there is none, it takes it, and fails it with the reason.
        """
        precision = "coalesce(json_extract(jobs.request, '$.precision'), 'fp32')"
        with self._database.transaction() as db:
            row = db.execute(
                "UPDATE tasks SET state = 'claimed', worker = ?, token = token + 1 WHERE rowid = ("
                "  SELECT tasks.rowid FROM tasks JOIN jobs ON jobs.id = tasks.job"
                "  WHERE tasks.state = 'queued' AND tasks.task IN (SELECT value FROM json_each(?))"
                "  AND (tasks.task != 'recompute'"
                f"    OR {precision} IN (SELECT value FROM json_each(?))"
                "    OR NOT EXISTS (SELECT 1 FROM workers, json_each(workers.arithmetic, '$.precisions') AS offered"
                f"      WHERE offered.value = {precision}))"
                "  ORDER BY jobs.seq, tasks.position LIMIT 1)"
                " RETURNING job, task, expert, token",
                (worker, json.dumps(list(tasks)), json.dumps(list(precisions))),
            ).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', started_at = coalesce(started_at, ?)"
                " WHERE id = ? AND state = 'queued'",
                (time.time(), row["job"]),
            )
            job = read_job(db, row["job"])
            return Claim(job, row["task"], row["expert"], worker, row["token"])

    def start_unit(self, claim: Claim, split: str) -> bool:
        """The unit is about to begin. Returns whether to go on, as `progress`."""
        with self._database.transaction() as db:
            check_claim(db, claim)
            fresh = {"done": 0, "reused": 0, "computed": 0, "rate": None}
            set_unit(db, claim, split, state="running", started_at=time.time(), **fresh)
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
            forgive_deaths(db, claim)

    def fail_unit(
        self, claim: Claim, split: str, error: dict[str, Any], report: dict[str, Any] | None = None
    ) -> None:
        """The unit cannot be done; the others stand."""
        with self._database.transaction() as db:
            check_claim(db, claim)
            fields = {"error": json.dumps(error), "report": json.dumps(report) if report else None}
            set_unit(db, claim, split, state="failed", finished_at=time.time(), **fields)
            forgive_deaths(db, claim)

    def end_task(self, claim: Claim) -> None:
        """Every unit of the claim has ended, or the job is being cancelled, which ends the rest of them.

        Raises:
            RuntimeError: units are open and nothing is being cancelled.
        """
        with self._database.transaction() as db:
            check_claim(db, claim)
            job = read_job(db, claim.job.id)
            still_open = [u.split for u in job.units if u.expert == claim.expert and not u.state.ended]
            if still_open and not job.cancel_requested:
                raise RuntimeError(f"{claim.expert} of job {job.id} cannot end: {still_open} are open")
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
            carried_out = claim.task in ("check", "draw") and "error" not in verification
            verified = carried_out or verification["verdict"] == "passed"
            state = final_state(job.units, cancel_requested=job.cancel_requested, verified=verified)
            db.execute("UPDATE jobs SET verification = ? WHERE id = ?", (json.dumps(verification), job.id))
            end_job(db, job.id, state)

    def hand_back(self, claim: Claim) -> None:
        """Give the claim back undone, for another worker to take: this one is stopping."""
        with self._database.transaction() as db:
            check_claim(db, claim)
            requeue(db, claim.job.id, claim.task, claim.expert)

    # --- who lives --------------------------------------------------------------------------------

    def add_worker(self, worker: str, *, pid: int, device: str, devices: int, arithmetic: Arithmetic) -> None:
        """A worker has started and holds its lock.

        Args:
            worker: unique name, never used again; the name of its lock file.
            pid: its process, for people.
            device: what it computes on.
            devices: how many such devices the machine has, so that a supervisor can start as many workers.
            arithmetic: how it computes, so that a plan knows which kept rows it will take.
        """
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO workers (id, pid, device, devices, started_at, arithmetic) VALUES (?,?,?,?,?,?)",
                (worker, pid, device, devices, time.time(), json.dumps(asdict(arithmetic))),
            )

    def workers(self) -> list[dict[str, Any]]:
        """The recorded workers; whether they live, their locks tell."""
        return [dict(row) for row in self._database.connection.execute("SELECT * FROM workers ORDER BY id")]

    def bury(self, worker: str) -> list[str]:
        """A worker is dead: its tasks may be claimed again, at once.

        Its death counts on the units it was running; the fifth fails them, so that a unit that kills its
        workers cannot do so for ever.

        Returns:
            Ids of the jobs it was working on.
        """
        with self._database.transaction() as db:
            tasks = db.execute(
                "SELECT job, task, expert, deaths FROM tasks WHERE worker = ? AND state = 'claimed'",
                (worker,),
            ).fetchall()
            # A check takes a moment and computing takes long: where both died together, the check is the more likely
            # cause. Blamed alone, it cannot fail the unit beside it.
            checked = any(task["task"] == "check" for task in tasks)
            for task in tasks:
                bury_task(db, task, blamed=not checked or task["task"] == "check")
            db.execute("UPDATE facts SET worker = NULL WHERE worker = ?", (worker,))
            db.execute("DELETE FROM workers WHERE id = ?", (worker,))
            return [task["job"] for task in tasks]


def _counts(progress: Progress) -> dict[str, Any]:
    return {
        "done": progress.done,
        "reused": progress.reused,
        "computed": progress.computed,
        "notes": json.dumps(list(progress.notes)),
    }
