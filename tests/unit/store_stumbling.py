"""A database whose changes can be made to break off half-way, as on a full disk, and what all of it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from app.store.database import Database


class Stumbled(Exception):
    """The change broke off on purpose."""


class StumblingDatabase(Database):
    """Gets a given number of steps far: statements of changes, and their commits."""

    _left: int | None = None

    @contextmanager
    def stumbling(self, after: int) -> Iterator[None]:
        """Raise `Stumbled` in place of the step after so many, if there is one."""
        self._left = after
        try:
            yield
        finally:
            self._left = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with super().transaction() as db:
            yield cast(sqlite3.Connection, _Stumbling(db, self))
            self.step()

    def step(self) -> None:
        if self._left == 0:
            raise Stumbled
        if self._left is not None:
            self._left -= 1

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        run = self.connection.execute
        tables = [row["name"] for row in run("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: [tuple(row) for row in run(f"SELECT * FROM {table}")] for table in tables}


class _Stumbling:
    """The connection of a transaction, as far as the store uses it."""

    def __init__(self, db: sqlite3.Connection, database: StumblingDatabase) -> None:
        self._db, self._database = db, database

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._database.step()
        return self._db.execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self._database.step()
        return self._db.executemany(*args)
