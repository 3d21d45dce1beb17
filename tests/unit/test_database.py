"""The file that the job store lies in: kept, checked when it is opened, closed when it is done with."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from pathlib import Path

import pytest

from app.domain.errors import FatalError
from app.store.database import SCHEMA, SCHEMA_VERSION, Database
from app.store.jobs import JobStore
from tests.fakes import finish, job_request, refused, submit, take


def test_a_store_survives_its_process(tmp_path: Path) -> None:
    """What was there before is there after re-opening, word for word, and the queue goes on."""
    path = tmp_path / "deep" / "jobs.sqlite3"
    database = Database(path)
    submit(JobStore(database), ["ce"], ["val"])
    finish(JobStore(database), take(JobStore(database)))
    before = JobStore(database).jobs()
    database.close()
    again = Database(path)
    assert JobStore(again).jobs() == before
    assert take(JobStore(again)).task == "verify"
    again.close()


def test_a_store_of_a_newer_relogit_is_left_alone(tmp_path: Path) -> None:
    """The message names both schemas and the two ways out."""
    path = tmp_path / "jobs.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with refused("store-too-new", f"schema {SCHEMA_VERSION + 1}", "Update relogit", "RELOGIT_OUTPUTS_DIR"):
        Database(path)


def _make_store_of_schema_2(path: Path) -> None:
    """What relogit 0.1 left: a job with one unit that is done and one that is not, and a worker."""
    schema = SCHEMA.replace("    started_at REAL NOT NULL,\n    warm", "    started_at REAL NOT NULL\n    warm")
    schema = re.sub(r"CREATE TABLE IF NOT EXISTS totals .*?;", ";", schema, flags=re.DOTALL)
    unknown = ("reused ", "computed ", "kind TEXT NOT NULL DEFAULT", "deadline_at REAL", "error TEXT,  -- why",
               "traceparent ", "attempts INTEGER NOT NULL DEFAULT 0,  -- how often", "warm ", "arithmetic ",
               "CREATE INDEX IF NOT EXISTS jobs_deadline")  # fmt: skip
    schema = "\n".join(line for line in schema.splitlines() if not line.lstrip().startswith(unknown))
    newer = ("precision", "reuse", "standards")
    old = {name: value for name, value in job_request().to_dict().items() if name not in newer}
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(schema)
    connection.execute("PRAGMA user_version = 2")
    connection.execute("INSERT INTO store (id, created_at) VALUES (1, 1.0)")
    connection.execute("INSERT INTO jobs (id, state, request, created_at) VALUES ('j', 'running', ?, 1.0)",
                       (json.dumps(old),))  # fmt: skip
    for position, (split, state, done) in enumerate([("val", "succeeded", 8), ("test", "queued", 0)]):
        connection.execute(
            "INSERT INTO units (job, position, expert, split, state, total, split_sha256, done)"
            " VALUES ('j', ?, 'ce', ?, ?, 8, 's', ?)",
            (position, split, state, done),
        )
    connection.execute("INSERT INTO workers VALUES ('w', 1, 'cpu', 1, 1.0)")
    connection.close()


def test_a_store_of_the_last_relogit_is_taken_over(tmp_path: Path) -> None:
    """Its jobs and workers stay; what was done counts as computed, and old requests as exact and with reuse."""
    _make_store_of_schema_2(tmp_path / "jobs.sqlite3")
    for _ in range(2):  # opened again, it is of the new schema
        database = Database(tmp_path / "jobs.sqlite3")
        assert database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        job = JobStore(database).get("j")
        assert [(u.split, u.done, u.reused, u.computed) for u in job.units] == [("val", 8, 0, 8), ("test", 0, 0, 0)]
        assert (job.recompute.precision, job.recompute.reuse) == ("fp32", True)
        assert [(w["id"], w["arithmetic"]) for w in JobStore(database).workers()] == [("w", "{}")]
        database.close()


def test_a_store_that_was_taken_over_is_like_a_new_one(tmp_path: Path) -> None:
    """The same columns, of the same kinds, with the same defaults; their order aside."""
    _make_store_of_schema_2(tmp_path / "old.sqlite3")
    shapes = []
    for name in ("old", "new"):
        database = Database(tmp_path / f"{name}.sqlite3")
        run = database.connection.execute
        tables = [row["name"] for row in run("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        shapes.append({t: sorted(tuple(row)[1:] for row in run(f"PRAGMA table_info({t})")) for t in tables})
        database.close()
    assert shapes[0] == shapes[1]
    assert {"reused", "computed", "attempts"} <= {column[0] for column in shapes[0]["units"]}
    assert {"kind", "deadline_at"} <= {column[0] for column in shapes[0]["jobs"]}
    assert "totals" in shapes[0]


def test_a_store_from_before_the_first_release_is_left_alone(tmp_path: Path) -> None:
    """There is no way from schema 1 to this one."""
    connection = sqlite3.connect(tmp_path / "jobs.sqlite3")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with refused("store-too-old", "Move it away"):
        Database(tmp_path / "jobs.sqlite3")


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    """Somebody's own file of that name is neither read as a store nor written over."""
    path = tmp_path / "jobs.sqlite3"
    path.write_bytes(b"these are notes, not a database. " * 100)
    with refused("store-unusable", str(path)):
        Database(path)
    assert path.read_bytes() == b"these are notes, not a database. " * 100


def _delete_and_stumble(database: Database) -> None:
    with database.transaction() as db:
        db.execute("DELETE FROM jobs")
        db.execute("DELETE FROM no_such_table")


def test_a_failed_transaction_changes_nothing(database: Database, store: JobStore) -> None:
    """And the connection can be used again."""
    submit(store)
    before = store.jobs()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        _delete_and_stumble(database)
    assert store.jobs() == before


def test_an_outputs_directory_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    """A file where the folder should be, or no right to write."""
    (tmp_path / "outputs").touch()
    with pytest.raises(FatalError):
        Database(tmp_path / "outputs" / ".relogit" / "jobs.sqlite3")


def test_a_full_disk_is_reported_as_such(database: Database) -> None:
    """SQLite has rolled back by itself then; the first error must come through."""
    pages = database.connection.execute("PRAGMA page_count").fetchone()[0]
    database.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"), database.transaction() as db:
        db.execute(
            "INSERT INTO facts (key, kind, question, asked_at) VALUES ('key', 'split', ?, 1.0)", ("x" * 100_000,)
        )


def test_ended_threads_leave_no_open_files(tmp_path: Path) -> None:
    """The API's threads come and go all day."""
    database = Database(tmp_path / "jobs.sqlite3")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(8):
        thread = threading.Thread(target=database.version)
        thread.start()
        thread.join()
    after = len(list(Path("/dev/fd").iterdir()))
    database.close()
    assert after <= before + 4


def test_only_what_was_answered_waits_for_the_disk(tmp_path: Path) -> None:
    """The API's commits last through a loss of power; a worker's may be lost, and are then made again."""
    for durable, level in ((True, 2), (False, 1)):  # SQLite's numbers of FULL and NORMAL
        database = Database(tmp_path / "jobs.sqlite3", durable=durable)
        assert database.connection.execute("PRAGMA synchronous").fetchone()[0] == level
        database.close()


def test_a_fresh_store_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """API and worker start together, as compose does; who comes second waits for the first one's lock."""
    path = tmp_path / "jobs.sqlite3"
    first = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    first.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.05, first.rollback)
    release.start()
    try:
        Database(path).close()
    finally:
        release.join()
        first.close()
