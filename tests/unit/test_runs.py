"""Runs of the whole workflow: each step is taken once, kept where it is right, and ends the run where it fails."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import Any

import pytest

from app.api.dependencies import Services
from app.domain.checks import JobReport
from app.domain.errors import Conflict
from app.domain.jobs import JobOptions, JobState, UnitPlan
from app.retention.retention import Limits, collect, delete_job
from app.store.runs import Submission
from tests.fakes import ERROR, Home, artifact, job_request, take
from tests.unit.run_world import STEPS, RunWorld


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


def test_each_step_is_a_job_that_begins_once_the_one_before_has_ended(world: RunWorld) -> None:
    """From splits that are there to an evaluation, in order; several rejectors are one step."""
    run = world.submit()
    world.workflow.advance_all()
    assert world.states(run) == ["kept", "running", "waiting", "waiting", "waiting", "waiting"]
    assert world.kinds() == ["recompute"]
    assert world.get(run).state is JobState.RUNNING
    ended = world.finish(run)
    assert ended.state is JobState.SUCCEEDED
    assert world.states(run) == ["kept", *["succeeded"] * 5]
    assert world.kinds() == ["recompute", "gating", "rejector", "rejector", "evaluation"]
    steps = world.steps(run)
    evaluation = world.get(steps["evaluation"].jobs[0]).request
    assert (evaluation.gatings, evaluation.rejectors) == (steps["gating"].jobs, steps["rejector"].jobs)  # type: ignore[union-attr]


def test_a_second_run_keeps_every_step_and_says_why(world: RunWorld) -> None:
    """Nothing is submitted, and the steps name the jobs of the first run."""
    first = world.run()
    kinds = world.kinds()
    second = world.run()
    assert world.kinds() == kinds
    assert [step.jobs for step in second.steps] == [step.jobs for step in first.steps]
    assert [(step.state, step.reason) for step in second.steps] == [
        ("kept", "the set digits_splits exists"),
        ("kept", "same checkpoints, same splits, 6 files unchanged"),
        ("kept", "6 files unchanged since all checks passed"),
        ("kept", "same logits, same splits, same options"),
        ("kept", "same gating, same options"),
        ("kept", "same gating, same rejectors, same test rows"),
    ]


@pytest.mark.parametrize("last", STEPS)
def test_until_names_the_last_step(world: RunWorld, last: str) -> None:
    """The run ends with it, and later steps do not exist."""
    assert [step.step for step in world.run(until=last).steps] == list(STEPS[: STEPS.index(last) + 1])


@pytest.mark.parametrize(
    ("body", "redone"),
    [
        ({"recompute": {"head_threshold": 5}}, {"recompute", "verify"}),
        ({"recompute": {"reuse": False}}, {"recompute", "verify"}),
        ({"gating": {"prior": "train"}}, {"gating", "rejector", "evaluation"}),
        ({"rejectors": [{"score": "msp"}]}, {"rejector", "evaluation"}),
        ({"evaluation": {"name": "other"}}, {"evaluation"}),
    ],
)
def test_an_option_redoes_the_steps_that_depend_on_it(
    world: RunWorld, body: dict[str, object], redone: set[str]
) -> None:
    """Equal logits are equal input: recomputed to the same bytes, they change nothing."""
    world.run()
    assert {step.step for step in world.run(**body).steps if step.state != "kept"} == redone


@pytest.mark.parametrize("what", ["checkpoint", "val list", "artifact", "published logits", "published mixture"])
def test_a_changed_file_redoes_the_steps_that_depend_on_it(world: RunWorld, what: str) -> None:
    """A file that is not what it was is noticed by its content or identity."""
    first = world.run()
    recompute, gating = (world.get(step.jobs[0]) for step in first.steps if step.step in ("recompute", "gating"))
    unit, settings = recompute.units[0], world.services.settings
    assert unit.artifact is not None
    outputs, after = settings.outputs_dir, {"gating", "rejector", "evaluation"}
    paths = {
        "checkpoint": (world.home.experts / "best_ce.pth", {"recompute", "verify"} | after),
        "val list": (world.home.data / "digits_splits" / "val_indices.json", {"recompute", "verify"} | after),
        "artifact": (next(settings.objects_dir.glob(f"*/{unit.artifact.sha256}.npz")), {"recompute", "verify"}),
        "published logits": (
            outputs / "logits_fixed" / unit.expert / f"{unit.split}_logits.npz",
            {"recompute", "verify"},
        ),
        "published mixture": (outputs / "gating" / gating.units[0].expert / "val_logits.npz", after),
    }
    path, redone = paths[what]
    path.write_text("[1, 0]" if what == "val list" else "other")
    assert {step.step for step in world.run().steps if step.state != "kept"} == redone


def test_a_result_that_a_later_one_of_its_name_replaced_is_not_kept(world: RunWorld) -> None:
    """The files of its name are the other's: back to the first options, they are written again."""
    world.run()
    world.run(gating={"prior": "train"})
    assert {step.step for step in world.run().steps if step.state != "kept"} == {"gating", "rejector", "evaluation"}


def test_equal_logits_of_another_set_are_not_kept(world: RunWorld) -> None:
    """The published manifests would name the other set of splits."""
    world.run(until="verify")
    shutil.copytree(world.home.data / "digits_splits", world.home.data / "equal")
    assert world.run(until="verify", recompute={"splits_dir": "equal"}).steps[1].state == "succeeded"
    assert [step.state for step in world.run(until="verify").steps] == ["kept", "succeeded", "succeeded"]


def test_no_step_is_submitted_twice(world: RunWorld) -> None:
    """Neither by a second look, nor by another process that looked at the same time."""
    run = world.submit()
    world.workflow.advance_all()
    step = world.steps(run)["recompute"]
    request = world.get(step.jobs[0]).request
    world.workflow.advance_all()
    runs = world.services.workflows.runs
    assert not runs.submit_step(run, step, [Submission(request)], JobOptions())
    assert world.kinds() == ["recompute"]


def test_jobs_and_step_are_recorded_together(world: RunWorld) -> None:
    """A process that dies while it records them leaves neither, and the next look takes the step anew."""

    class Dying(Sequence[UnitPlan]):
        """Units whose insertion is the process's last deed."""

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: object) -> Any:
            raise KeyboardInterrupt

    run = world.submit()
    step = world.steps(run)["recompute"]
    request = job_request()
    runs, jobs = world.services.workflows.runs, [Submission(request), Submission(request, Dying())]
    with pytest.raises(KeyboardInterrupt):
        runs.submit_step(run, step, jobs, JobOptions())
    assert (world.kinds(), world.states(run)) == ([], ["waiting"] * 6)
    assert world.finish(run).state is JobState.SUCCEEDED


def test_a_failed_job_fails_the_run_with_its_reason(world: RunWorld) -> None:
    """The step has the job's error, the run names the step, and later steps are cancelled."""
    run = world.submit()
    world.workflow.advance_all()
    jobs = world.services.jobs
    while (claim := jobs.claim("w")) is not None and claim.task == "recompute":
        for unit in claim.open_units:
            jobs.start_unit(claim, unit.split)
            jobs.fail_unit(claim, unit.split, ERROR)
        jobs.end_task(claim)
    assert claim is not None
    jobs.finish_job(claim, JobReport("failed"))
    world.workflow.advance_all()
    ended, step = world.get(run), world.steps(run)["recompute"]
    assert ended.state is JobState.FAILED
    assert world.states(run) == ["kept", "failed", *["cancelled"] * 4]
    assert step.error == ERROR | {"details": {"job": step.jobs[0]}}
    assert ended.error is not None
    assert (ended.error["code"], ended.error["details"]) == (ERROR["code"], {"step": "recompute"})


def test_a_step_that_is_impossible_fails_the_run(world: RunWorld) -> None:
    """What was right at submission and is not any more is found by its step."""
    run = world.submit()
    (world.home.data / "digits_splits" / "val_indices.json").unlink()
    world.workflow.advance_all()
    error = world.steps(run)["recompute"].error
    assert error is not None
    assert error["code"] == "unknown-split"
    assert world.get(run).state is JobState.FAILED
    assert world.kinds() == []


def test_a_cancelled_job_cancels_the_run(world: RunWorld) -> None:
    """As if the run had been cancelled."""
    run = world.submit()
    world.workflow.advance_all()
    world.services.jobs.cancel(world.steps(run)["recompute"].jobs[0])
    world.workflow.advance_all()
    assert world.get(run).state is JobState.CANCELLED
    assert world.states(run) == ["kept", *["cancelled"] * 5]


def test_cancelling_a_run_cancels_its_job(world: RunWorld) -> None:
    """The run is being cancelled until its job has ended, which may have to finish a batch."""
    run, idle = world.submit(), world.submit()
    assert world.services.jobs.cancel(idle).state is JobState.CANCELLED
    world.workflow.advance_all()
    child = world.steps(run)["recompute"].jobs[0]
    claim = take(world.services.jobs)
    assert world.services.jobs.cancel(run).state is JobState.CANCELLING
    assert world.get(child).state is JobState.CANCELLING
    world.workflow.advance_all()
    assert world.get(run).state is JobState.CANCELLING
    world.services.jobs.end_task(claim)
    world.workflow.advance_all()
    assert (world.get(child).state, world.get(run).state) == (JobState.CANCELLED, JobState.CANCELLED)
    assert world.states(run) == ["kept", *["cancelled"] * 5]


def test_a_deadline_holds_for_the_jobs_of_a_run(world: RunWorld) -> None:
    """They get the time that is left; past it, both have failed by it."""
    run = world.submit(deadline_s=60.0)
    world.workflow.advance_all()
    child = world.steps(run)["recompute"].jobs[0]
    assert world.get(child).deadline_at == pytest.approx(world.get(run).deadline_at, abs=0.1)
    with world.services.database.transaction() as db:
        db.execute("UPDATE jobs SET deadline_at = ?", (time.time() - 1,))
    world.services.jobs.expire()
    world.workflow.advance_all()
    for job in (world.get(child), world.get(run)):
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error["code"] == "deadline-exceeded"


def test_what_an_open_run_goes_on_from_is_not_deleted(world: RunWorld) -> None:
    """Neither on request nor by retention; afterwards it is, and a run without its jobs can still be read."""
    first = world.run(until="recompute")
    child = first.steps[1].jobs[0]
    run = world.submit()
    world.workflow.advance_all()
    assert world.steps(run)["recompute"].jobs == (child,)
    with pytest.raises(Conflict) as refused:
        delete_job(child, world.services.storage)
    assert refused.value.code == "job-in-use"  # it names the run, or the gating that has begun
    old = Limits(jobs_older_than_s=-1.0)
    assert {job.id for job in collect(old, world.services.storage).jobs} == {first.id}
    world.finish(run)
    assert child in {job.id for job in collect(old, world.services.storage).jobs}


def test_a_run_whose_result_was_deleted_fails_rather_than_waits(world: RunWorld) -> None:
    """A job that ended and was deleted between two looks cannot be gone on from."""
    run = world.submit()
    world.workflow.advance_all()
    child = world.steps(run)["recompute"].jobs[0]
    with world.services.database.transaction() as db:
        db.execute("DELETE FROM jobs WHERE id = ?", (child,))
    world.workflow.advance_all()
    error = world.steps(run)["recompute"].error
    assert error is not None
    assert error["code"] == "job-not-found"


def test_an_artifact_of_another_job_is_not_taken_for_it(world: RunWorld) -> None:
    """The verify step reads the files: one that was changed since fails the run."""
    run = world.submit()
    world.workflow.advance_all()
    world.work()
    unit = world.get(world.steps(run)["recompute"].jobs[0]).units[0]
    assert unit.artifact is not None
    assert unit.artifact != artifact()
    for path in world.services.settings.objects_dir.glob(f"*/{unit.artifact.sha256}.npz"):
        path.write_bytes(b"other")
    world.workflow.advance_all()
    error = world.steps(run)["verify"].error
    assert error is not None
    assert error["code"] == "file-changed"
