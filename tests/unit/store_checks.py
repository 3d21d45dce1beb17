"""What has to be true of a job store at every moment, held against the model."""

from __future__ import annotations

from app.domain.jobs import MAX_DEATHS, Job, Unit
from app.store.database import Database
from app.store.jobs import JobStore
from tests.unit.store_model import LATE, Model, ModelJob, ModelTask, ModelUnit

Ended = dict[tuple[str, ...], Job | Unit]
"""Jobs by their id, units by job, expert and split: as they were when they had just ended."""


def check_as_modelled(jobs: list[Job], store: JobStore, database: Database, model: Model) -> None:
    """Every job (newest first), unit, task, worker and reference is as the model says, and nothing else is there."""
    assert [job.id for job in jobs] == [job.id for job in reversed(model.jobs)]
    for job, expected in zip(reversed(jobs), model.jobs, strict=True):
        _check_job(job, expected)
    rows = database.connection.execute(
        "SELECT tasks.* FROM tasks JOIN jobs ON jobs.id = tasks.job ORDER BY jobs.seq, tasks.position"
    ).fetchall()
    tasks = [(job, task) for job in model.jobs for task in job.tasks]
    for row, (owner, task) in zip(rows, tasks, strict=True):
        state = owner.state_of(task)
        found = (row["job"], row["task"], row["expert"], row["state"], row["token"])
        assert found == (owner.id, task.kind, task.expert, state, task.token)
        if state != "ended":
            assert (row["worker"], row["deaths"]) == (task.worker, task.deaths)
            assert task.deaths < MAX_DEATHS
            assert task.worker is None or task.worker in model.workers
    assert [worker["id"] for worker in store.workers()] == sorted(model.workers)
    assert store.artifacts() == {digest for job in model.jobs for digest in job.artifacts}
    assert store.uploads() == {job.upload for job in model.jobs if job.upload is not None}


def _check_job(job: Job, expected: ModelJob) -> None:
    assert (str(job.state), job.cancel_requested) == (expected.state, expected.cancelled)
    assert (job.error["code"] if job.error else None) == (LATE if expected.overdue else None)
    assert job.state.ended is (job.finished_at is not None)
    assert (job.started_at is None) is all(task.token == 0 for task in expected.tasks)
    expected_error = expected.verification.error if expected.verification else None
    if expected_error and expected_error["code"] == "worker-died":
        assert job.verification is not None
        assert job.verification.error is not None
        assert job.verification.error["code"] == "worker-died"
    else:
        assert job.verification == expected.verification
    pairs = [(task, unit) for task in expected.tasks for unit in task.units]
    for found, (task, unit) in zip(job.units, pairs, strict=True):
        _check_unit(found, expected, task, unit)
    if job.state.ended:
        assert all(unit.state.ended for unit in job.units)


def _check_unit(found: Unit, job: ModelJob, task: ModelTask, unit: ModelUnit) -> None:
    assert (found.expert, found.split) == (task.expert, unit.split)
    assert str(found.state) == job.state_of_unit(task, unit)
    at = unit.progress
    assert (found.reused, found.computed, found.done, found.notes) == (at.reused, at.computed, at.done, at.notes)
    late = LATE if job.overdue and str(found.state) == "cancelled" else None
    assert (found.error["code"] if found.error else None) == (unit.error or late)
    assert found.attempts == unit.attempts
    assert (found.artifact.sha256 if found.artifact else None) == unit.artifact
    assert (found.report is None) is (unit.artifact is None)
    assert found.state.ended is (found.finished_at is not None)
    if found.state == "running":
        assert found.started_at is not None
        assert found.rate == at.rate


def check_ended_stay(jobs: list[Job], seen: Ended) -> None:
    """What had ended at an earlier look is the same, word for word; what has ended since is remembered."""
    for job in jobs:
        for unit in job.units:
            if unit.state.ended:
                assert seen.setdefault((job.id, unit.expert, unit.split), unit) == unit
        if job.state.ended:
            assert seen.setdefault((job.id,), job) == job
