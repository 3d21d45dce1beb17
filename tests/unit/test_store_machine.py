"""The job store under whatever its callers do, in memory and on disk, through the same contract."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from app.store.database import Database
from app.store.jobs import JobStore
from tests.fakes import submit
from tests.unit.store_machine import MachineInMemory, MachineOnDisk, StoreMachine


@pytest.mark.timeout(0)  # a profile may ask for hours
@pytest.mark.parametrize(
    ("machine", "share"),
    [
        (MachineInMemory, 4),
        (MachineOnDisk, 8),  # a file takes longer
        pytest.param(MachineInMemory, 1, marks=pytest.mark.slow),
        pytest.param(MachineOnDisk, 2, marks=pytest.mark.slow),
    ],
)
def test_the_store_does_what_its_model_says(machine: type[StoreMachine], share: int) -> None:
    """Whatever is asked, in whatever order, by whoever lives or died: nothing else happens, and every job ends."""
    run_state_machine_as_test(machine, settings=settings(max_examples=settings().max_examples // share))


@pytest.mark.parametrize("file", [None, "jobs.sqlite3"])
def test_threads_share_a_store(tmp_path: Path, file: str | None) -> None:
    """Six at once take every task exactly once, waiting for each other, and who watches sees that it moves."""
    database = Database(tmp_path / file if file else None)
    store = JobStore(database)
    experts = [f"e{i:02}" for i in range(18)]
    submit(store, experts, ["val"])
    before, start, got = database.version(), threading.Barrier(6), []

    def claim_all(worker: str) -> None:
        start.wait()
        while (claim := store.claim(worker)) is not None:
            got.append(claim.expert)
            store.jobs()

    threads = [threading.Thread(target=claim_all, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == experts
    assert database.version() != before
    database.close()


def test_stores_in_memory_are_apart_and_gone_when_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own jobs, nothing is written to disk, and nothing is left after close()."""
    monkeypatch.chdir(tmp_path)
    first, second = Database(None), Database(None)
    submit(JobStore(first))
    assert JobStore(second).jobs() == []
    first.close()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        JobStore(first).jobs()
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == []
