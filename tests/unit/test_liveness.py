"""Who lives, told by locks; and what becomes of the work of those who died."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.domain.jobs import MAX_DEATHS, JobState, Progress
from app.domain.numerics import ComputeEnvironment
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.liveness import compute_environments, hold_lock, is_held, living, reap_dead_workers, worker_lock
from tests.fakes import REPORT, artifact, finish_all, refused, submit, take
from tests.unit.test_requests import VERIFICATION

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


def test_a_death_beside_a_light_task_is_not_held_against_the_unit(store: JobStore) -> None:
    """A light task takes a moment, so a worker that died over both most likely died of that."""
    computed, checked = submit(store, ["ce"], ["val"]), store.submit(VERIFICATION)
    for _ in range(MAX_DEATHS):
        store.start_unit(take(store), "val")
        assert store.claim("w", tasks=("check",)) is not None
        store.reap("w")
    assert [store.get(job.id).state for job in (computed, checked)] == [JobState.RUNNING, JobState.FAILED]
    assert str(store.get(computed.id).units[0].state) == "queued"


def test_looking_at_a_lock_leaves_no_file(tmp_path: Path) -> None:
    """Who looks after a worker that was buried must not bring its lock file back."""
    assert not is_held(tmp_path / "w.lock")
    assert list(tmp_path.iterdir()) == []
