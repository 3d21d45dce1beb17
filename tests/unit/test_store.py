"""The job store: the life of a job, cancelling and deleting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.checks import JobReport, error_check
from app.domain.errors import Conflict, NotFound, TransientError
from app.domain.jobs import Job, JobState, Progress, UnitPlan, UnitState
from app.store.jobs import JobStore
from tests.fakes import (
    ARITHMETIC,
    DONE,
    ERROR,
    PASSED,
    REPORT,
    artifact,
    finish,
    finish_all,
    job_request,
    refused,
    submit,
    take,
)


def states(job: Job) -> list[str]:
    return [str(unit.state) for unit in job.units]


# --- the life of a job --------------------------------------------------------------------------------


def test_a_precision_is_left_to_a_worker_that_has_it(store: JobStore) -> None:
    """A worker without it passes the job by while one on record offers it, and takes it to fail it otherwise."""
    half = store.submit(replace(job_request(["ce"], ["val"]), precision="bf16"), [UnitPlan("ce", "val", 8, "0")])
    whole = submit(store, ["ce"], ["val"])
    store.add_worker("able", pid=1, device="cpu", devices=1, environment=ARITHMETIC)
    claim = store.claim("plain", ("fp32",))
    assert claim is not None
    assert claim.job.id == whole.id
    assert store.claim("plain", ("fp32",)) is None
    claim = store.claim("able", ("fp32", "bf16"))
    assert claim is not None
    assert claim.job.id == half.id
    store.reap("able")
    again = store.claim("plain", ("fp32",))
    assert again is not None
    assert again.job.id == half.id


def test_a_unit_does_not_start_in_a_job_that_is_to_end(store: JobStore) -> None:
    """A cancel is heard between two units as well, whether or not anything is computed in them."""
    job = submit(store, ["ce"], ["val", "test"])
    claim = take(store)
    assert store.start_unit(claim, "val") is True
    store.cancel(job.id)
    assert store.start_unit(claim, "test") is False


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


def test_one_failed_unit_leaves_the_others_standing(store: JobStore) -> None:
    """The job fails, the good units keep their files, and the error is stored as it came."""
    job = submit(store, ["ce"], ["val", "test"])
    claim = take(store)
    store.fail_unit(claim, "val", ERROR)
    store.finish_unit(claim, "test", artifact(), REPORT, DONE, is_there=lambda: True)
    store.end_task(claim)
    finish_all(store)
    done = store.get(job.id)
    assert (done.state, states(done)) == (JobState.FAILED, ["failed", "succeeded"])
    assert [unit.error for unit in done.units] == [ERROR, None]
    assert [unit.artifact for unit in done.units] == [None, artifact()]


def test_a_job_that_is_not_verified_fails(store: JobStore) -> None:
    """Every unit is there, and yet the job's own checks decide."""
    job = submit(store, ["ce"], ["val"])
    finish(store, take(store))
    store.finish_job(take(store), JobReport("failed", (error_check("targets-agree", False, 2, 1, "They differ."),)))
    assert store.get(job.id).state is JobState.FAILED


def test_claims_are_given_out_oldest_job_first_and_experts_in_order(store: JobStore) -> None:
    """A job's verification comes before the next job's experts once its own are done."""
    first, second = submit(store, ["z", "a"], ["val"]), submit(store, ["m"], ["val"])
    seen = []
    while (claim := store.claim("w")) is not None:
        seen.append((claim.job.id, claim.task, claim.expert))
        finish(store, claim)
    assert seen == [
        (first.id, "recompute", "z"), (first.id, "recompute", "a"), (first.id, "verify", ""),
        (second.id, "recompute", "m"), (second.id, "verify", ""),
    ]  # fmt: skip


def test_jobs_are_listed_newest_first_by_state_and_number(store: JobStore) -> None:
    """Units keep the order asked for: experts, and within each the splits."""
    ids = [submit(store, ["b", "a"], ["y", "x"]).id for _ in range(3)]
    store.cancel(ids[1])
    assert [job.id for job in store.jobs()] == ids[::-1]
    assert [job.id for job in store.jobs(limit=1)] == [ids[2]]
    assert [job.id for job in store.jobs(states=[JobState.CANCELLED, JobState.FAILED])] == [ids[1]]
    assert [(u.expert, u.split) for u in store.get(ids[0]).units] == [("b", "y"), ("b", "x"), ("a", "y"), ("a", "x")]


@pytest.mark.parametrize("job_id", ["", "nope", "../x", "0" * 32, "a\0b", "' OR 1=1 --"])
def test_an_unknown_or_malformed_id_is_not_found(store: JobStore, job_id: str) -> None:
    """Every method that takes an id says the same."""
    submit(store)
    for method in (store.get, store.cancel, lambda job: store.delete(job, forget=pytest.fail)):
        with pytest.raises(NotFound, match="GET /jobs lists"):
            method(job_id)


# --- cancel -------------------------------------------------------------------------------------------


def test_a_queued_job_is_cancelled_at_once(store: JobStore) -> None:
    """Nothing of it is claimed any more; asking again changes nothing."""
    job = store.cancel(submit(store).id)
    assert (job.state, set(states(job))) == (JobState.CANCELLED, {"cancelled"})
    assert job.finished_at is not None
    assert store.claim("w") is None
    assert store.cancel(job.id) == job


def test_a_running_job_is_cancelled_when_its_worker_stops(store: JobStore) -> None:
    """What is queued ends at once, the worker learns it at its next progress, what is done is kept."""
    job = submit(store, ["ce", "bal"], ["val", "test"])
    claim = take(store)
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)
    store.start_unit(claim, "test")
    cancelling = store.cancel(job.id)
    assert cancelling.state is JobState.CANCELLING
    assert states(cancelling) == ["succeeded", "running", "cancelled", "cancelled"]
    assert store.claim("other") is None
    assert store.progress(claim, "test", Progress(0, 1, 1.0)) is False
    store.end_task(claim)
    done = store.get(job.id)
    assert (done.state, states(done)) == (JobState.CANCELLED, ["succeeded"] + ["cancelled"] * 3)
    assert store.claim("other") is None


@pytest.mark.parametrize("claimed", [False, True])
def test_a_job_in_verification_can_be_cancelled(store: JobStore, claimed: bool) -> None:
    """At once while nobody verifies it; else when the verification ends, whatever it found."""
    job = submit(store, ["ce"], ["val"])
    finish(store, take(store))
    verify = take(store) if claimed else None
    store.cancel(job.id)
    if verify is not None:
        assert store.get(job.id).state is JobState.CANCELLING
        store.finish_job(verify, PASSED)
    assert store.get(job.id).state is JobState.CANCELLED
    assert states(store.get(job.id)) == ["succeeded"]


def test_a_claim_of_a_cancelled_job_handed_back_ends_it(store: JobStore) -> None:
    """Nobody takes it up again."""
    job = submit(store, ["ce"], ["val"])
    claim = take(store)
    store.start_unit(claim, "val")
    store.cancel(job.id)
    store.hand_back(claim)
    assert (store.get(job.id).state, states(store.get(job.id))) == (JobState.CANCELLED, ["cancelled"])


def test_an_ended_job_cannot_be_cancelled(store: JobStore) -> None:
    """The refusal says how it ended."""
    job = submit(store)
    finish_all(store)
    with pytest.raises(Conflict, match="has already succeeded"):
        store.cancel(job.id)


# --- delete -------------------------------------------------------------------------------------------


def test_deleting_names_the_files_that_nobody_else_refers_to(store: JobStore) -> None:
    """A digest that another job has too is kept until that one goes."""
    first, second = submit(store, ["ce", "bal"], ["val"]), submit(store, ["ce"], ["val"])
    for sha256 in ("1" * 64, "2" * 64):
        finish(store, take(store), sha256)
    store.finish_job(take(store), PASSED)
    finish(store, take(store), "1" * 64)
    store.finish_job(take(store), PASSED)
    forgotten: list[str] = []
    store.delete(first.id, forgotten.append)
    assert forgotten == ["2" * 64]
    assert [job.id for job in store.jobs()] == [second.id]
    store.delete(second.id, forgotten.append)
    assert forgotten == ["2" * 64, "1" * 64]
    with pytest.raises(NotFound):
        store.delete(second.id, forgotten.append)


def test_a_job_that_has_not_ended_cannot_be_deleted(store: JobStore) -> None:
    """Queued, running or cancelling: the refusal says what to do first."""
    job = submit(store, ["ce"], ["val"])
    for step in (lambda: None, lambda: store.claim("w"), lambda: store.cancel(job.id)):
        step()
        with refused("job-not-ended", f"is {store.get(job.id).state}", "Cancel it first, or wait"):
            store.delete(job.id, forget=pytest.fail)


def test_a_unit_is_not_done_without_its_file(store: JobStore) -> None:
    """Another job's deletion may have taken the very same file: the unit stays open, to be written again."""
    submit(store, ["ce"], ["val"])
    claim = take(store)
    with pytest.raises(TransientError):
        store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: False)
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)


def test_a_task_cannot_end_with_open_units(store: JobStore) -> None:
    """A worker that forgot a unit is a bug that must show, not a job that hangs."""
    submit(store, ["ce"], ["val"])
    with pytest.raises(RuntimeError, match="val"):
        store.end_task(take(store))


def test_what_has_ended_never_changes(store: JobStore) -> None:
    """A unit that is done is not started, failed or finished again."""
    submit(store, ["ce"], ["val", "test"])
    claim = take(store)
    store.fail_unit(claim, "val", ERROR)
    with pytest.raises(RuntimeError, match="no open unit"):
        store.start_unit(claim, "val")
    with pytest.raises(RuntimeError, match="no open unit"):
        store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)
    with pytest.raises(RuntimeError, match="no open unit"):
        store.start_unit(claim, "nope")
