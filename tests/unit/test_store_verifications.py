"""The job store: verifications of files, which are jobs of one task and no units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.domain.checks import JobReport
from app.domain.jobs import MAX_DEATHS, Claim, JobState
from app.store.jobs import JobStore
from app.store.transitions import ClaimLost
from tests.fakes import ERROR, PASSED, finish, job_request, submit, take
from tests.unit.losing import LOSSES
from tests.unit.test_requests import VERIFICATION

FOUND = JobReport("failed", results=())
"""What a verification of bad files records."""
CANNOT = JobReport.failed(ERROR)
"""What one that could not be carried out records."""


def test_a_verification_is_one_task_without_units(store: JobStore) -> None:
    """Submitted as accepted, claimed whole, and ended by what was found."""
    job = store.submit(VERIFICATION)
    assert (job.state, job.request, job.units) == (JobState.QUEUED, VERIFICATION, ())
    claim = take(store)
    assert (claim.task, claim.expert, claim.open_units) == ("check", "", ())
    assert (claim.job.id, claim.job.state) == (job.id, JobState.RUNNING)
    assert store.claim("other") is None
    assert store.go_on(claim) is True
    store.finish_job(claim, PASSED)
    done = store.get(job.id)
    assert (done.state, done.verification) == (JobState.SUCCEEDED, PASSED)
    assert store.claim("w") is None


@pytest.mark.parametrize(("found", "state"), [(FOUND, JobState.SUCCEEDED), (CANNOT, JobState.FAILED)])
def test_a_verification_succeeds_if_it_was_carried_out(store: JobStore, found: JobReport, state: JobState) -> None:
    """Whether the files are good is its verdict; whether they could be looked at is its state."""
    job = store.submit(VERIFICATION)
    store.finish_job(take(store), found)
    done = store.get(job.id)
    assert (done.state, done.verification) == (state, found)


def test_a_verification_has_no_experts_to_recompute(store: JobStore) -> None:
    """Who takes it for the other kind is told."""
    job = store.submit(VERIFICATION)
    with pytest.raises(TypeError, match="is a verification"):
        _ = job.recompute
    assert submit(store).recompute == job_request()


def test_a_worker_takes_the_kinds_of_task_that_it_asks_for(store: JobStore) -> None:
    """Whoever only looks at files passes all computing by, and the other way round; order is kept within."""
    first, check, second = submit(store, ["ce"], ["val"]), store.submit(VERIFICATION), submit(store, ["ce"], ["val"])
    looking = store.claim("looking", tasks=("check",))
    assert looking is not None
    assert looking.job.id == check.id
    assert store.claim("looking", tasks=("check",)) is None
    assert store.claim("none", tasks=()) is None
    for job in (first, second):
        for task in ("recompute", "verify"):
            claim = store.claim("computing", tasks=("recompute", "verify"))
            assert claim is not None
            assert (claim.job.id, claim.task) == (job.id, task)
            finish(store, claim)
    assert store.claim("computing", tasks=("recompute", "verify")) is None


def test_jobs_are_listed_by_kind(store: JobStore) -> None:
    """Of one kind, or of any; the number is counted within."""
    old, check, new = submit(store).id, store.submit(VERIFICATION).id, submit(store).id
    assert [job.id for job in store.jobs()] == [new, check, old]
    assert [job.id for job in store.jobs(kind="recompute")] == [new, old]
    assert [job.id for job in store.jobs(kind="verification", limit=1)] == [check]
    assert store.jobs(kind="verification", states=[JobState.RUNNING]) == []
    assert store.jobs(kind="nonsense") == []


def test_the_uploads_that_jobs_refer_to_are_known(store: JobStore) -> None:
    """As long as their job is there, whatever became of it; folders of outputs are no uploads."""
    jobs = [store.submit(replace(VERIFICATION, upload=upload)) for upload in ("1" * 32, "2" * 32, "2" * 32)]
    store.submit(replace(VERIFICATION, upload=None, path="logits_fixed"))
    submit(store)
    assert store.uploads() == {"1" * 32, "2" * 32}
    for job in jobs[:2]:
        store.cancel(job.id)
        store.delete(job.id, forget=pytest.fail)
    assert store.uploads() == {"2" * 32}


def test_a_queued_verification_is_cancelled_at_once(store: JobStore) -> None:
    """Nobody claims it any more."""
    job = store.cancel(store.submit(VERIFICATION).id)
    assert job.state is JobState.CANCELLED
    assert store.claim("w") is None


@pytest.mark.parametrize(
    "end",
    [
        JobStore.end_task,
        JobStore.hand_back,
        lambda store, claim: store.finish_job(claim, PASSED),
        lambda store, claim: store.reap(claim.worker),
    ],
    ids=["ended", "handed back", "finished", "buried"],
)
def test_a_running_verification_is_cancelled_when_its_worker_stops(
    store: JobStore, end: Callable[[JobStore, Claim], object]
) -> None:
    """It learns it between two files; however it ends then, the job is cancelled and nobody takes it up."""
    job = store.submit(VERIFICATION)
    claim = take(store)
    store.cancel(job.id)
    assert store.get(job.id).state is JobState.CANCELLING
    assert store.go_on(claim) is False
    end(store, claim)
    assert store.get(job.id).state is JobState.CANCELLED
    assert store.claim("other") is None


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_verification_can_record_nothing(store: JobStore, lose: Callable[[JobStore, Claim], None]) -> None:
    """Who was thought dead does not go on, and what it found does not count."""
    store.submit(VERIFICATION)
    claim = take(store, "stale")
    lose(store, claim)
    before = store.jobs()
    for record in (store.go_on, store.end_task, store.hand_back, lambda c: store.finish_job(c, PASSED)):
        with pytest.raises(ClaimLost):
            record(claim)
    assert store.jobs() == before


def test_five_deaths_over_a_verification_fail_it(store: JobStore) -> None:
    """Four are borne; the fifth ends the job with the reason."""
    job = store.submit(VERIFICATION)
    for death in range(MAX_DEATHS):
        assert store.get(job.id).verification is None
        claim = take(store, f"w{death}")
        assert store.reap(claim.worker) == [job.id]
    done = store.get(job.id)
    assert done.state is JobState.FAILED
    assert done.verification is not None
    assert done.verification.error is not None
    assert done.verification.error["code"] == "worker-died"
    assert store.claim("w") is None
