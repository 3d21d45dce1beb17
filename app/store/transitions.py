"""Transitions of jobs, units and tasks: functions that run inside one write transaction."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from app.domain.checks import JobReport, ResultReport
from app.domain.errors import JobError, NotFound
from app.domain.job_kinds import TASKS, Task, read_outcome, read_request, tasks_of
from app.domain.jobs import (
    MAX_DEATHS,
    Artifact,
    Claim,
    Job,
    JobOptions,
    JobState,
    Unit,
    UnitPlan,
    UnitState,
    final_state,
)
from app.domain.outcomes import Outcome
from app.domain.requests import Request
from app.domain.run_requests import RunRequest
from app.store.run_steps import cancel_steps, insert_steps, open_children, read_steps

OPEN_UNIT = "state IN ('queued', 'running')"
PLAIN_COLUMNS = (
    "expert", "split", "total", "split_sha256", "done", "reused", "computed", "rate", "started_at", "finished_at",
    "attempts",
)  # fmt: skip
"""Of `units`: what a `Unit` holds as it is stored."""


class ClaimLost(JobError):
    """The task was taken from this worker, or its job was deleted: its result must not be recorded."""

    def __init__(self, claim: Claim) -> None:
        super().__init__("claim-lost", f"Job {claim.job.id} is no longer this worker's ({claim.worker}).")


def insert_job(db: sqlite3.Connection, request: Request, units: Sequence[UnitPlan], terms: JobOptions) -> Job:
    """Insert a new job with its units and tasks."""
    job_id, now = uuid.uuid4().hex, time.time()
    deadline_at = None if terms.deadline_s is None else now + terms.deadline_s
    db.execute(
        "INSERT INTO jobs (id, kind, state, request, created_at, deadline_at, traceparent)"
        " VALUES (?, ?, 'queued', ?, ?, ?, ?)",
        (job_id, request.kind, json.dumps(request.to_dict()), now, deadline_at, terms.traceparent),
    )
    db.executemany(
        "INSERT INTO units (job, position, expert, split, total, split_sha256) VALUES (?,?,?,?,?,?)",
        [(job_id, i, u.expert, u.split, u.total, u.split_sha256) for i, u in enumerate(units)],
    )
    db.executemany(
        "INSERT INTO tasks (job, task, expert, position, state) VALUES (?,?,?,?,?)",
        [
            (job_id, new.task, new.expert, position, "waiting" if new.waiting else "queued")
            for position, new in enumerate(tasks_of(request))
        ],
    )
    if isinstance(request, RunRequest):
        insert_steps(db, job_id, request)
    return read_job(db, job_id)


def take_task(db: sqlite3.Connection, worker: str, precisions: Sequence[str], tasks: Sequence[Task]) -> Claim | None:
    """Claim the next task for a worker; see `JobStore.claim`."""
    precision = "coalesce(json_extract(jobs.request, '$.precision'), 'fp32')"
    row = db.execute(
        "UPDATE tasks SET state = 'claimed', worker = ?, token = token + 1 WHERE rowid = ("
        "  SELECT tasks.rowid FROM tasks JOIN jobs ON jobs.id = tasks.job"
        "  WHERE tasks.state = 'queued' AND tasks.task IN (SELECT value FROM json_each(?))"
        "  AND (tasks.task != 'recompute'"
        f"    OR {precision} IN (SELECT value FROM json_each(?))"
        "    OR NOT EXISTS (SELECT 1 FROM workers, json_each(workers.environment, '$.precisions') AS offered"
        f"      WHERE offered.value = {precision}))"
        "  ORDER BY jobs.seq, tasks.position LIMIT 1)"
        " RETURNING job, task, expert, token",
        (worker, json.dumps(list(tasks)), json.dumps(list(precisions))),
    ).fetchone()
    if row is None:
        return None
    db.execute(
        "UPDATE jobs SET state = 'running', started_at = coalesce(started_at, ?) WHERE id = ? AND state = 'queued'",
        (time.time(), row["job"]),
    )
    return Claim(read_job(db, row["job"]), row["task"], row["expert"], worker, row["token"])


def check_claim(db: sqlite3.Connection, claim: Claim) -> None:
    """Raise `ClaimLost` unless the claim is still its worker's."""
    row = db.execute(
        "SELECT 1 FROM tasks WHERE job = ? AND task = ? AND expert = ? AND token = ? AND state = 'claimed'",
        (claim.job.id, claim.task, claim.expert, claim.token),
    ).fetchone()
    if row is None:
        raise ClaimLost(claim)


def to_be_cancelled(db: sqlite3.Connection, claim: Claim) -> bool:
    """Tell whether the claim's job is to be cancelled."""
    row = db.execute("SELECT cancel_requested FROM jobs WHERE id = ?", (claim.job.id,)).fetchone()
    return bool(row["cancel_requested"])


def set_unit(db: sqlite3.Connection, claim: Claim, split: str, **fields: Any) -> None:
    """Set columns of one open unit of the claim.

    An ended unit never changes.
    """
    columns = ", ".join(f"{name} = ?" for name in fields)
    changed = db.execute(
        f"UPDATE units SET {columns} WHERE job = ? AND expert = ? AND split = ? AND {OPEN_UNIT}",
        (*fields.values(), claim.job.id, claim.expert, split),
    ).rowcount
    if changed != 1:
        raise RuntimeError(f"job {claim.job.id} has no open unit ({claim.expert}, {split})")


def reset_crash_count(db: sqlite3.Connection, claim: Claim) -> None:
    """Reset the claim's crash count for its next unit."""
    db.execute(
        "UPDATE tasks SET deaths = 0 WHERE job = ? AND task = ? AND expert = ?",
        (claim.job.id, claim.task, claim.expert),
    )


def end_task(db: sqlite3.Connection, claim: Claim) -> None:
    """End the claimed task."""
    db.execute(
        "UPDATE tasks SET state = 'ended' WHERE job = ? AND task = ? AND expert = ?",
        (claim.job.id, claim.task, claim.expert),
    )


def requeue(db: sqlite3.Connection, job: str, task: str, expert: str) -> None:
    """Requeue a task and its running unit; end a cancelled task."""
    db.execute(
        "UPDATE units SET state = 'queued', done = 0, reused = 0, computed = 0, rate = NULL, started_at = NULL"
        " WHERE job = ? AND expert = ? AND state = 'running'",
        (job, expert),
    )
    cancelled = db.execute("SELECT cancel_requested FROM jobs WHERE id = ?", (job,)).fetchone()[0]
    db.execute(
        "UPDATE tasks SET state = ?, worker = NULL WHERE job = ? AND task = ? AND expert = ?",
        ("ended" if cancelled else "queued", job, task, expert),
    )
    settle(db, job)


def reap_task(db: sqlite3.Connection, task: sqlite3.Row, *, blamed: bool) -> None:
    """Requeue a dead worker's task; at `MAX_DEATHS`, fail its unit.

    `task` has `job`, `task`, `expert` and `deaths`; `blamed` tells whether this death counts against it.
    """
    where = (task["job"], task["task"], task["expert"])
    deaths = task["deaths"] + blamed
    if deaths >= MAX_DEATHS:
        kind = TASKS[task["task"]]
        message = (
            f"{deaths} workers died while they were {kind.activity}. The log of the service says how; the usual "
            f"cause is memory: try {kind.remedy}."
        )
        error = json.dumps({"code": "worker-died", "message": message, "details": {"deaths": deaths}})
        if not kind.has_units:
            report = JobReport.failed(json.loads(error))
            db.execute("UPDATE jobs SET verification = ? WHERE id = ?", (json.dumps(report.to_dict()), task["job"]))
            db.execute("UPDATE tasks SET state = 'ended' WHERE job = ? AND task = ? AND expert = ?", where)
            job = read_job(db, task["job"])
            end_job(db, task["job"], final_state(job, verified=False))
            return
        # The running unit is to blame. Without one, loading the expert killed the worker, and all its units fail.
        fail = "UPDATE units SET state = 'failed', error = ?, finished_at = ? WHERE job = ? AND expert = ? AND "
        values = (error, time.time(), task["job"], task["expert"])
        failed = (
            db.execute(fail + "state = 'running'", values).rowcount or db.execute(fail + OPEN_UNIT, values).rowcount
        )
        tally(db, "units", "failed", failed)
        deaths = 0
    db.execute("UPDATE tasks SET deaths = ? WHERE job = ? AND task = ? AND expert = ?", (deaths, *where))
    open_units = f"SELECT 1 FROM units WHERE job = ? AND expert = ? AND {OPEN_UNIT}"
    if TASKS[task["task"]].has_units and db.execute(open_units, (task["job"], task["expert"])).fetchone() is None:
        db.execute("UPDATE tasks SET state = 'ended' WHERE job = ? AND task = ? AND expert = ?", where)
        settle(db, task["job"])
    else:
        db.execute(
            "UPDATE units SET notes = json_insert(notes, '$[#]', 'its worker died; taken up again')"
            " WHERE job = ? AND expert = ? AND state = 'running'",
            (task["job"], task["expert"]),
        )
        requeue(db, *where)


def stop_job(db: sqlite3.Connection, job: str) -> None:
    """Stop a job, and the jobs of a run; claimed tasks end after their batch."""
    db.execute("UPDATE jobs SET cancel_requested = 1, state = 'cancelling' WHERE id = ?", (job,))
    db.execute("UPDATE tasks SET state = 'ended' WHERE job = ? AND state = 'queued'", (job,))
    for child in open_children(db, job):
        stop_job(db, child)
    settle(db, job)


def settle(db: sqlite3.Connection, job: str) -> None:
    """Advance a job without open tasks: verify or end it."""
    cancelled, error = db.execute("SELECT cancel_requested, error FROM jobs WHERE id = ?", (job,)).fetchone()
    if cancelled:
        stopped = db.execute(
            "UPDATE units SET state = 'cancelled', rate = NULL, finished_at = ?, error = ? WHERE job = ? AND"
            f" {OPEN_UNIT} AND expert NOT IN (SELECT expert FROM tasks WHERE job = ? AND state = 'claimed')",
            (time.time(), error, job, job),
        )
        tally(db, "units", "cancelled", stopped.rowcount)
    still_open = db.execute(
        "SELECT state FROM tasks WHERE job = ? AND state IN ('queued', 'claimed') LIMIT 1", (job,)
    ).fetchone()
    if still_open or open_children(db, job):
        return
    if cancelled:
        db.execute("UPDATE tasks SET state = 'ended' WHERE job = ?", (job,))
        cancel_steps(db, job)
        end_job(db, job, JobState.FAILED if error else JobState.CANCELLED)
    else:
        db.execute("UPDATE tasks SET state = 'queued' WHERE job = ? AND state = 'waiting'", (job,))


def end_job(db: sqlite3.Connection, job: str, state: JobState) -> None:
    """Set a final state."""
    db.execute("UPDATE jobs SET state = ?, finished_at = ? WHERE id = ?", (str(state), time.time(), job))
    tally(db, "jobs", str(state))


def tally(db: sqlite3.Connection, name: str, label: str, by: float = 1) -> None:
    """Add to a counter that outlasts deleted jobs."""
    db.execute(
        "INSERT INTO totals (name, label, value) VALUES (?, ?, ?)"
        " ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value",
        (name, label, by),
    )


def read_job(db: sqlite3.Connection, job_id: str) -> Job:
    """Read a job with its units, or raise NotFound."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("job-not-found", f"There is no job {job_id!r}.")
    units = db.execute("SELECT * FROM units WHERE job = ? ORDER BY position", (job_id,)).fetchall()
    return Job(
        id=row["id"],
        state=JobState(row["state"]),
        request=read_request(row["kind"], json.loads(row["request"])),
        units=tuple(read_unit(unit) for unit in units),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        cancel_requested=bool(row["cancel_requested"]),
        verification=JobReport.from_dict(json.loads(row["verification"])) if row["verification"] else None,
        deadline_at=row["deadline_at"],
        error=json.loads(row["error"]) if row["error"] else None,
        traceparent=row["traceparent"],
        outcome=_outcome(row["kind"], row["outcome"]) if row["outcome"] else None,
        steps=read_steps(db, job_id),
    )


# What a unit recorded at its end never changes, and every look at a job reads it.
@lru_cache(maxsize=256)
def _artifact(text: str) -> Artifact:
    return Artifact(**json.loads(text))


@lru_cache(maxsize=256)
def _report(text: str) -> ResultReport:
    return ResultReport.from_dict(json.loads(text))


@lru_cache(maxsize=64)
def _outcome(kind: str, text: str) -> Outcome:
    return read_outcome(kind, json.loads(text))


def read_unit(row: sqlite3.Row) -> Unit:
    """Build a unit from its row."""
    return Unit(
        **{name: row[name] for name in PLAIN_COLUMNS},
        state=UnitState(row["state"]),
        error=json.loads(row["error"]) if row["error"] else None,
        notes=tuple(json.loads(row["notes"])),
        artifact=_artifact(row["artifact"]) if row["artifact"] else None,
        report=_report(row["report"]) if row["report"] else None,
    )
