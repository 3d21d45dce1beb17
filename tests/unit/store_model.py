"""What the job store should do, told once more in plain Python: what the state machine holds the store against.

Only what happened is kept here: who holds which task, what became of a unit that was worked on. What follows from
that, a job's state above all, is worked out at each look, while the store writes it down as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.domain.checks import JobReport
from app.domain.job_kinds import Task
from app.domain.jobs import MAX_DEATHS, Progress

DIED, LATE = "worker-died", "deadline-exceeded"
TAKEN_UP = "its worker died; taken up again"


@dataclass
class ModelUnit:
    """One (expert, split), as far as workers have told."""

    split: str
    state: str = "queued"
    progress: Progress = field(default_factory=lambda: Progress(0, 0))
    artifact: str | None = None
    error: str | None = None
    attempts: int = 0

    @property
    def open(self) -> bool:
        return self.state in ("queued", "running")

    def begin(self) -> None:
        self.attempts += 1
        self.state, self.progress = "running", Progress(0, 0, None, self.progress.notes)

    def back(self) -> None:
        """Nobody is at it any more; the next one begins from the start."""
        if self.state == "running":
            self.state, self.progress = "queued", Progress(0, 0, None, self.progress.notes)


@dataclass
class ModelTask:
    """What one worker claims. Nobody's while `worker` is None."""

    kind: Task
    expert: str
    units: list[ModelUnit]
    worker: str | None = None
    token: int = 0
    deaths: int = 0
    over: bool = False
    """Its worker said so, or too many died over it."""

    @property
    def open_units(self) -> list[ModelUnit]:
        return [unit for unit in self.units if unit.open]

    def unit(self, split: str) -> ModelUnit:
        return next(unit for unit in self.units if unit.split == split)

    def take(self, worker: str) -> None:
        self.worker, self.token = worker, self.token + 1

    def give_back(self) -> None:
        self.worker = None
        for unit in self.units:
            unit.back()

    def end(self) -> None:
        self.worker, self.over = None, True


@dataclass
class ModelJob:
    """A job with its tasks, in the order in which they are to be claimed."""

    id: str
    kind: str
    precision: str
    upload: str | None
    tasks: list[ModelTask]
    cancelled: bool = False
    overdue: bool = False
    """Cancelled by its deadline, rather than by anybody."""
    verification: JobReport | None = None

    def state_of(self, task: ModelTask) -> str:
        """`waiting`, `queued`, `claimed` or `ended`."""
        if task.over:
            return "ended"
        if task.worker is not None:
            return "claimed"
        others = [self.state_of(other) for other in self.tasks if other is not task and task.kind == "verify"]
        if any(state != "ended" for state in others):
            return "waiting"
        return "ended" if self.cancelled else "queued"  # what nobody holds ends with a cancel

    def state_of_unit(self, task: ModelTask, unit: ModelUnit) -> str:
        """What was not done when its task ended, never will be."""
        return "cancelled" if unit.open and self.state_of(task) == "ended" else unit.state

    @property
    def ended(self) -> bool:
        return all(self.state_of(task) == "ended" for task in self.tasks)

    @property
    def state(self) -> str:
        """What its tasks, units and verdict come to."""
        if not self.ended:
            untouched = all(task.token == 0 for task in self.tasks)
            return "cancelling" if self.cancelled else "queued" if untouched else "running"
        if self.cancelled:
            return "failed" if self.overdue else "cancelled"
        report = self.verification or JobReport.failed({})
        good = report.verdict == "passed" if self.kind == "recompute" else report.error is None
        done = all(unit.state == "succeeded" for task in self.tasks for unit in task.units)
        return "succeeded" if good and done else "failed"

    @property
    def artifacts(self) -> set[str]:
        return {unit.artifact for task in self.tasks for unit in task.units if unit.artifact is not None}


class Model:
    """All jobs in the order in which they came, and the workers on record with what they compute in."""

    def __init__(self) -> None:
        self.jobs: list[ModelJob] = []
        self.workers: dict[str, Sequence[str]] = {}

    def next_task(self, precisions: Sequence[str], kinds: Iterable[str]) -> tuple[ModelJob, ModelTask] | None:
        """What a worker should get: of the oldest job, the first that it may take."""
        offered = {precision for others in self.workers.values() for precision in others}
        for job in self.jobs:
            wanted = job.precision in precisions or job.precision not in offered
            for task in job.tasks:
                if job.state_of(task) == "queued" and task.kind in kinds and (wanted or task.kind != "recompute"):
                    return job, task
        return None

    def held_by(self, worker: str) -> list[tuple[ModelJob, ModelTask]]:
        return [(job, task) for job in self.jobs for task in job.tasks if task.worker == worker]

    def reap(self, worker: str) -> list[str]:
        """Ids of the jobs that it held tasks of."""
        held = self.held_by(worker)
        looking = any(task.kind == "check" for _, task in held)
        for job, task in held:
            task.deaths += not looking or task.kind == "check"
            if task.kind == "recompute":
                self._die_computing(task)
            elif task.deaths == MAX_DEATHS:
                job.verification = JobReport.failed({"code": DIED})
                task.end()
            task.worker = None
        self.workers.pop(worker, None)
        return [job.id for job, _ in held]

    def _die_computing(self, task: ModelTask) -> None:
        running = [unit for unit in task.units if unit.state == "running"]
        if task.deaths == MAX_DEATHS:
            task.deaths = 0
            for unit in running or task.open_units:
                unit.state, unit.error = "failed", DIED
        elif task.open_units:
            for unit in running:
                at = unit.progress
                unit.progress = Progress(at.reused, at.computed, at.rate, (*at.notes, TAKEN_UP))
        if task.open_units:
            task.give_back()
        else:
            task.end()

    def referring_to(self, digest: str) -> list[ModelJob]:
        return [job for job in self.jobs if digest in job.artifacts]
