"""The service's side of runs: which are open, and what becomes of their steps.

A run is a job without tasks; its steps are jobs of their own. Each change of a step is one transaction with the
submission of its jobs, so a crash between two steps neither loses nor repeats one.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.jobs import Job, JobOptions, JobState, UnitPlan
from app.domain.requests import Request
from app.domain.run_requests import RunStep
from app.store import transitions
from app.store.database import Database
from app.store.run_steps import cancel_steps, read_steps, set_step

EARLIER = 20
"""Newest jobs that are taken into account as earlier results."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that is to be recorded."""

    request: Request
    units: Sequence[UnitPlan] = ()


class RunStore:
    """Open runs and their steps. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_runs(self) -> list[str]:
        """List the ids of runs that have not ended, the oldest first."""
        query = "SELECT id FROM jobs WHERE kind = 'run' AND finished_at IS NULL ORDER BY seq"
        return [row["id"] for row in self._database.connection.execute(query).fetchall()]

    def succeeded(self, kind: str, fields: Mapping[str, str], limit: int = EARLIER) -> list[Job]:
        """Return the newest jobs that succeeded with these fields in their request."""
        where = "".join(" AND json_extract(request, ?) = ?" for _ in fields)
        values = [value for name, wanted in fields.items() for value in (f"$.{name}", wanted)]
        query = f"SELECT id FROM jobs WHERE kind = ? AND state = 'succeeded'{where} ORDER BY seq DESC LIMIT ?"
        with self._database.snapshot() as db:
            rows = db.execute(query, (kind, *values, limit)).fetchall()
            return [transitions.read_job(db, row["id"]) for row in rows]

    def submit_step(self, run: str, step: RunStep, jobs: Sequence[str | Submission], terms: JobOptions) -> bool:
        """Record the new jobs of a waiting step, with the step.

        `jobs` are in order; ids are those of earlier jobs. False if the run was stopped, or another process was
        faster: nothing is recorded then.
        """
        with self._database.transaction() as db:
            now = next((item for item in read_steps(db, run) if item.step == step.step), None)
            if now is None or now.state != "waiting" or not _goes_on(db, run):
                return False
            children = tuple(
                job if isinstance(job, str) else transitions.insert_job(db, job.request, job.units, terms).id
                for job in jobs
            )
            _begin(db, run)
            return set_step(db, run, replace(step, state="running", jobs=children))

    def record_step(self, run: str, step: RunStep) -> bool:
        """Record how a step ended; a failure ends the run, and so does the last step.

        False if the run was stopped, or the step has ended: nothing is recorded then.
        """
        with self._database.transaction() as db:
            if not _goes_on(db, run):
                return False
            _begin(db, run)
            if not set_step(db, run, step):
                return False
            if step.state in ("failed", "cancelled"):
                cancel_steps(db, run)
                _end(db, run, step)
            elif all(item.done for item in read_steps(db, run)):
                transitions.end_job(db, run, JobState.SUCCEEDED)
            return True

    def settle(self, run: str) -> None:
        """End a stopped run once its jobs have ended."""
        with self._database.transaction() as db:
            job = transitions.read_job(db, run)
            if job.cancel_requested and not job.state.ended:
                transitions.settle(db, run)


def _goes_on(db: sqlite3.Connection, run: str) -> bool:
    """Tell whether a run is there, open and not stopped."""
    query = "SELECT 1 FROM jobs WHERE id = ? AND finished_at IS NULL AND NOT cancel_requested"
    return db.execute(query, (run,)).fetchone() is not None


def _begin(db: sqlite3.Connection, run: str) -> None:
    db.execute(
        "UPDATE jobs SET state = 'running', started_at = coalesce(started_at, ?) WHERE id = ? AND state = 'queued'",
        (time.time(), run),
    )


def _end(db: sqlite3.Connection, run: str, step: RunStep) -> None:
    if step.state == "cancelled":
        transitions.end_job(db, run, JobState.CANCELLED)
        return
    cause: Mapping[str, Any] = step.error or {}
    error = {
        "code": cause.get("code", "step-failed"),
        "message": f"The step {step.step!r} failed: {cause.get('message', 'no reason is on record')}",
        "details": {"step": step.step},
    }
    db.execute("UPDATE jobs SET error = ? WHERE id = ?", (json.dumps(error), run))
    transitions.end_job(db, run, JobState.FAILED)
