"""Where work may be stopped: at the edge of each batch, and at no other place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.transitions import ClaimLost
from tests.computing import worker_context
from tests.fakes import Home, submit, take
from worker.cancellation import CancellationPoint
from worker.context import Cancelled, Context, Stopped


@pytest.fixture
def settings(home: Home) -> Settings:
    return home.settings


@pytest.fixture
def worker(settings: Settings) -> Iterator[Context]:
    database = Database(settings.store_path, durable=False)
    yield worker_context(settings, database)
    database.close()


@pytest.fixture
def api(settings: Settings) -> Iterator[JobStore]:
    """The same store, as another process has it."""
    database = Database(settings.store_path)
    yield JobStore(database)
    database.close()


def test_a_cancelled_job_is_left_at_the_very_next_edge(worker: Context, api: JobStore) -> None:
    """Not when progress is next reported: within one batch."""
    job = submit(api, ["ce"], ["val"])
    edge = CancellationPoint(take(worker.jobs), worker)
    edge.check()
    edge.check()
    api.cancel(job.id)
    with pytest.raises(Cancelled):
        edge.check()


def test_what_concerns_other_jobs_stops_nothing(worker: Context, api: JobStore) -> None:
    """The store changes all the time."""
    submit(api, ["ce"], ["val"])
    edge = CancellationPoint(take(worker.jobs), worker)
    for _ in range(3):
        api.cancel(submit(api, ["bal"], ["val"]).id)
        edge.check()


def test_a_claim_that_was_taken_away_is_left_alone(worker: Context, api: JobStore) -> None:
    """By whoever took this worker for dead."""
    submit(api, ["ce"], ["val"])
    edge = CancellationPoint(take(worker.jobs), worker)
    edge.check()
    api.reap("w")
    with pytest.raises(ClaimLost):
        edge.check()


def test_a_stopping_worker_stops_there_and_shows_that_it_lives(settings: Settings, tmp_path: Path) -> None:
    """Stopping comes before anything is asked of the store."""
    database = Database(tmp_path / "jobs.sqlite3")
    stopping = False
    context = worker_context(settings, database, stopping=lambda: stopping)
    submit(context.jobs, ["ce"], ["val"])
    edge = CancellationPoint(take(context.jobs), context)
    edge.check()
    stopping = True
    with pytest.raises(Stopped):
        edge.check()
    database.close()
