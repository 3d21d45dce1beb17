"""The newest recompute jobs as the matrix needs them: read without their manifests and reports, which are large."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from app.domain.jobs import UnitState
from app.store.database import Database

SETTING = ("dataset", "splits_dir", "experts_dir", "checkpoint_prefix", "output_dir")
"""Fields of a recompute request that say which files it is about."""
_FIELDS = ", ".join(f"json_extract(request, '$.{name}')" for name in SETTING)
_NEWEST = "SELECT id, seq, request FROM jobs WHERE kind = 'recompute' ORDER BY seq DESC LIMIT ?"
_OPEN = "SELECT id, seq, request FROM jobs WHERE kind = 'recompute' AND finished_at IS NULL"


@dataclass(frozen=True, slots=True)
class UnitTry:
    """The newest unit of an (expert, split) that was not cancelled."""

    job: str
    """Id of its job."""
    state: UnitState
    done: int
    total: int
    error: dict[str, Any] | None


class UnitTries:
    """Reads recompute jobs from the store. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settings(self, limit: int) -> list[tuple[str, ...]]:
        """Return the fields of `SETTING` of the newest jobs, each combination once, the newest first."""
        with self._database.snapshot() as db:
            rows = db.execute(f"SELECT {_FIELDS} FROM ({_NEWEST})", (limit,)).fetchall()
        return list(dict.fromkeys(tuple(row) for row in rows))

    def newest(self, dataset: str, output_dir: str, limit: int) -> dict[tuple[str, str], UnitTry]:
        """Return the newest unit of each (expert, split), of the newest jobs and of all open ones."""
        own = "json_extract(request, '$.dataset') = ? AND json_extract(request, '$.output_dir') = ?"
        query = (
            "SELECT u.job, u.expert, u.split, u.state, u.done, u.total, u.error FROM"
            f" (SELECT id, seq FROM (SELECT * FROM ({_NEWEST}) UNION {_OPEN}) WHERE {own}) j"
            " JOIN units u ON u.job = j.id WHERE u.state != 'cancelled' ORDER BY j.seq DESC"
        )
        with self._database.snapshot() as db:
            rows = db.execute(query, (limit, dataset, output_dir)).fetchall()
        tries: dict[tuple[str, str], UnitTry] = {}
        for row in rows:
            error = json.loads(row["error"]) if row["error"] else None
            a_try = UnitTry(row["job"], UnitState(row["state"]), row["done"], row["total"], error)
            tries.setdefault((row["expert"], row["split"]), a_try)
        return tries
