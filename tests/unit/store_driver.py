"""What the state machine's rules are made of: one step of the store beside the same step of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from app.domain.checks import JobReport
from app.domain.errors import NotFound, TransientError
from app.domain.job_kinds import Task
from app.domain.jobs import Claim, JobState, Progress, UnitPlan
from app.domain.requests import Precision, Request
from app.store.jobs import JobStore
from tests.fakes import ARITHMETIC, PASSED, REPORT, artifact, job_request
from tests.unit.store_checks import Ended, check_as_modelled, check_ended_stay
from tests.unit.store_model import Model, ModelJob, ModelTask, ModelUnit
from tests.unit.store_stumbling import Stumbled, StumblingDatabase

T = TypeVar("T")

ROWS = 8
LONGEST_CHANGE = 17
"""Statements, with the commit; most changes have fewer."""
KINDS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Held:
    """A claim that counts, beside what the model knows of it."""

    claim: Claim
    job: ModelJob
    task: ModelTask

    @property
    def stands(self) -> bool:
        return self.task.worker == self.claim.worker and self.task.token == self.claim.token


class StoreDriver(RuleBasedStateMachine):
    """Lives for one run, on the given database."""

    def __init__(self, database: StumblingDatabase) -> None:
        super().__init__()
        self.database = database
        self.store = JobStore(self.database)
        self.model = Model()
        self.claims: list[Held] = []
        self.seen_ended: Ended = {}
        self.changes = 0
        self.born = 0

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.database.close()

    # --- how it is asked --------------------------------------------------------------------------

    def change(self, step: Callable[[], T]) -> T:
        """Break it off after some statements, each time after another number of them, and then do it."""
        self.changes += 1
        before = self.database.content()
        try:
            with self.database.stumbling(self.changes % LONGEST_CHANGE):
                return step()
        except Stumbled:
            assert self.database.content() == before
        return step()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        before = self.database.content()
        yield
        assert self.database.content() == before

    @contextmanager
    def refused(self, error: type[Exception]) -> Iterator[None]:
        """Expect that error, with nothing changed."""
        with self.unchanged(), pytest.raises(error):
            yield

    def held(self, *kinds: Task) -> list[Held]:
        return [held for held in self.claims if held.stands and held.task.kind in kinds]

    def pick(self, pick: int, *kinds: Task) -> Held:
        found = self.held(*kinds)
        return found[pick % len(found)]

    def held_units(self) -> list[tuple[Held, ModelUnit]]:
        """What somebody may be computing."""
        return [(held, unit) for held in self.held("recompute") for unit in held.task.open_units]

    def pick_unit(self, pick: int) -> tuple[Held, ModelUnit]:
        found = self.held_units()
        return found[pick % len(found)]

    def new_worker(self, precisions: tuple[Precision, ...]) -> str:
        self.born += 1
        name = f"w{self.born}"
        able = replace(ARITHMETIC, precisions=precisions)
        self.change(lambda: self.store.add_worker(name, pid=1, device="cpu", devices=1, environment=able))
        self.model.workers[name] = precisions
        return name

    def take(self, worker: str, kinds: tuple[Task, ...] = KINDS) -> Held | None:
        precisions = self.model.workers[worker]
        expected = self.model.next_task(precisions, kinds)
        claim = self.change(lambda: self.store.claim(worker, precisions, kinds))
        if claim is None or expected is None:
            assert claim is None
            assert expected is None
            return None
        job, task = expected
        task.take(worker)
        assert (claim.job.id, claim.task, claim.expert) == (job.id, task.kind, task.expert)
        assert (claim.worker, claim.token) == (worker, task.token)
        assert claim.job == self.store.get(job.id)
        assert [unit.split for unit in claim.open_units] == [unit.split for unit in task.open_units]
        self.claims.append(Held(claim, job, task))
        return self.claims[-1]

    # --- steps ------------------------------------------------------------------------------------

    def submit_units(self, experts: list[str], splits: list[str], precision: Precision) -> None:
        request = replace(job_request(experts, splits), precision=precision)
        plans = [UnitPlan(expert, split, ROWS, f"sha-of-{split}") for expert in experts for split in splits]
        tasks = [ModelTask("recompute", expert, [ModelUnit(split) for split in splits]) for expert in experts]
        self.record(request, plans, precision, [*tasks, ModelTask("verify", "", [])])

    def submit_files(self, request: Request) -> None:
        """A job of one task, about files."""
        self.record(request, [], "fp32", [ModelTask("check", "", [])])

    def record(self, request: Request, plans: list[UnitPlan], precision: str, tasks: list[ModelTask]) -> None:
        job = self.change(lambda: self.store.submit(request, plans))
        assert (job.state, job.request) == (JobState.QUEUED, request)
        upload = getattr(request, "upload", None)
        self.model.jobs.append(ModelJob(job.id, request.kind, precision, upload, tasks))

    def forget_job(self, job: ModelJob) -> None:
        digests = self.change(lambda: self.store.remove(job.id))
        forgotten: list[str] = []
        self.store.release(digests, forgotten.append)
        self.model.jobs.remove(job)
        assert forgotten == sorted(digest for digest in job.artifacts if not self.model.referring_to(digest))
        with self.refused(NotFound):
            self.store.get(job.id)
        self.seen_ended = {key: ended for key, ended in self.seen_ended.items() if key[0] != job.id}

    def die(self, worker: str) -> None:
        found = self.change(lambda: self.store.reap(worker))
        assert sorted(found) == sorted(self.model.reap(worker))
        with self.unchanged():
            assert self.store.reap(worker) == []  # two may find the same one dead

    def start(self, held: Held, unit: ModelUnit) -> None:
        go_on = self.change(lambda: self.store.start_unit(held.claim, unit.split))
        assert go_on is not held.job.cancelled
        unit.begin()

    def advance(self, held: Held, unit: ModelUnit, progress: Progress) -> None:
        go_on = self.change(lambda: self.store.progress(held.claim, unit.split, progress))
        assert go_on is not held.job.cancelled
        unit.progress = progress

    def finish(self, held: Held, unit: ModelUnit, digest: str, is_there: bool = True) -> None:
        whole = Progress(3, ROWS - 3, None, unit.progress.notes)

        def finish() -> None:
            self.store.finish_unit(held.claim, unit.split, artifact(digest), REPORT, whole, lambda: is_there)

        if not is_there:
            with self.refused(TransientError):
                finish()
            return
        self.change(finish)
        held.task.deaths = 0
        unit.state, unit.progress, unit.artifact = "succeeded", whole, digest

    def end(self, held: Held) -> None:
        self.change(lambda: self.store.end_task(held.claim))
        held.task.end()

    def conclude(self, held: Held, verification: JobReport) -> None:
        self.change(lambda: self.store.finish_job(held.claim, verification))
        held.job.verification = verification
        held.task.end()

    def work_through(self, held: Held, digest: str) -> None:
        """As a worker does it. Not all that is to be cancelled comes to know of it."""
        if held.task.kind != "recompute":
            self.conclude(held, PASSED)
            return
        for unit in held.task.open_units if not held.job.cancelled else ():
            self.start(held, unit)
            self.finish(held, unit, digest)
            self.as_modelled()
        self.end(held)

    # --- what is true after each step ---------------------------------------------------------------

    @invariant()
    def as_modelled(self) -> None:
        jobs = self.store.jobs(limit=1000)
        check_as_modelled(jobs, self.store, self.database, self.model)
        check_ended_stay(jobs, self.seen_ended)
        for held in self.held(*KINDS):
            self.store.hold(held.claim)
            assert self.store.go_on(held.claim) is not held.job.cancelled

    def drain(self) -> None:
        """Once only a worker is left that does everything well, every job ends, and all of it can be deleted."""
        for worker in list(self.model.workers):
            self.die(worker)
        worker = self.new_worker(("fp32",))
        while held := self.take(worker):
            self.work_through(held, "0" * 64)
            self.as_modelled()
        assert all(job.state.ended for job in self.store.jobs(limit=1000))
        for job in list(self.model.jobs):
            self.forget_job(job)
            self.as_modelled()
        content = self.database.content()
        assert [content[table] for table in ("jobs", "units", "tasks")] == [[], [], []]
