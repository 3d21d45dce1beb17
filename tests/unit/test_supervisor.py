"""The supervisor, with real child processes that are quick to end."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.processes.supervisor import HOPELESS, Supervisor
from app.settings import Settings
from app.store.database import Database
from app.store.jobs import JobStore

SLEEPS = (sys.executable, "-c", "import sys; sys.stdin.read()")
REFUSES = (sys.executable, "-c", f"raise SystemExit({HOPELESS})")


def _until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _settings(tmp_path: Path) -> Settings:
    return Settings(outputs_dir=tmp_path, workers=1, _env_file=None)


def test_wrong_settings_end_the_service(tmp_path: Path) -> None:
    """A worker that says its settings can never work is not started for ever."""
    gave_up = threading.Event()
    database = Database(tmp_path / "jobs.sqlite3")
    with Supervisor(_settings(tmp_path), JobStore(database), REFUSES, gave_up.set) as supervisor:
        assert gave_up.wait(20)
        assert supervisor.hopeless
    database.close()


def test_a_service_that_has_worked_is_not_given_up(tmp_path: Path) -> None:
    """A GPU that is lost for a moment looks like a wrong setting; after a start it is waited for."""
    database = Database(tmp_path / "jobs.sqlite3")
    store = JobStore(database)

    class Started(JobStore):
        def workers(self) -> list[dict[str, object]]:
            pids = [slot.process.pid for slot in supervisor._slots if slot.process]
            return [{"id": "w", "pid": pid, "devices": 1} for pid in pids]

        def reap(self, worker: str) -> list[str]:
            return []

    gave_up = threading.Event()
    supervisor = Supervisor(_settings(tmp_path), Started(database), REFUSES, gave_up.set)
    supervisor._any_started = True
    with supervisor:
        _until(lambda: bool(supervisor._slots) and supervisor._slots[0].process is not None)
        assert not gave_up.wait(0.5)
    assert store.workers() == []
    database.close()


def test_one_exception_does_not_end_the_looking_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a moment: when it has room again, a dead worker is replaced."""
    monkeypatch.setattr("app.processes.supervisor.AFTER_ERROR_S", 0.01)
    database = Database(tmp_path / "jobs.sqlite3")
    failures = [sqlite3.OperationalError("disk full")] * 3

    class Full(JobStore):
        def workers(self) -> list[dict[str, object]]:
            if failures:
                raise failures.pop()
            return super().workers()

    with Supervisor(_settings(tmp_path), Full(database), SLEEPS) as supervisor:
        _until(lambda: bool(supervisor._slots) and supervisor._slots[0].process is not None)
        first = supervisor._slots[0].process
        assert first is not None
        first.kill()
        _until(lambda: supervisor._slots[0].process not in (None, first))
    assert failures == []
    database.close()


def test_workers_end_with_the_supervisor(tmp_path: Path) -> None:
    """Nothing is left running."""
    database = Database(tmp_path / "jobs.sqlite3")
    with Supervisor(_settings(tmp_path), JobStore(database), SLEEPS) as supervisor:
        _until(lambda: bool(supervisor._slots) and supervisor._slots[0].process is not None)
        process = supervisor._slots[0].process
    assert process is not None
    assert process.poll() is not None
    database.close()
