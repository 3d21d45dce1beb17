"""What is looked after while the service runs: one chore that fails keeps no other from being done."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from app.processes.maintenance import Maintenance
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.liveness import Hangs, hold_lock, worker_lock
from app.store.transitions import ClaimLost
from tests.fakes import ARITHMETIC, submit, take


class Locked(JobStore):
    """A store in which nothing can be changed: a worker hangs in the middle of a change."""

    def expire(self) -> list[str]:
        raise sqlite3.OperationalError("database is locked")


def test_a_hanging_worker_is_ended_though_it_holds_the_store(tmp_path: Path) -> None:
    """Its death is what frees the store; a chore that fails each time does not end the others."""
    database = Database(None)  # the maintenance thread has to see it as well
    store, locked = JobStore(database), Locked(database)
    store.add_worker("w", pid=77, device="cpu", devices=1, environment=ARITHMETIC)
    killed, tidied = threading.Event(), threading.Event()

    def kill(worker: str, pid: int) -> bool:
        assert (worker, pid) == ("w", 77)
        killed.set()
        return True

    with hold_lock(worker_lock(tmp_path, "w")):
        hangs = Hangs(store, tmp_path, timeout_s=0.05)
        with Maintenance(locked, hangs, kill, tidied.set, tidy_every_s=0.02, every_s=0.01):
            assert killed.wait(5)
            assert tidied.wait(5)
    database.close()


def test_the_work_of_a_hanging_worker_that_is_somebody_elses_is_freed(tmp_path: Path) -> None:
    """It cannot be killed from here; the job must not wait for whoever may. If it wakes up, it can record nothing."""
    database = Database(None)
    store = JobStore(database)
    job = submit(store, ["ce"], ["val"])
    store.add_worker("w", pid=77, device="cpu", devices=1, environment=ARITHMETIC)
    held = take(store)
    with hold_lock(worker_lock(tmp_path, "w")):
        hangs = Hangs(store, tmp_path, timeout_s=0.05)
        with Maintenance(store, hangs, lambda _worker, _pid: False, every_s=0.01):
            deadline = time.monotonic() + 5
            while (again := store.claim("next")) is None and time.monotonic() < deadline:
                time.sleep(0.01)
    assert again is not None
    assert again.job.id == job.id
    with pytest.raises(ClaimLost):
        store.hold(held)
    assert store.workers() == []
    database.close()


def test_a_long_tidying_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    """Deadlines and hangs are looked at meanwhile, and it is not begun twice."""
    database = Database(None)
    looked, begun, enough = threading.Event(), [0], threading.Event()

    class Looked(JobStore):
        def expire(self) -> list[str]:
            if begun[0]:
                looked.set()
            return []

    def tidy() -> None:
        begun[0] += 1
        enough.wait(5)

    store = Looked(database)
    with Maintenance(store, Hangs(store, tmp_path, 300), lambda _worker, _pid: False, tidy, 0.01, every_s=0.01):
        assert looked.wait(5)
        time.sleep(0.1)
        assert begun == [1]
        enough.set()
    database.close()
