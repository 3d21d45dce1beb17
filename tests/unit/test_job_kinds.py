"""The table of kinds: what the store makes of a job follows from it alone."""

from __future__ import annotations

from typing import get_args

import pytest

from app.domain.job_kinds import JOB_KINDS, TASKS, NewTask, Task, tasks_of
from app.domain.requests import Request
from tests.fakes import job_request
from tests.unit.test_requests import SPLITS, VERIFICATION


def test_a_recompute_job_is_verified_after_its_experts() -> None:
    """One task an expert, in the order given; the verification waits for all of them."""
    assert tasks_of(job_request(["b", "a"])) == [
        NewTask("recompute", "b"), NewTask("recompute", "a"), NewTask("verify", waiting=True)
    ]  # fmt: skip


@pytest.mark.parametrize("request_", [job_request(), VERIFICATION])
def test_every_task_of_a_job_is_of_a_known_kind(request_: Request) -> None:
    """And one of them at least can be claimed at once, so that the job ends."""
    tasks = tasks_of(request_)
    assert {new.task for new in tasks} <= set(TASKS) == set(get_args(Task))
    assert any(not new.waiting for new in tasks)
    assert JOB_KINDS[request_.kind].request is type(request_)


def test_a_kind_that_is_only_read_cannot_be_queued() -> None:
    """No worker has a task for it: such a job would never end."""
    with pytest.raises(ValueError, match="'splits' cannot be queued"):
        tasks_of(SPLITS)
