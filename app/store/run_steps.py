"""Rows of `run_steps`: functions that run inside one transaction."""

from __future__ import annotations

import json
import sqlite3

from app.domain.run_requests import RunRequest, RunStep

OPEN_STEP = "state IN ('waiting', 'running')"


def insert_steps(db: sqlite3.Connection, run: str, request: RunRequest) -> None:
    """Insert the steps of a new run."""
    db.executemany(
        "INSERT INTO run_steps (job, position, step) VALUES (?,?,?)",
        [(run, position, step) for position, step in enumerate(request.steps)],
    )


def read_steps(db: sqlite3.Connection, run: str) -> tuple[RunStep, ...]:
    """Read the steps of a run, in order; none for other jobs."""
    rows = db.execute("SELECT * FROM run_steps WHERE job = ? ORDER BY position", (run,)).fetchall()
    return tuple(
        RunStep(
            row["step"],
            row["state"],
            tuple(json.loads(row["children"])),
            row["reason"],
            json.loads(row["error"]) if row["error"] else None,
        )
        for row in rows
    )


def set_step(db: sqlite3.Connection, run: str, step: RunStep) -> bool:
    """Replace an open step of a run; False if it is not open any more."""
    error = None if step.error is None else json.dumps(step.error)
    changed = db.execute(
        "UPDATE run_steps SET state = ?, children = ?, reason = ?, error = ?"
        f" WHERE job = ? AND step = ? AND {OPEN_STEP}",
        (step.state, json.dumps(step.jobs), step.reason, error, run, step.step),
    )
    return changed.rowcount == 1


def cancel_steps(db: sqlite3.Connection, run: str) -> None:
    """Cancel the steps of a run that have not ended."""
    db.execute(f"UPDATE run_steps SET state = 'cancelled' WHERE job = ? AND {OPEN_STEP}", (run,))


def open_children(db: sqlite3.Connection, run: str) -> list[str]:
    """List the jobs of a run that have not ended; none for other jobs."""
    rows = db.execute(
        "SELECT jobs.id FROM run_steps, json_each(run_steps.children) AS child JOIN jobs ON jobs.id = child.value"
        " WHERE run_steps.job = ? AND jobs.finished_at IS NULL",
        (run,),
    )
    return [row["id"] for row in rows.fetchall()]
