"""What only a worker can find out: asked by the API, answered by a worker, kept until its grounds change.

A fact's key covers all that it depends on (the file's size and time, the declaration in `datasets.toml`), so
an answer never goes stale: something else is another key.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.errors import RelogitError
from app.domain.jobs import MAX_DEATHS
from app.store.database import Database

InspectionKind = Literal[
    "passport", "split", "pool", "rate", "statistics", "causes", "audit", "groups", "normalisation"
]

KEPT_S = 90 * 24 * 3600.0
"""Facts that were found out longer ago are forgotten; whoever wants them asks again."""
PASSING_KEPT_S = 3600.0
"""That workers died over a question, or met a bug, may have been bad luck: after so long it may be asked again."""
OF_SPLITS = ("split", "audit", "groups")
"""Kinds of facts about index lists as they are now."""


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """What is asked, with everything that the answer depends on."""

    kind: InspectionKind
    about: Mapping[str, Any]

    @property
    def key(self) -> str:
        """sha256 over kind and grounds; where a file lies is none, where its content is one."""
        grounds = {name: value for name, value in self.about.items() if name != "path"}
        text = json.dumps([self.kind, grounds], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Inspection:
    """A question with its answer, or with the error that is the answer; with neither while it is open."""

    question: InspectionRequest
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def known(self) -> bool:
        """Whether a worker has answered."""
        return self.answer is not None or self.error is not None


class InspectionStore:
    """Questions and answers, in the job store's file. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look_up(self, questions: Iterable[InspectionRequest]) -> list[Inspection]:
        """What is known, in the order asked, without asking a worker."""
        db = self._database.connection
        inspections = []
        for question in questions:
            row = db.execute("SELECT answer, error FROM facts WHERE key = ?", (question.key,)).fetchone()
            answer, error = (row["answer"], row["error"]) if row else (None, None)
            inspections.append(
                Inspection(question, json.loads(answer) if answer else None, json.loads(error) if error else None)
            )
        return inspections

    def ask(self, questions: Iterable[InspectionRequest]) -> None:
        """Leave questions for a worker; those already asked stay as they are."""
        now = time.time()
        rows = [(q.key, q.kind, json.dumps(dict(q.about)), now) for q in questions]
        if not rows:
            return
        with self._database.transaction() as db:
            db.execute("DELETE FROM facts WHERE asked_at < ?", (now - KEPT_S,))
            passing = "json_extract(error, '$.code') IN ('worker-died', 'audit-failed')"
            db.execute(f"DELETE FROM facts WHERE {passing} AND asked_at < ?", (now - PASSING_KEPT_S,))
            db.executemany(
                "INSERT INTO facts (key, kind, question, asked_at) VALUES (?,?,?,?) ON CONFLICT (key) DO NOTHING",
                rows,
            )

    def next_open(self, worker: str) -> InspectionRequest | None:
        """Take the oldest question that has no answer and that no living worker is at.

        One over which workers died as often as over a unit gets that as its answer.
        """
        open_ = "answer IS NULL AND error IS NULL AND worker IS NULL"
        died = RelogitError("worker-died", f"{MAX_DEATHS} workers died while they were looking at this file.")
        if self._database.connection.execute(f"SELECT 1 FROM facts WHERE {open_}").fetchone() is None:
            return None
        with self._database.transaction() as db:
            db.execute(
                f"UPDATE facts SET error = ? WHERE {open_} AND attempts >= ?",
                (json.dumps(died.to_dict()), MAX_DEATHS),
            )
            row = db.execute(
                "UPDATE facts SET worker = ?, attempts = attempts + 1 WHERE key = ("
                f" SELECT key FROM facts WHERE {open_} ORDER BY asked_at LIMIT 1) RETURNING kind, question",
                (worker,),
            ).fetchone()
            return InspectionRequest(row["kind"], json.loads(row["question"])) if row else None

    def forget_files(self, digests: Collection[str]) -> None:
        """What was found out about files of logits, by their sha256, that are gone: nobody will ask again."""
        if not digests:
            return
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM facts WHERE kind IN ('statistics', 'causes')"
                " AND json_extract(question, '$.sha256') IN (SELECT value FROM json_each(?))",
                (json.dumps(list(digests)),),
            )

    def forget(self, question: InspectionRequest) -> None:
        """There is no answer that would still be true tomorrow: whoever wants one asks again."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM facts WHERE key = ?", (question.key,))

    def record(self, question: InspectionRequest, result: dict[str, Any] | RelogitError) -> None:
        """Keep the answer, or the error that is the answer."""
        failed = isinstance(result, RelogitError)
        named = {name: question.about.get(name) for name in ("splits_dir", "split", "pictures", "head_threshold")}
        text = json.dumps(result.to_dict() if isinstance(result, RelogitError) else result)
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO facts (key, kind, question, answer, error, asked_at) VALUES (?,?,?,?,?,?)"
                " ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, error = excluded.error",
                (question.key, question.kind, json.dumps(dict(question.about)),
                 None if failed else text, text if failed else None, time.time()),
            )  # fmt: skip
            if question.kind in OF_SPLITS and "dataset" in question.about:
                # What was so of lists that have been replaced since, nobody asks again: they would pile up.
                same = " AND ".join(f"json_extract(question, '$.{name}') IS ?" for name in named)
                db.execute(
                    "DELETE FROM facts WHERE kind = ? AND key != ? AND (answer IS NOT NULL OR error IS NOT NULL)"
                    f" AND json_extract(question, '$.dataset.root') IS ? AND {same}",
                    (question.kind, question.key, question.about["dataset"]["root"], *named.values()),
                )
