"""The job store: the life of each kind of job, told once; `test_store_machine` checks every order of steps."""

from __future__ import annotations

import pytest

from app.domain.checks import JobReport
from app.domain.errors import Conflict, NotFound
from app.domain.jobs import Job, JobState, Progress, UnitState
from app.store.jobs import JobStore
from tests.fakes import DONE, ERROR, PASSED, REPORT, artifact, finish_all, refused, submit, take
from tests.unit.test_requests import VERIFICATION


def states(job: Job) -> list[str]:
    return [str(unit.state) for unit in job.units]


def test_a_job_goes_from_queued_to_succeeded(store: JobStore) -> None:
    """Each step shows on the unit and on the job, and the verification comes last, once."""
    job = submit(store, ["ce"], ["val"])
    assert (job.state, states(job), job.started_at) == (JobState.QUEUED, ["queued"], None)
    claim = take(store)
    assert (claim.task, claim.expert, claim.job.state) == ("recompute", "ce", JobState.RUNNING)
    assert [unit.split for unit in claim.open_units] == ["val"]
    store.start_unit(claim, "val")
    assert store.progress(claim, "val", Progress(0, 4, 2.0, ("batch halved",)))
    [unit] = store.get(job.id).units
    assert (unit.state, unit.done, unit.remaining_s, unit.notes) == (UnitState.RUNNING, 4, 2.0, ("batch halved",))
    store.hold(claim)
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)
    [unit] = store.get(job.id).units
    assert (unit.state, unit.done, unit.accuracy, unit.artifact) == (UnitState.SUCCEEDED, 8, 0.5, artifact())
    assert (unit.reused, unit.computed) == (DONE.reused, DONE.computed)
    assert unit.remaining_s is None
    assert store.claim("w") is None  # the verification waits for the claim to end
    store.end_task(claim)
    assert store.get(job.id).state is JobState.RUNNING
    verify = take(store)
    assert (verify.task, verify.expert) == ("verify", "")
    store.finish_job(verify, PASSED)
    done = store.get(job.id)
    assert (done.state, done.verification) == (JobState.SUCCEEDED, PASSED)
    assert done.started_at is not None
    assert done.finished_at is not None
    assert job.created_at <= done.started_at <= done.finished_at
    assert store.claim("w") is None


@pytest.mark.parametrize("job_id", ["", "nope", "../x", "0" * 32, "a\0b", "' OR 1=1 --"])
def test_an_unknown_or_malformed_id_is_not_found(store: JobStore, job_id: str) -> None:
    """Every method that takes an id says the same."""
    submit(store)
    for method in (store.get, store.cancel, lambda job: store.delete(job, forget=pytest.fail)):
        with pytest.raises(NotFound, match="There is no job"):
            method(job_id)


def test_an_ended_job_cannot_be_cancelled(store: JobStore) -> None:
    """The refusal says how it ended."""
    job = submit(store)
    finish_all(store)
    with pytest.raises(Conflict, match="has already succeeded"):
        store.cancel(job.id)


def test_a_job_that_has_not_ended_cannot_be_deleted(store: JobStore) -> None:
    """Queued, running or cancelling: the refusal says what to do first."""
    job = submit(store, ["ce"], ["val"])
    for step in (lambda: None, lambda: store.claim("w"), lambda: store.cancel(job.id)):
        step()
        with refused("job-not-ended", f"is {store.get(job.id).state}", "Cancel it first, or wait"):
            store.delete(job.id, forget=pytest.fail)


def test_a_claim_handed_back_begins_its_running_unit_again(store: JobStore) -> None:
    """The next worker gets the rest, and has to use the same checkpoint."""
    submit(store, ["ce"], ["val", "test"])
    claim = take(store, "first")
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)
    store.start_unit(claim, "test")
    store.hand_back(claim)
    again = take(store, "second")
    [unit] = again.open_units
    assert (unit.split, unit.state, unit.done, unit.started_at) == ("test", UnitState.QUEUED, 0, None)
    assert again.checkpoint_sha256 == artifact().checkpoint_sha256


def test_a_verification_is_one_task_without_units(store: JobStore) -> None:
    """Claimed whole by whoever takes such tasks, and ended by its report; it has no experts to recompute."""
    job = store.submit(VERIFICATION)
    assert store.claim("computing", tasks=("recompute", "verify")) is None
    claim = take(store)
    assert (claim.task, claim.expert, claim.open_units) == ("check", "", ())
    store.finish_job(claim, PASSED)
    done = store.get(job.id)
    assert (done.state, done.request, done.verification) == (JobState.SUCCEEDED, VERIFICATION, PASSED)
    with pytest.raises(TypeError, match="is a verification"):
        _ = job.recompute


@pytest.mark.parametrize(
    ("report", "state"), [(JobReport("failed"), JobState.SUCCEEDED), (JobReport.failed(ERROR), JobState.FAILED)]
)
def test_a_verification_succeeds_if_it_was_carried_out(store: JobStore, report: JobReport, state: JobState) -> None:
    """Whether the files are good is its verdict; whether they could be read is its state."""
    job = store.submit(VERIFICATION)
    store.finish_job(take(store), report)
    assert (store.get(job.id).state, store.get(job.id).verification) == (state, report)
