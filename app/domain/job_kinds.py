"""The kinds of jobs, and the kinds of tasks that workers claim of them: one table of each.

A new kind of job has a request in `requests.py`, an entry here, a file in `app/submission` and a route; a new kind of
task has an entry here and a function in `worker/loop.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.comparisons import ComparisonOutcome
from app.domain.outcomes import EvaluationOutcome, GatingOutcome, Outcome, RejectorOutcome
from app.domain.requests import RecomputeRequest, Request, SplitsRequest, VerificationRequest
from app.domain.run_requests import RunRequest

Task = Literal[
    "recompute",
    "verify",
    "check",
    "gating",
    "gating_net",
    "verify_gating",
    "rejector",
    "evaluation",
    "comparison",
]


@dataclass(frozen=True, slots=True)
class TaskKind:
    """How the store treats one kind of task."""

    heavy: bool
    """Whether a worker's main thread does it, one after the other; a second thread does the light ones meanwhile."""
    activity: str
    """What a worker was doing when it died over such a task."""
    remedy: str
    """What may help then."""
    has_units: bool = False
    """Whether it computes the units of one expert, each of which ends by itself; any other task ends its job."""
    verdict_counts: bool = True
    """Whether its job fails if its verdict is `failed`; else a task that was carried out has succeeded."""


TASKS: Mapping[Task, TaskKind] = {
    "recompute": TaskKind(True, "computing this", "a smaller batch_size", has_units=True),
    "verify": TaskKind(True, "verifying this", "fewer or smaller splits"),
    "check": TaskKind(False, "verifying this", "fewer or smaller files", verdict_counts=False),
    "gating": TaskKind(False, "combining this", "fewer experts or splits", has_units=True),
    "gating_net": TaskKind(True, "combining this", "a method other than net", has_units=True),
    "verify_gating": TaskKind(False, "verifying this", "fewer or smaller splits"),
    "rejector": TaskKind(False, "fitting this", "fewer coverages"),
    "evaluation": TaskKind(False, "evaluating this", "fewer methods or test rows"),
    "comparison": TaskKind(False, "comparing these", "fewer experts or splits"),
}

HEAVY_TASKS: tuple[Task, ...] = tuple(task for task, kind in TASKS.items() if kind.heavy)
LIGHT_TASKS: tuple[Task, ...] = tuple(task for task, kind in TASKS.items() if not kind.heavy)


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task of a job that is being recorded."""

    task: Task
    expert: str = ""
    waiting: bool = False
    """Whether it has to wait until the job's other tasks have ended."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """What tells one kind of job from another."""

    request: type[Request]
    tasks: Callable[[Any], Sequence[NewTask]] | None
    """Lists the tasks for a new job's request; None for a kind that is read from old stores only."""
    outcome: type[Outcome] | None = None
    """What its jobs result in beside units and verification."""


def _recompute_tasks(request: RecomputeRequest) -> list[NewTask]:
    experts = [NewTask("recompute", expert) for expert in request.experts]
    return [*experts, NewTask("verify", waiting=True)]


def _gating_tasks(request: GatingRequest) -> list[NewTask]:
    trains = request.net_file is None and request.method in (None, "net")
    return [NewTask("gating_net" if trains else "gating", request.name), NewTask("verify_gating", waiting=True)]


JOB_KINDS: Mapping[str, JobKind] = {
    "recompute": JobKind(RecomputeRequest, _recompute_tasks),
    "verification": JobKind(VerificationRequest, lambda _: [NewTask("check")]),
    # Sets of splits are created without a job; stores of earlier versions hold such jobs, all of which have ended.
    "splits": JobKind(SplitsRequest, None),
    "gating": JobKind(GatingRequest, _gating_tasks, GatingOutcome),
    "rejector": JobKind(RejectorRequest, lambda _: [NewTask("rejector")], RejectorOutcome),
    "evaluation": JobKind(EvaluationRequest, lambda _: [NewTask("evaluation")], EvaluationOutcome),
    "comparison": JobKind(ComparisonRequest, lambda _: [NewTask("comparison")], ComparisonOutcome),
    # The service itself carries out a run, step by step; each step is a job of its own.
    "run": JobKind(RunRequest, lambda _: []),
}
"""By `Request.kind`, which the store records."""


def tasks_of(request: Request) -> Sequence[NewTask]:
    """List a new job's tasks in claim order.

    Raises:
        ValueError: jobs of this kind are only read.
    """
    tasks = JOB_KINDS[request.kind].tasks
    if tasks is None:
        raise ValueError(f"Jobs of kind {request.kind!r} cannot be queued any more.")
    return tasks(request)


def read_outcome(kind: str, data: Mapping[str, Any]) -> Outcome:
    """Rebuild an outcome that its `to_dict` wrote.

    Raises:
        ValueError: jobs of this kind have none.
    """
    outcome = JOB_KINDS[kind].outcome
    if outcome is None:
        raise ValueError(f"Jobs of kind {kind!r} have no outcome.")
    return outcome.from_dict(data)


def read_request(kind: str, data: Mapping[str, Any]) -> Request:
    """Rebuild a request that its `to_dict` wrote."""
    return JOB_KINDS[kind].request.from_dict(data)
