"""The SQLite file behind the job store: schema, connections, transactions."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.domain.errors import FatalError
from app.domain.fault_points import reach

SCHEMA_VERSION = 5
BUSY_TIMEOUT_S = 30.0
CACHE_KIB = 512
LONG_LOG, LONGEST_LOG = 1000, 16000
"""Pages of 4 KiB in the write-ahead log."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL DEFAULT 'recompute',
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    deadline_at REAL,  -- by then it has to have ended
    error TEXT,  -- why it was stopped, unless somebody cancelled it
    traceparent TEXT,  -- of the request that it came with (W3C Trace Context)
    verification TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_deadline ON jobs (deadline_at) WHERE deadline_at IS NOT NULL AND finished_at IS NULL;
CREATE TABLE IF NOT EXISTS units (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    expert TEXT NOT NULL,
    split TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    total INTEGER NOT NULL,
    split_sha256 TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    reused INTEGER NOT NULL DEFAULT 0,
    computed INTEGER NOT NULL DEFAULT 0,
    rate REAL,
    error TEXT,
    notes TEXT NOT NULL DEFAULT '[]',
    artifact_sha256 TEXT,
    artifact TEXT,
    report TEXT,
    started_at REAL,
    finished_at REAL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- how often a worker began with it
    PRIMARY KEY (job, expert, split)
) STRICT;
CREATE INDEX IF NOT EXISTS units_artifact ON units (artifact_sha256);
-- What workers claim: one row for each expert of a job, and one (expert '') for the job's verification, or for the
-- check of a verification's files.
CREATE TABLE IF NOT EXISTS tasks (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task TEXT NOT NULL,
    expert TEXT NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,  -- waiting (verify, until all units ended), queued, claimed, ended
    worker TEXT,
    token INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, task, expert)
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_open ON tasks (state) WHERE state IN ('queued', 'claimed');
CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    device TEXT NOT NULL,
    devices INTEGER NOT NULL,
    started_at REAL NOT NULL,
    warm TEXT NOT NULL DEFAULT '[]',  -- what became of the experts that it was to load at its start
    arithmetic TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE IF NOT EXISTS store (id INTEGER PRIMARY KEY, created_at REAL NOT NULL, probed_at REAL) STRICT;
-- Sums over all that ever happened here; they only grow, whichever jobs are deleted.
CREATE TABLE IF NOT EXISTS totals (
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, label)
) STRICT;
-- What only a worker can find out (passports, label counts), kept under a key of everything it depends on.
CREATE TABLE IF NOT EXISTS facts (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT,
    error TEXT,
    asked_at REAL NOT NULL,
    worker TEXT,  -- who is finding out
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS facts_open ON facts (asked_at) WHERE answer IS NULL AND error IS NULL;
"""

MIGRATIONS = {
    # From the schema of that number to the next one.
    2: (
        "ALTER TABLE units ADD COLUMN reused INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE units ADD COLUMN computed INTEGER NOT NULL DEFAULT 0",
        "UPDATE units SET computed = done",
        "ALTER TABLE workers ADD COLUMN arithmetic TEXT NOT NULL DEFAULT '{}'",
    ),
    3: ("ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'recompute'",),
    4: (
        "ALTER TABLE jobs ADD COLUMN deadline_at REAL",
        "ALTER TABLE jobs ADD COLUMN error TEXT",
        "ALTER TABLE jobs ADD COLUMN traceparent TEXT",
        "CREATE INDEX jobs_deadline ON jobs (deadline_at) WHERE deadline_at IS NOT NULL AND finished_at IS NULL",
        "ALTER TABLE units ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE workers ADD COLUMN warm TEXT NOT NULL DEFAULT '[]'",
        "CREATE TABLE totals (name TEXT NOT NULL, label TEXT NOT NULL, value REAL NOT NULL,"
        " PRIMARY KEY (name, label)) STRICT",
    ),
}


class Database:
    """One SQLite file, opened once a thread. Lives as long as its process; close() ends every connection.

    Args:
        path: of the file; None for one in memory, which all threads of this process see until close(). Nothing is
            written to disk, and readers and a writer wait for each other, as there is no log.
        durable: whether a commit waits for the disk. What was answered to somebody must last through a loss of
            power. What a worker records need not: the store then is as it was a moment before, whole, the worker
            is dead as well, and what it had done is done again, to the same bytes. A commit that waits takes
            those before it along.

    Raises:
        FatalError: the file is from a newer relogit, or is no store at all.
    """

    def __init__(self, path: Path | None, *, durable: bool = True) -> None:
        self.path = path or Path("/", uuid.uuid4().hex)
        self._in_memory = path is None
        self._durable = durable
        self._local = threading.local()
        self._opened: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._guard = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._create()
        except (sqlite3.DatabaseError, OSError) as error:
            raise FatalError(
                "store-unusable",
                f"The job store {self.path} cannot be used: {error}. Is RELOGIT_OUTPUTS_DIR a folder that this user "
                "can write to? If the file itself is damaged, move it away: a new one is made, and results stay.",
            ) from error

    def _create(self) -> None:
        with self.transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise FatalError(
                    "store-too-new",
                    f"The job store {self.path} was written by a newer relogit (schema {version}, this one knows "
                    f"{SCHEMA_VERSION}). Update relogit, or point RELOGIT_OUTPUTS_DIR elsewhere.",
                )
            if 0 < version < min(MIGRATIONS):
                raise FatalError(
                    "store-too-old",
                    f"The job store {self.path} is of a relogit from before its first release. Move it away: "
                    "a new one is made, and the results under outputs stay.",
                )
            if version == 0:
                for statement in SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute("INSERT INTO store (id, created_at) VALUES (1, ?)", (time.time(),))
            else:
                for number in range(version, SCHEMA_VERSION):
                    for statement in MIGRATIONS[number]:
                        db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's own connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"file:{self.path}?vfs=memdb" if self._in_memory else self.path,  # a shared cache's locks do not wait
                uri=self._in_memory,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.row_factory = sqlite3.Row
            _use_wal(connection)
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            # Moving the log into the file takes several waits for the disk, and falls to whoever commits when it is
            # long: to a worker, as long as there is one.
            connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST_LOG if self._durable else LONG_LOG}")
            connection.execute("PRAGMA foreign_keys = ON")
            # For each thread's connection; the system keeps the file's pages in memory as well.
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._local.connection = connection
            self._remember(connection)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, taken at once (IMMEDIATE), so that it never fails half-way for being busy."""
        db = self.connection
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            reach("commit.before")
            db.execute("COMMIT")
            reach("commit.after")
        except BaseException:
            if db.in_transaction:  # a full disk makes SQLite roll back by itself
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: several queries that see one state."""
        db = self.connection
        db.execute("BEGIN")
        try:
            yield db
        finally:
            if db.in_transaction:
                db.execute("COMMIT")

    def probe(self) -> None:
        """Write something for good.

        Raises:
            sqlite3.Error: the store cannot be written, for want of space, say.
        """
        with self.transaction() as db:
            db.execute("UPDATE store SET probed_at = ?", (time.time(),))

    def version(self) -> int:
        """A number that moves when another connection has committed something. Costs microseconds."""
        row: sqlite3.Row = self.connection.execute("PRAGMA data_version").fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close every thread's connection."""
        with self._guard:
            for _, connection in self._opened:
                connection.close()
            self._opened.clear()
        self._local = threading.local()

    def _remember(self, connection: sqlite3.Connection) -> None:
        # The API's threads come and go; each would leave an open file behind.
        with self._guard:
            for thread, idle in self._opened:
                if not thread.is_alive():
                    idle.close()
            self._opened = [(thread, kept) for thread, kept in self._opened if thread.is_alive()]
            self._opened.append((threading.current_thread(), connection))


def _use_wal(connection: sqlite3.Connection) -> None:
    # This one statement does not wait for a busy file by itself, and API and worker may start at once.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
