"""Jobs and units as values; what no order of events may break, the store's state machine tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.jobs import Job, JobState, Unit, UnitState, final_state
from tests.fakes import job_request


def unit(state: UnitState, **more: float) -> Unit:
    return Unit("ce", "val", state, total=10, split_sha256="x", done=int(more.get("done", 0)), rate=more.get("rate"))


@pytest.mark.parametrize("enum", [JobState, UnitState])
def test_just_the_last_three_states_are_final(enum: type[JobState] | type[UnitState]) -> None:
    """Succeeded, failed and cancelled, for jobs as for units."""
    assert [str(state) for state in enum if state.ended] == ["succeeded", "failed", "cancelled"]


def test_the_remaining_time_is_known_only_while_a_unit_runs_at_a_rate() -> None:
    """Neither a rate of zero nor an ended unit divides anything."""
    assert unit(UnitState.RUNNING, done=4, rate=2.0).remaining_s == 3.0
    assert unit(UnitState.RUNNING, done=0, rate=0.0).remaining_s is None
    assert unit(UnitState.RUNNING).remaining_s is None
    assert unit(UnitState.SUCCEEDED, done=4, rate=2.0).remaining_s is None


@pytest.mark.parametrize(
    ("units", "cancelled", "verified", "expected"),
    [
        ([UnitState.SUCCEEDED] * 2, False, True, JobState.SUCCEEDED),
        ([UnitState.SUCCEEDED] * 2, False, False, JobState.FAILED),
        ([UnitState.SUCCEEDED, UnitState.FAILED], False, True, JobState.FAILED),
        ([UnitState.SUCCEEDED] * 2, True, True, JobState.CANCELLED),
        ([UnitState.FAILED, UnitState.CANCELLED], True, False, JobState.CANCELLED),
    ],
)
def test_a_job_succeeds_only_if_all_is_there_and_verified(
    units: list[UnitState], cancelled: bool, verified: bool, expected: JobState
) -> None:
    """A wish to cancel stands above both."""
    units_ = tuple(unit(state) for state in units)
    job = Job("j", JobState.RUNNING, job_request(), units_, 0.0, cancel_requested=cancelled)
    assert final_state(job, verified=verified) is expected
    assert final_state(replace(job, error={"code": "deadline-exceeded"}), verified=verified) is JobState.FAILED
