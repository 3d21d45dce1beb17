"""Who works on the jobs of a store: recorded when they start, buried when they are dead."""

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
        arithmetic: ComputeEnvironment,
        warm: Sequence[str] = (),
    ) -> None:
        """A worker has started and holds its lock.

        Args:
            worker: unique name, never used again; the name of its lock file.
            pid: its process, for people.
            device: what it computes on.
            devices: how many such devices the machine has, so that a supervisor can start as many workers.
            arithmetic: how it computes, so that a plan knows which kept rows it will take.
            warm: the experts that it is about to load.
        """
        loading = [{"expert": expert, "state": "loading", "error": None} for expert in warm]
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO workers (id, pid, device, devices, started_at, arithmetic, warm) VALUES (?,?,?,?,?,?,?)",
                (worker, pid, device, devices, time.time(), json.dumps(asdict(arithmetic)), json.dumps(loading)),
            )

    def record_warm(self, worker: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """What became of the experts that a worker was to load at its start: `expert`, `state`, `error` of each."""
        with self._database.transaction() as db:
            db.execute("UPDATE workers SET warm = ? WHERE id = ?", (json.dumps(list(entries)), worker))

    def workers(self) -> list[dict[str, Any]]:
        """The recorded workers; whether they live, their locks tell."""
        return [dict(row) for row in self._database.connection.execute("SELECT * FROM workers ORDER BY id")]

    def orphaned_claims(self) -> list[str]:
        """Workers that hold tasks, but are on record no more: buried alive, and at work again since."""
        asked = "SELECT DISTINCT worker FROM tasks WHERE state = 'claimed' AND worker NOT IN (SELECT id FROM workers)"
        return [row["worker"] for row in self._database.connection.execute(asked)]

    def reap(self, worker: str) -> list[str]:
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
            looked = any(task["task"] in LIGHT_TASKS for task in tasks)
            for task in tasks:
                reap_task(db, task, blamed=not looked or task["task"] in LIGHT_TASKS)
            db.execute("UPDATE facts SET worker = NULL WHERE worker = ?", (worker,))
            buried = db.execute("DELETE FROM workers WHERE id = ?", (worker,))
            tally(db, "workers", "ended", buried.rowcount)
            return [task["job"] for task in tasks]
