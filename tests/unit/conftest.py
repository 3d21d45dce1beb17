"""What the unit tests of the service share: a job store in memory and a server's folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.database import Database
from app.store import JobStore
from tests.fakes import Home


@pytest.fixture
def database() -> Iterator[Database]:
    """SQLite in memory: the same code without the disk's waits, for one thread."""
    opened = Database(Path(":memory:"))
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.make(tmp_path)
