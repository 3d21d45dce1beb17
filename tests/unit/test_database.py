"""The file that the job store lies in: kept, checked when it is opened, closed when it is done with."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from app.domain.errors import FatalError
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.schema import SCHEMA_VERSION
from tests.fakes import finish, refused, submit, take


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
            "INSERT INTO inspections (key, kind, request, asked_at) VALUES ('key', 'split', ?, 1.0)", ("x" * 100_000,)
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
