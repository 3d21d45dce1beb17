"""The workers on record: added when they start, reaped when they are dead."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.domain.job_kinds import LIGHT_TASKS
from app.domain.numerics import ComputeEnvironment
from app.store.database import Database
from app.store.transitions import reap_task, tally


class Workers:
    """The workers' part of a `JobStore`. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_worker(
        self,
        worker: str,
        *,
        pid: int,
        device: str,
        devices: int,
        environment: ComputeEnvironment,
        warm_start: Sequence[str] = (),
    ) -> None:
        """Record a started worker that holds its lock.

        Args:
            worker: unique name, never used again; also the name of its lock file.
            pid: its process, for people.
            device: what it computes on.
            devices: how many such devices the machine has; a supervisor starts as many workers.
            environment: how it computes.
            warm_start: the experts that it is about to load.
        """
        loading = [{"expert": expert, "state": "loading", "error": None} for expert in warm_start]
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO workers (id, pid, device, devices, started_at, environment, warm)"
                " VALUES (?,?,?,?,?,?,?)",
                (worker, pid, device, devices, time.time(), json.dumps(asdict(environment)), json.dumps(loading)),
            )

    def record_warm_start(self, worker: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Record each warm-start expert's `expert`, `state` and `error`."""
        with self._database.transaction() as db:
            db.execute("UPDATE workers SET warm = ? WHERE id = ?", (json.dumps(list(entries)), worker))

    def workers(self) -> list[dict[str, Any]]:
        """Return the recorded workers.

        Only their locks tell whether they live.
        """
        return [dict(row) for row in self._database.connection.execute("SELECT * FROM workers ORDER BY id")]

    def orphaned_claims(self) -> list[str]:
        """Return reaped workers that hold claims.

        They were reaped while they hung, then woke up and claimed again.
        """
        query = "SELECT DISTINCT worker FROM tasks WHERE state = 'claimed' AND worker NOT IN (SELECT id FROM workers)"
        return [row["worker"] for row in self._database.connection.execute(query)]

    def reap(self, worker: str) -> list[str]:
        """Remove a dead worker and free its tasks.

        Its death counts against the units it was running; a unit that kills its workers fails at the `MAX_DEATHS`th.
        Returns the ids of the tasks' jobs.
        """
        with self._database.transaction() as db:
            tasks = db.execute(
                "SELECT job, task, expert, deaths FROM tasks WHERE worker = ? AND state = 'claimed'",
                (worker,),
            ).fetchall()
            # A light task takes a moment and computing takes long: if a worker died over both, the light one is the
            # more likely cause, and it alone is blamed. So it cannot fail the unit beside it.
            had_light_task = any(task["task"] in LIGHT_TASKS for task in tasks)
            for task in tasks:
                reap_task(db, task, blamed=not had_light_task or task["task"] in LIGHT_TASKS)
            db.execute("UPDATE inspections SET worker = NULL WHERE worker = ?", (worker,))
            deleted = db.execute("DELETE FROM workers WHERE id = ?", (worker,))
            tally(db, "workers", "ended", deleted.rowcount)
            return [task["job"] for task in tasks]
