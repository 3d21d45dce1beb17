"""Who lives, told by locks; and what becomes of the work of those who died."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.jobs import MAX_DEATHS, JobState, Progress
from app.domain.numerics import ComputeEnvironment
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.liveness import compute_environments, hold_lock, is_held, living, reap_dead_workers, worker_lock
from tests.fakes import PASSED, REPORT, artifact, finish, finish_all, refused, submit, take

ARITHMETIC = ComputeEnvironment("cpu", "Test", "AVX", "torch", "1", "r", ("fp32", "bf16"))
DONE = Progress(reused=0, computed=8)


def join(store: JobStore, worker: str, arithmetic: ComputeEnvironment = ARITHMETIC) -> None:
    store.add_worker(worker, pid=1, device="cpu", devices=1, environment=arithmetic)


def die(store: JobStore, times: int, split: str | None = "val") -> None:
    """So many workers claim, begin that split, and die."""
    for i in range(times):
        claim = take(store, f"dead{i}")
        if split is not None:
            store.start_unit(claim, split)
        assert store.reap(f"dead{i}") == [claim.job.id]


# --- locks --------------------------------------------------------------------------------------------


def test_a_lock_is_held_by_one_until_it_closes(tmp_path: Path) -> None:
    """Who comes second is told what to do; who comes after may have it."""
    path = tmp_path / "new" / "service.lock"
    assert not is_held(path)
    with hold_lock(path):
        assert is_held(path)
        with refused("already-running", str(path.parent), "RELOGIT_OUTPUTS_DIR"):
            hold_lock(path)
        assert is_held(path)
    assert not is_held(path)
    hold_lock(path).close()


def test_only_workers_that_hold_their_lock_live(store: JobStore, tmp_path: Path) -> None:
    """A record alone is no life."""
    join(store, "alive")
    join(store, "dead")
    with hold_lock(worker_lock(tmp_path, "alive")):
        assert living(store, tmp_path) == ["alive"]
        assert reap_dead_workers(store, tmp_path) == ["dead"]
        assert [worker["id"] for worker in store.workers()] == ["alive"]
        assert reap_dead_workers(store, tmp_path) == []
    assert living(store, tmp_path) == []


def test_environments_are_those_of_the_living(store: JobStore, database: Database, tmp_path: Path) -> None:
    """Each way once, whatever number of workers has it; one recorded by an older relogit says nothing."""
    other = replace(ARITHMETIC, model="Other")
    for worker, way in (("a", ARITHMETIC), ("b", other), ("c", ARITHMETIC), ("dead", replace(other, model="X"))):
        join(store, worker, way)
    join(store, "old")
    database.connection.execute("UPDATE workers SET environment = '{}' WHERE id = 'old'")
    held = [hold_lock(worker_lock(tmp_path, worker)) for worker in ("a", "b", "c", "old")]
    assert compute_environments(store, tmp_path) == [ARITHMETIC, other]
    for handle in held:
        handle.close()
    assert compute_environments(store, tmp_path) == []


def test_the_work_of_the_dead_is_free_at_once_and_that_of_the_living_is_not(store: JobStore, tmp_path: Path) -> None:
    """The dead worker's lock file goes with it."""
    submit(store, ["ce", "bal", "la"], ["val"])
    held = {worker: hold_lock(worker_lock(tmp_path, worker)) for worker in ("one", "two")}
    for worker in held:
        join(store, worker)
        store.start_unit(take(store, worker), "val")
    held["one"].close()
    assert reap_dead_workers(store, tmp_path) == ["one"]
    assert not worker_lock(tmp_path, "one").exists()
    assert [take(store, "three").expert for _ in range(2)] == ["ce", "la"]
    assert store.claim("three") is None
    held["two"].close()


# --- deaths -------------------------------------------------------------------------------------------


def test_four_deaths_are_no_failed_attempt(store: JobStore) -> None:
    """The unit begins again each time, and the fifth worker finishes it."""
    job = submit(store, ["ce"], ["val"])
    die(store, MAX_DEATHS - 1)
    [unit] = store.get(job.id).units
    assert (str(unit.state), unit.done, unit.started_at, unit.error) == ("queued", 0, None, None)
    finish_all(store)
    assert store.get(job.id).state is JobState.SUCCEEDED


def test_the_fifth_death_fails_only_what_was_running(store: JobStore) -> None:
    """What was done stays, what was still to come goes on, and the error says how many died."""
    job = submit(store, ["ce", "bal"], ["first", "val", "last"])
    claim = take(store, "good")
    store.finish_unit(claim, "first", artifact(), REPORT, DONE, is_there=lambda: True)
    store.hand_back(claim)
    die(store, MAX_DEATHS)
    states = {(u.expert, u.split): str(u.state) for u in store.get(job.id).units}
    assert states["ce", "first"] == "succeeded"
    assert states["ce", "val"] == "failed"
    assert states["ce", "last"] == "queued"
    failed = store.get(job.id).unit("ce", "val")
    assert failed is not None
    assert failed.error is not None
    assert failed.error["code"] == "worker-died"
    assert "5 workers died" in failed.error["message"]
    assert "smaller batch_size" in failed.error["message"]
    finish_all(store)
    done = store.get(job.id)
    assert done.state is JobState.FAILED
    assert [str(u.state) for u in done.units] == ["succeeded", "failed"] + ["succeeded"] * 4


def test_five_deaths_before_any_unit_began_fail_the_whole_expert(store: JobStore) -> None:
    """Then loading it was the cause; the other experts go on."""
    job = submit(store, ["ce", "bal"], ["val", "test"])
    die(store, MAX_DEATHS, split=None)
    finish_all(store)
    assert [str(u.state) for u in store.get(job.id).units] == ["failed"] * 2 + ["succeeded"] * 2


def test_five_deaths_in_the_verification_fail_the_job(store: JobStore) -> None:
    """It is never verified, so it never succeeds; its files are kept."""
    job = submit(store, ["ce"], ["val"])
    finish(store, take(store))
    die(store, MAX_DEATHS, split=None)
    done = store.get(job.id)
    assert (done.state, str(done.units[0].state)) == (JobState.FAILED, "succeeded")
    assert done.verification is not None
    assert done.verification.error is not None
    assert (done.verification.verdict, done.verification.error["code"]) == ("failed", "worker-died")
    assert store.claim("w") is None


def test_being_handed_back_is_no_death(store: JobStore) -> None:
    """A service may be stopped as often as one likes."""
    job = submit(store, ["ce"], ["val"])
    for _ in range(MAX_DEATHS + 1):
        claim = take(store)
        store.start_unit(claim, "val")
        store.hand_back(claim)
    finish_all(store)
    assert store.get(job.id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("deaths_before", [0, MAX_DEATHS - 1])
def test_a_cancelled_job_ends_when_its_worker_dies(store: JobStore, deaths_before: int) -> None:
    """No other worker has to take it up, at the first death as at the fifth."""
    job = submit(store, ["ce"], ["val", "test"])
    die(store, deaths_before)
    store.start_unit(take(store, "w"), "val")
    assert store.cancel(job.id).state is JobState.CANCELLING
    store.reap("w")
    assert store.get(job.id).state is JobState.CANCELLED
    assert all(u.state.ended for u in store.get(job.id).units)
    assert store.claim("w2") is None


def test_a_job_cancelled_in_verification_ends_when_its_worker_dies(store: JobStore) -> None:
    """Here too nobody has to take it up."""
    job = submit(store, ["ce"], ["val"])
    finish(store, take(store))
    take(store, "w")
    store.cancel(job.id)
    store.reap("w")
    assert store.get(job.id).state is JobState.CANCELLED


def test_deaths_over_one_split_are_not_held_against_the_next(store: JobStore) -> None:
    """MAX_DEATHS counts deaths over the same unit; the stored error would say that five died over this one."""
    job = submit(store, ["ce"], ["val", "test"])
    die(store, MAX_DEATHS - 1)
    claim = take(store, "last")
    store.finish_unit(claim, "val", artifact(), REPORT, DONE, is_there=lambda: True)
    store.start_unit(claim, "test")
    store.reap("last")
    assert [str(u.state) for u in store.get(job.id).units] == ["succeeded", "queued"]


def test_a_cancelled_job_is_cancelled_even_at_the_fifth_death(store: JobStore) -> None:
    """From `cancelling` there is one way, as `final_state` says."""
    job = submit(store, ["ce"], ["val"])
    finish(store, take(store))
    die(store, MAX_DEATHS - 1, split=None)
    take(store, "w")
    store.cancel(job.id)
    store.reap("w")
    assert store.get(job.id).state is JobState.CANCELLED


def test_looking_at_a_lock_leaves_no_file(tmp_path: Path) -> None:
    """Who looks after a worker that was buried must not bring its lock file back."""
    assert not is_held(tmp_path / "w.lock")
    assert list(tmp_path.iterdir()) == []


def test_a_verification_may_be_done_by_whoever_lives(store: JobStore) -> None:
    """Fewer than five deaths put it back, and the next worker ends the job."""
    job = submit(store, ["ce"], ["val"])
    finish(store, take(store))
    die(store, 1, split=None)
    store.finish_job(take(store), PASSED)
    assert store.get(job.id).state is JobState.SUCCEEDED
