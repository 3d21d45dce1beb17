"""A job that has not ended by its deadline is stopped, and has failed; what was done by then stands."""

from __future__ import annotations

import time

import pytest

from app.domain.jobs import Job, JobOptions, JobState, UnitPlan, UnitState
from app.store.database import Database
from app.store.jobs import JobStore
from tests.fakes import DONE, ERROR, PASSED, REPORT, artifact, job_request, take


def _submit(store: JobStore, deadline_s: float | None, experts: tuple[str, ...] = ("ce",)) -> Job:
    units = [UnitPlan(expert, "val", 8, "s") for expert in experts]
    return store.submit(job_request(experts, ["val"]), units, JobOptions(deadline_s, "00-trace"))


def _pass(database: Database, job: Job) -> None:
    with database.transaction() as db:
        db.execute("UPDATE jobs SET deadline_at = ? WHERE id = ?", (time.time() - 1, job.id))


def test_a_job_remembers_its_terms(store: JobStore) -> None:
    """The deadline counts from its acceptance."""
    job = _submit(store, 60.0)
    assert job.deadline_at is not None
    assert job.deadline_at - job.created_at == pytest.approx(60.0)
    assert (job.traceparent, _submit(store, None).deadline_at) == ("00-trace", None)
    assert store.expire() == []


def test_what_nobody_works_on_fails_at_once(store: JobStore, database: Database) -> None:
    """Its units have not been computed, and say why; other jobs go on."""
    job, other = _submit(store, 60.0), _submit(store, None)
    _pass(database, job)
    assert store.expire() == [job.id]
    ended = store.get(job.id)
    assert (ended.state, ended.error and ended.error["code"]) == (JobState.FAILED, "deadline-exceeded")
    assert [(unit.state, unit.error) for unit in ended.units] == [(UnitState.CANCELLED, ended.error)]
    assert store.expire() == []
    assert take(store).job.id == other.id


def test_what_is_worked_on_is_told_to_stop(store: JobStore, database: Database) -> None:
    """A unit that was done stands; the job has failed, not been cancelled."""
    job = _submit(store, 60.0, ("ce", "bal"))
    first, second = take(store), take(store, "v")
    store.start_unit(first, "val")
    store.finish_unit(first, "val", artifact(), REPORT, DONE, lambda: True)
    store.end_task(first)
    store.start_unit(second, "val")
    _pass(database, job)
    assert store.expire() == [job.id]
    assert store.get(job.id).state is JobState.CANCELLING
    assert store.go_on(second) is False
    store.end_task(second)
    ended = store.get(job.id)
    assert ended.state is JobState.FAILED
    assert [unit.state for unit in ended.units] == [UnitState.SUCCEEDED, UnitState.CANCELLED]


def test_a_verdict_that_comes_too_late_does_not_count(store: JobStore, database: Database) -> None:
    """The deadline passed while the job was being verified."""
    job = _submit(store, 60.0)
    claim = take(store)
    store.start_unit(claim, "val")
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, lambda: True)
    store.end_task(claim)
    verifying = take(store)
    _pass(database, job)
    store.expire()
    store.finish_job(verifying, PASSED)
    assert store.get(job.id).state is JobState.FAILED


def test_who_cancelled_before_it_has_cancelled(store: JobStore, database: Database) -> None:
    """And what has ended stays as it ended."""
    job = _submit(store, 60.0)
    claim = take(store)
    store.cancel(job.id)
    _pass(database, job)
    assert store.expire() == []
    store.end_task(claim)
    assert store.get(job.id).state is JobState.CANCELLED
    assert store.expire() == []


def test_the_death_of_its_worker_ends_an_overdue_job(store: JobStore, database: Database) -> None:
    """Nothing of it is put back into the queue."""
    job = _submit(store, 60.0)
    store.start_unit(take(store), "val")
    _pass(database, job)
    store.expire()
    store.reap("w")
    assert store.get(job.id).state is JobState.FAILED
    assert store.claim("v") is None


def test_attempts_are_counted_by_unit(store: JobStore) -> None:
    """Each time a worker begins with it, whatever became of the one before."""
    job = _submit(store, None)
    for _ in range(2):
        claim = take(store)
        store.start_unit(claim, "val")
        store.hand_back(claim)
    claim = take(store)
    store.start_unit(claim, "val")
    store.fail_unit(claim, "val", ERROR)
    assert [unit.attempts for unit in store.get(job.id).units] == [3]
