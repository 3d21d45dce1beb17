"""The SQLite file behind the job store: opening, migration, connections, transactions."""

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
from app.store.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION

BUSY_TIMEOUT_S = 30.0
CACHE_KIB = 512
LONG_LOG, LONGEST_LOG = 1000, 16000
"""Pages of 4 KiB in the write-ahead log, from which a commit moves them into the file: of workers, of the API."""


class Database:
    """One SQLite file with a connection for each thread. Lives as long as its process; close() ends them all.

    Args:
        path: of the file; None for a store in memory, which all threads of this process share until close(). It has
            no log, so readers and a writer wait for each other.
        durable: whether a commit waits for the disk. The API's do: what it has answered must survive a loss of
            power. A worker's need not: the store then is whole, but as it was a moment earlier, the worker is dead
            as well, and its work is repeated, to the same bytes. A commit that waits also saves those before it.

    Raises:
        FatalError: the file is from a newer relogit, or is not a store.
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
            # Moving the log into the file waits for the disk several times and delays the commit that does it. The
            # limits differ so that it is a worker's, as long as there is a worker.
            connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST_LOG if self._durable else LONG_LOG}")
            connection.execute("PRAGMA foreign_keys = ON")
            # Each thread has a connection with a cache, and the system caches the file as well.
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._local.connection = connection
            # The API's threads come and go, and each would leave an open file.
            with self._guard:
                for thread, idle in self._opened:
                    if not thread.is_alive():
                        idle.close()
                self._opened = [(thread, kept) for thread, kept in self._opened if thread.is_alive()]
                self._opened.append((threading.current_thread(), connection))
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a write transaction that commits after the block.

        It is IMMEDIATE: it waits for other writers at its begin, and never fails for them half-way.
        """
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
        """Open a read transaction that sees one state."""
        db = self.connection
        db.execute("BEGIN")
        try:
            yield db
        finally:
            if db.in_transaction:
                db.execute("COMMIT")

    def probe(self) -> None:
        """Check that the store can be written.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        with self.transaction() as db:
            db.execute("UPDATE store SET probed_at = ?", (time.time(),))

    def version(self) -> int:
        """Return a number that changes when another connection commits.

        It takes microseconds.
        """
        row: sqlite3.Row = self.connection.execute("PRAGMA data_version").fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close every thread's connection."""
        with self._guard:
            for _, connection in self._opened:
                connection.close()
            self._opened.clear()
        self._local = threading.local()


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for a busy file in this one statement, and API and worker may start at the same time.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
