"""The worker's one place that catches: what is retried, what fails a unit, what ends the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from app.domain.errors import FatalError, JobError, TransientError
from app.domain.job_kinds import HEAVY_TASKS, LIGHT_TASKS, TASKS
from app.domain.jobs import Claim, Job, JobState, UnitState
from app.settings import Settings
from app.store.database import Database
from app.store.jobs import JobStore
from app.store.liveness import hold_lock, reap_dead_workers, worker_lock
from tests.computing import worker_context
from tests.fakes import ARITHMETIC, Home, finish, submit, take
from tests.unit.test_requests import VERIFICATION
from worker import loop
from worker.context import Context


@pytest.fixture
def context(database: Database, store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(loop, "RETRY_AFTER_S", 0.0)
    return worker_context(Settings(data_dir=tmp_path, outputs_dir=tmp_path, _env_file=None), database)


@contextmanager
def _recorded(context: Context) -> Iterator[None]:
    """The worker `w` lives and is on record for as long as the block."""
    with hold_lock(worker_lock(context.settings.locks_dir, "w")):
        context.jobs.add_worker("w", pid=1, device="cpu", devices=1, environment=ARITHMETIC)
        yield


@pytest.fixture
def claim(store: JobStore) -> Claim:
    submit(store, ["ce"], ["val", "test"])
    return take(store)


DECLARATION: dict[str, Any] = {"kind": "npz", "root": "digits", "splits": "digits_splits", "experts": "experts"}
DECLARATION |= {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@dataclass
class _Failing:
    """Raises one error after the other, then succeeds."""

    errors: list[BaseException]
    runs: int = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)


def _failure(store: JobStore, job: Job) -> str:
    """The code for which the job failed, in place of a verdict."""
    done = store.get(job.id)
    assert done.state is JobState.FAILED
    assert done.verification is not None
    assert (done.verification.verdict, done.verification.checks) == ("failed", ())
    return str((done.verification.error or {})["code"])


def _errors(store: JobStore, claim: Claim) -> list[dict[str, Any] | None]:
    return [unit.error for unit in store.get(claim.job.id).units]


@pytest.mark.parametrize("error", [TransientError("busy", "Busy."), sqlite3.OperationalError("database is locked")])
def test_what_may_pass_is_tried_again(context: Context, store: JobStore, claim: Claim, error: Exception) -> None:
    """Twice more; then it is done, and nothing is recorded as failed."""
    run = _Failing([error, error])
    loop._guarded(claim, context, ["val"], run)
    assert run.runs == 3
    assert _errors(store, claim) == [None, None]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TransientError("busy", "Busy."), "busy"),
        (sqlite3.OperationalError("disk full"), "store-unusable"),
        (JobError("split-changed", "Changed."), "split-changed"),
        (OSError(28, "No space left on device", "/outputs/x"), "disk-error"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out-of-memory"),
        (ZeroDivisionError("a bug"), "internal-error"),
    ],
)
def test_what_does_not_pass_fails_its_units_alone(
    context: Context, store: JobStore, claim: Claim, error: Exception, code: str
) -> None:
    """The named unit fails with a stored code; the other stays open."""
    loop._guarded(claim, context, ["val"], _Failing([error] * 5))
    val, test = store.get(claim.job.id).units
    assert val.error is not None
    assert (val.state, val.error["code"]) == (UnitState.FAILED, code)
    assert test.state is UnitState.QUEUED


def test_a_lost_device_ends_the_process(context: Context, store: JobStore, claim: Claim) -> None:
    """Wherever it shows: nothing is recorded, and the next worker takes the claim up."""
    with pytest.raises(FatalError, match="illegal memory access"):
        loop._guarded(
            claim, context, ["val"], _Failing([torch.AcceleratorError("CUDA error: illegal memory access")])
        )
    assert _errors(store, claim) == [None, None]


def test_a_store_that_fails_while_a_claim_is_held_ends_the_process(
    context: Context, database: Database, store: JobStore
) -> None:
    """Only this worker's death would free the claim: it must not go on and leave the job running for ever."""
    submit(store, ["ce"], ["val"])

    class Broken(JobStore):
        def end_task(self, claim: Claim) -> None:
            raise sqlite3.OperationalError("disk full")

        def fail_unit(self, *args: Any, **more: Any) -> None:
            raise sqlite3.OperationalError("disk full")

    with _recorded(context), pytest.raises(FatalError, match="disk full"):
        loop.work(replace(context, jobs=cast(JobStore, Broken(database))), database, "w", HEAVY_TASKS)


def test_a_worker_that_was_taken_for_dead_ends(context: Context, database: Database, store: JobStore) -> None:
    """Whatever it claimed would be taken from it again and again; what it holds is freed for others."""
    job = submit(store, ["ce"], ["val"])
    held = take(store)  # of a worker that is on record no more
    with pytest.raises(FatalError, match="for dead"):
        loop.work(context, database, "w", HEAVY_TASKS)
    assert reap_dead_workers(store, context.settings.locks_dir) == ["w"]
    again = take(store, "next")
    assert (again.job.id, again.token) == (job.id, held.token + 1)


def test_a_verification_that_cannot_be_carried_out_records_why(context: Context, store: JobStore) -> None:
    """Its upload is gone: the job has failed, with that error in place of a verdict on the files."""
    job = store.submit(replace(VERIFICATION, declaration=DECLARATION))
    loop._conclude(take(store), context)
    assert _failure(store, job) == "upload-not-found"


def test_a_bug_in_a_verification_fails_it_alone(context: Context, store: JobStore) -> None:
    """What nobody foresaw is recorded as an error of relogit's own, and the worker lives on."""
    job = store.submit(replace(VERIFICATION, declaration={"kind": "nonsense"}))
    loop._conclude(take(store), context)
    assert _failure(store, job) == "internal-error"


def test_a_jobs_own_checks_that_cannot_be_done_fail_it(context: Context, store: JobStore) -> None:
    """A finished unit's file is gone from the disk: the verdict is no success."""
    job = submit(store, ["a", "b"], ["val"])
    for _ in range(2):
        finish(store, take(store))
    loop._conclude(take(store), context)
    assert _failure(store, job) == "disk-error"


def test_a_verification_is_done_by_whoever_looks(database: Database, store: JobStore, home: Home) -> None:
    """One thread takes what is to be looked at, and leaves what is to be computed to the other."""
    other = submit(store, ["ce"], ["val"])
    folder = home.settings.outputs_dir / "here"
    (folder / "ce").mkdir(parents=True)
    (folder / "ce" / "val_logits.npz").write_bytes(b"nothing")
    declaration = home.catalog().dataset("digits").model_dump(mode="json")
    request = replace(VERIFICATION, upload=None, path="here", files=VERIFICATION.files[:1], declaration=declaration)
    job = store.submit(request)
    context = worker_context(home.settings, database, stopping=lambda: store.get(job.id).state.ended)
    with _recorded(context):
        loop.work(context, database, "w", LIGHT_TASKS)
    done = store.get(job.id)
    assert done.state is JobState.SUCCEEDED
    assert done.verification is not None
    assert done.verification.verdict == "failed"
    assert store.get(other.id).state is JobState.QUEUED


def test_a_verification_is_handed_back_or_ended(database: Database, store: JobStore, home: Home) -> None:
    """A worker that ends leaves it to the next one; a cancelled one is nobody's."""
    job = store.submit(replace(VERIFICATION, declaration=DECLARATION, upload=None, path="."))
    context = worker_context(home.settings, database)
    loop._do(take(store), replace(context, stopping=lambda: True))
    again = take(store, "next")
    assert again.job.id == job.id
    store.cancel(job.id)
    loop._do(again, context)
    assert store.get(job.id).state is JobState.CANCELLED


def test_every_kind_of_task_has_a_function() -> None:
    """A kind that the table names and no worker can do would wait for ever."""
    assert set(loop.FUNCTIONS) == set(TASKS) == {*HEAVY_TASKS, *LIGHT_TASKS}
