"""Inspections: requested by the API, carried out by a worker, kept with their answers."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import RelogitError
from app.domain.jobs import MAX_DEATHS
from app.store.database import Database
from app.store.inspection_requests.analysis import CausesRequest, EnsembleRequest, StatisticsRequest
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest, PoolRequest, SplitCountsRequest

log = logging.getLogger(__name__)

INSPECTION_REQUESTS: Mapping[str, type[InspectionRequest]] = {
    request.kind: request
    for request in (
        *(PassportRequest, NormalisationRequest, PoolRequest, SplitCountsRequest),
        *(StatisticsRequest, CausesRequest, EnsembleRequest, AuditRequest, GroupsRequest),
    )
}
"""By kind; `worker.inspections.handlers` carries each out."""

KEPT_S = 90 * 24 * 3600.0
"""Older inspections are deleted; a new request repeats them."""
TRANSIENT_KEPT_S = 3600.0
"""An error of the worker rather than of the file is kept for this long; after that a request tries again."""
TRANSIENT_ERRORS = "('worker-died', 'audit-failed')"


@dataclass(frozen=True, slots=True)
class Inspection:
    """A request with its answer, or with the error in its place; with neither while it is open."""

    request: InspectionRequest
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def known(self) -> bool:
        """Whether a worker has answered."""
        return self.answer is not None or self.error is not None


class InspectionStore:
    """Inspections, in the job store's file. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look_up(self, requests: Iterable[InspectionRequest]) -> list[Inspection]:
        """Return the recorded inspection of each request, in order.

        It queues no request.
        """
        db = self._database.connection
        inspections = []
        for request in requests:
            row = db.execute("SELECT answer, error FROM inspections WHERE key = ?", (request.key,)).fetchone()
            answer, error = (row["answer"], row["error"]) if row else (None, None)
            inspections.append(
                Inspection(request, json.loads(answer) if answer else None, json.loads(error) if error else None)
            )
        return inspections

    def submit(self, requests: Iterable[InspectionRequest]) -> None:
        """Queue the requests that are not yet on record."""
        now = time.time()
        rows = [(request.key, request.kind, json.dumps(request.to_dict()), now) for request in requests]
        if not rows:
            return
        with self._database.transaction() as db:
            db.execute("DELETE FROM inspections WHERE asked_at < ?", (now - KEPT_S,))
            transient = f"json_extract(error, '$.code') IN {TRANSIENT_ERRORS}"
            db.execute(f"DELETE FROM inspections WHERE {transient} AND asked_at < ?", (now - TRANSIENT_KEPT_S,))
            db.executemany(
                "INSERT INTO inspections (key, kind, request, asked_at) VALUES (?,?,?,?)"
                " ON CONFLICT (key) DO NOTHING",
                rows,
            )

    def claim(self, worker: str) -> InspectionRequest | None:
        """Claim the oldest open request that no worker holds.

        A request over which `MAX_DEATHS` workers died gets that as its error.
        """
        is_open = "answer IS NULL AND error IS NULL AND worker IS NULL"
        died = RelogitError("worker-died", f"{MAX_DEATHS} workers died while they were looking at this file.")
        if self._database.connection.execute(f"SELECT 1 FROM inspections WHERE {is_open}").fetchone() is None:
            return None
        with self._database.transaction() as db:
            db.execute(
                f"UPDATE inspections SET error = ? WHERE {is_open} AND attempts >= ?",
                (json.dumps(died.to_dict()), MAX_DEATHS),
            )
            while True:
                row = db.execute(
                    "UPDATE inspections SET worker = ?, attempts = attempts + 1 WHERE key = ("
                    f" SELECT key FROM inspections WHERE {is_open} ORDER BY asked_at LIMIT 1)"
                    " RETURNING key, kind, request",
                    (worker,),
                ).fetchone()
                if row is None:
                    return None
                request = _read(row)
                if request is not None:
                    return request
                db.execute("DELETE FROM inspections WHERE key = ?", (row["key"],))

    def forget_files(self, digests: Collection[str]) -> None:
        """Delete the analyses of removed logit files, by sha256."""
        if not digests:
            return
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM inspections WHERE kind IN (?, ?)"
                " AND json_extract(request, '$.sha256') IN (SELECT value FROM json_each(?))",
                (StatisticsRequest.kind, CausesRequest.kind, json.dumps(list(digests))),
            )
            db.execute(
                "DELETE FROM inspections WHERE kind = ? AND EXISTS ("
                " SELECT 1 FROM json_each(request, '$.sha256s') AS file"
                " WHERE file.value IN (SELECT value FROM json_each(?)))",
                (EnsembleRequest.kind, json.dumps(list(digests))),
            )

    def forget(self, request: InspectionRequest) -> None:
        """Delete a request, which can then be submitted again."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM inspections WHERE key = ?", (request.key,))

    def record(self, request: InspectionRequest, result: dict[str, Any] | RelogitError) -> None:
        """Record an answer or error; delete those it replaces."""
        error = json.dumps(result.to_dict()) if isinstance(result, RelogitError) else None
        answer = None if isinstance(result, RelogitError) else json.dumps(result)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO inspections (key, kind, request, answer, error, asked_at) VALUES (?,?,?,?,?,?)"
                " ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, error = excluded.error",
                (request.key, request.kind, json.dumps(request.to_dict()), answer, error, time.time()),
            )
            _delete_replaced(db, request)


def _read(row: sqlite3.Row) -> InspectionRequest | None:
    """Read a stored request; None if another version wrote it.

    This version would look for it under another key.
    """
    try:
        request = INSPECTION_REQUESTS[row["kind"]].from_dict(json.loads(row["request"]))
    except (KeyError, ValueError) as error:
        log.warning("an inspection of kind %r cannot be read and is deleted: %s", row["kind"], error)
        return None
    return request if request.key == row["key"] else None


def _delete_replaced(db: sqlite3.Connection, request: InspectionRequest) -> None:
    # Nothing asks about lists that were replaced since: their inspections would pile up.
    if not request.replaces:
        return
    fields = [f"$.{path}" for path in request.replaces]
    same = " AND ".join("json_extract(request, ?) IS json_extract(?, ?)" for _ in fields)
    own = json.dumps(request.to_dict())
    values = [value for field in fields for value in (field, own, field)]
    db.execute(
        "DELETE FROM inspections WHERE kind = ? AND key != ? AND (answer IS NOT NULL OR error IS NOT NULL)"
        f" AND {same}",
        (request.kind, request.key, *values),
    )
