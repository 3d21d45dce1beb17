"""The job store: who may record what, when claims are lost, handed back or wanted by many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.jobs import Claim, Progress, UnitState
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.transitions import ClaimLost
from tests.fakes import DONE, ERROR, PASSED, REPORT, artifact, finish, submit, take
from tests.unit.losing import LOSSES

RECORDINGS: list[Callable[[JobStore, Claim], object]] = [
    lambda store, claim: store.start_unit(claim, "val"),
    lambda store, claim: store.progress(claim, "val", Progress(0, 8, 1.0, ("late",))),
    lambda store, claim: store.hold(claim),
    lambda store, claim: store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True),
    lambda store, claim: store.fail_unit(claim, "val", ERROR),
    lambda store, claim: store.end_task(claim),
    lambda store, claim: store.finish_job(claim, PASSED),
    lambda store, claim: store.hand_back(claim),
]


def _end(store: JobStore, claim: Claim) -> None:
    finish(store, claim)


def _cancel_bury_delete(store: JobStore, claim: Claim) -> None:
    store.cancel(claim.job.id)
    store.reap(claim.worker)
    store.delete(claim.job.id, forget=print)


@pytest.mark.parametrize("lose", [*LOSSES, _end, _cancel_bury_delete])
def test_a_lost_claim_can_record_nothing(store: JobStore, lose: Callable[[JobStore, Claim], None]) -> None:
    """Whether buried, taken by another, handed back, ended or deleted: every method says so, and changes nothing."""
    submit(store, ["ce"], ["val"])
    claim = take(store, "stale")
    store.start_unit(claim, "val")
    lose(store, claim)
    before = store.jobs()
    for record in RECORDINGS:
        with pytest.raises(ClaimLost):
            record(store, claim)
    assert store.jobs() == before


def test_a_claim_handed_back_begins_its_running_unit_again(store: JobStore) -> None:
    """What was finished stays; the next worker gets the rest, and may have to use the same checkpoint."""
    submit(store, ["ce"], ["val", "test"])
    claim = take(store, "first")
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)
    store.start_unit(claim, "test")
    store.progress(claim, "test", Progress(0, 5, 1.0))
    store.hand_back(claim)
    again = take(store, "second")
    [unit] = again.open_units
    assert (unit.split, unit.state, unit.done, unit.started_at) == ("test", UnitState.QUEUED, 0, None)
    assert again.checkpoint_sha256 == artifact().checkpoint_sha256
    assert again.token > claim.token


def test_no_two_threads_get_the_same_task(tmp_path: Path) -> None:
    """On one file, six threads at once share out every task exactly once."""
    database = Database(tmp_path / "jobs.sqlite3")
    store = JobStore(database)
    submit(store, [f"e{i}" for i in range(18)], ["val"])
    start, got = threading.Barrier(6), []

    def claim_all(worker: str) -> None:
        start.wait()
        while (claim := store.claim(worker)) is not None:
            got.append(claim.expert)

    threads = [threading.Thread(target=claim_all, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert sorted(got) == sorted(f"e{i}" for i in range(18))
