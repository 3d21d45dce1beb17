"""What the unit tests of the service share: a job store in memory and a server's folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.main import create_app
from app.store.database import Database
from app.store.jobs import JobStore
from relogit.cli.main import main
from tests.fakes import Home
from tests.unit.command_line import Ran, Relogit
from tests.unit.fake_server import FakeServer
from tests.unit.retained import Site, parts
from tests.unit.snapshots import Transcript


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


@pytest.fixture
def services(home: Home) -> Iterator[Services]:
    home.settings.internal_dir.mkdir(parents=True)
    services = Services.build(home.settings)
    yield services
    services.database.close()


@pytest.fixture
def app(services: Services) -> FastAPI:
    """The API with its services, without workers."""
    app = create_app(services.settings)
    app.state.services = services
    return app


@pytest.fixture
def relogit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Relogit:
    monkeypatch.delenv("RELOGIT_SERVER", raising=False)

    def run(server: FakeServer, *argv: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(argv, transport=server.transport)
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def transcript(relogit: Relogit) -> Transcript:
    """The texts of several runs, to be compared with a snapshot."""
    return Transcript(relogit)


@pytest.fixture
def site(tmp_path: Path, database: Database) -> Site:
    return Site(parts(tmp_path, database))
