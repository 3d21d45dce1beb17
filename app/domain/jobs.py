"""Jobs and units as values, their states, and the pure functions that move them.

A recompute job has a unit for every pair of its experts and splits. A worker claims one expert of a job with all its
splits, so that rows shared between splits are computed once. A gating has a unit for each split that it is applied
to. All other jobs have no units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from app.domain.checks import JobReport, ResultReport
from app.domain.job_kinds import Task
from app.domain.outcomes import Outcome
from app.domain.requests import LogitsRequest, RecomputeRequest, Request, UnitsRequest
from app.domain.run_requests import RunStep

MAX_DEATHS = 5
"""Workers that may die over the same unit before it counts as failed."""


class _State(StrEnum):
    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.value in ("succeeded", "failed", "cancelled")


class JobState(_State):
    """State of a job. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class UnitState(_State):
    """State of one (expert, split). The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """A unit as it is accepted, with the index list that its rows come from."""

    expert: str
    split: str
    total: int
    """Rows, one for each entry of the index list."""
    split_sha256: str
    """Of the index file that was checked; a worker that reads another one fails the unit."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What comes with a job beside its request."""

    deadline_s: float | None = None
    """Seconds after its acceptance by which it has to end; else it is stopped, and has failed."""
    traceparent: str | None = None
    """Of the request that it came with (W3C Trace Context)."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A unit's result on disk."""

    sha256: str
    """Of the .npz file, lower-case hex; also its name among the immutable files."""
    size: int
    """Bytes."""
    targets_sha256: str
    """Of the targets' int64 little-endian bytes: equal between experts of one split."""
    checkpoint_sha256: str
    data_sha256: str
    """Of the base's pixels and labels: equal between the units of a job that point into it."""
    base: str
    manifest: dict[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able fields, as stored and in the manifest."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a unit, in rows of its split."""

    reused: int
    computed: int
    rate: float | None = None
    """Rows a second, while it runs."""
    notes: tuple[str, ...] = ()
    """What was done otherwise than requested, if anything."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Phase → seconds spent in it so far."""

    @property
    def done(self) -> int:
        """Rows that are done."""
        return self.reused + self.computed


@dataclass(frozen=True, slots=True)
class Unit:
    """One (expert, split) of a job."""

    expert: str
    split: str
    state: UnitState
    total: int
    split_sha256: str
    done: int = 0
    reused: int = 0
    """Of its rows, those that needed no forward pass: kept from earlier, or repeated within the split."""
    computed: int = 0
    """Of its rows, those computed for it; with `reused` they add up to `total` once it is done."""
    rate: float | None = None
    """Samples a second, measured since the unit began."""
    error: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    artifact: Artifact | None = None
    report: ResultReport | None = None
    """The unit's verification, once it was verified."""
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 0
    """How often a worker has started it."""

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the measured rate; None without one, or if the unit is not running."""
        if self.state is not UnitState.RUNNING or not self.rate:
            return None
        return (self.total - self.done) / self.rate

    @property
    def accuracy(self) -> float | None:
        """Plain accuracy, a fraction, once the unit is verified."""
        return None if self.report is None else self.report.metrics.number("accuracy")


@dataclass(frozen=True, slots=True)
class Job:
    """One job with its units, in the order of the request: experts, and within each the splits."""

    id: str
    state: JobState
    request: Request
    units: tuple[Unit, ...]
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    cancel_requested: bool = False
    verification: JobReport | None = None
    """The job's own checks and its verdict, once all units have ended; for a verification also its results."""
    deadline_at: float | None = None
    """By when it has to end, in seconds since the epoch."""
    error: dict[str, Any] | None = None
    """Why it was stopped, unless it was cancelled: its deadline has passed."""
    traceparent: str | None = None
    """Of the request that it came with (W3C Trace Context); log records carry it."""
    outcome: Outcome | None = None
    """What a gating, rejector or evaluation resulted in, once that is known."""
    steps: tuple[RunStep, ...] = ()
    """Of a run, in order."""

    @property
    def recompute(self) -> RecomputeRequest:
        """The request of a recompute job."""
        if not isinstance(self.request, RecomputeRequest):
            raise TypeError(f"job {self.id} is a {self.request.kind}")
        return self.request

    @property
    def units_request(self) -> UnitsRequest:
        """The request of a job with units."""
        if not isinstance(self.request, UnitsRequest):
            raise TypeError(f"job {self.id} is a {self.request.kind}")
        return self.request

    @property
    def logits_request(self) -> LogitsRequest | None:
        """The request of a job whose results are logits; None for any other job."""
        return self.request if isinstance(self.request, LogitsRequest) else None

    def unit(self, expert: str, split: str) -> Unit | None:
        """Return the unit of that pair, or None."""
        return next((u for u in self.units if (u.expert, u.split) == (expert, split)), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to do one task.

    A `recompute` task is an expert's units, a `gating` the units of a combination, `verify` the verification of a job
    whose units have all ended; any other task is a whole job. The token goes up with each claim of the task; an older
    one can record nothing.
    """

    job: Job
    task: Task
    expert: str
    """Whose units they are; empty for a task without units."""
    worker: str
    token: int

    @property
    def open_units(self) -> tuple[Unit, ...]:
        """The expert's units that have not ended, in the order of the request."""
        return tuple(u for u in self.job.units if u.expert == self.expert and not u.state.ended)

    def data_sha256(self, base: str) -> str | None:
        """Return the base's digest from earlier units, if any."""
        artifacts = (u.artifact for u in self.job.units if u.artifact and u.artifact.base == base)
        return next((artifact.data_sha256 for artifact in artifacts), None)

    @property
    def checkpoint_sha256(self) -> str | None:
        """Digest of the checkpoint that the expert's earlier units were computed with, if any."""
        artifacts = (u.artifact for u in self.job.units if u.expert == self.expert and u.artifact)
        return next((artifact.checkpoint_sha256 for artifact in artifacts), None)


def final_state(job: Job, *, verified: bool) -> JobState:
    """Return the final state of a job without open units.

    It has `succeeded` only if every unit has and it is verified.
    """
    if job.error is not None:
        return JobState.FAILED
    if job.cancel_requested:
        return JobState.CANCELLED
    complete = all(unit.state is UnitState.SUCCEEDED for unit in job.units)
    return JobState.SUCCEEDED if verified and complete else JobState.FAILED
