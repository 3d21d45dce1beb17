"""What is looked after while the service runs: one chore that fails keeps no other from being done."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from app import housekeeper
from app.database import Database
from app.housekeeper import Housekeeper
from app.liveness import Hangs, hold_lock, worker_lock
from app.store import JobStore
from tests.fakes import ARITHMETIC


class Locked(JobStore):
    """A store in which nothing can be changed: a worker hangs in the middle of a change."""

    def expire(self) -> list[str]:
        raise sqlite3.OperationalError("database is locked")


def test_a_hanging_worker_is_ended_though_it_holds_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its death is what frees the store; a chore that fails each time does not end the others."""
    monkeypatch.setattr(housekeeper, "EVERY_S", 0.01)
    database = Database(None)  # the housekeeper's thread has to see it as well
    store, locked = JobStore(database), Locked(database)
    store.add_worker("w", pid=77, device="cpu", devices=1, arithmetic=ARITHMETIC)
    killed, tidied = threading.Event(), threading.Event()

    def kill(pid: int) -> bool:
        assert pid == 77
        killed.set()
        return True

    with hold_lock(worker_lock(tmp_path, "w")):
        hangs = Hangs(store, tmp_path, timeout_s=0.05)
        with Housekeeper(locked, hangs, kill, tidied.set, tidy_every_s=0.02):
            assert killed.wait(5)
            assert tidied.wait(5)
    database.close()
