"""A machine that does to a job store, in any order, all that the API and its workers may do, and checks each step.

Each change is broken off half-way first, which may leave no trace. After each step the whole store has to be as
`store_model` says, and what has ended as it was then. At the end, a well-behaved worker has to be able to end all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from app.domain.checks import JobReport
from app.domain.errors import Conflict
from app.domain.job_kinds import HEAVY_TASKS, LIGHT_TASKS, Task
from app.domain.jobs import MAX_DEATHS, JobState, Progress
from app.domain.requests import Precision, Request
from app.store.jobs import JobStore
from app.store.transitions import ClaimLost
from tests.fakes import ERROR, PASSED, REPORT, artifact
from tests.unit.store_driver import KINDS, ROWS, StoreDriver
from tests.unit.store_model import ModelJob
from tests.unit.store_stumbling import StumblingDatabase
from tests.unit.test_requests import VERIFICATION

PLAIN: tuple[Precision, ...] = ("fp32",)
ABLE: tuple[Precision, ...] = ("fp32", "bf16")
FILES: list[Request] = [
    replace(VERIFICATION, upload=None, path="logits_fixed"),
    *(replace(VERIFICATION, upload=digit * 32) for digit in "12"),
]
"""What makes a job of one task, without units."""
FAILED = JobReport("failed")
CANNOT = JobReport.failed(ERROR)
MOST_JOBS, MOST_WORKERS = 3, 3
"""That are open, and that live: among more, what a rule picks would hardly meet what another one did."""

picks = st.integers(0, 11)
"""Which of those that there are: counted round."""
names = st.sampled_from(["a", "b"])
lists = st.lists(names, min_size=1, max_size=2, unique=True)
precisions = st.sampled_from(ABLE)
digests = st.sampled_from("123").map(lambda digit: digit * 64)
progresses = st.builds(
    Progress,
    reused=st.integers(0, 3),
    computed=st.integers(0, ROWS - 3),
    rate=st.sampled_from([None, 2.0]),
    notes=st.sampled_from([(), ("batch halved",)]),
)
verdicts = st.sampled_from([PASSED, FAILED, CANNOT])


def some_held(*kinds: Task) -> Callable[[StoreDriver], bool]:
    return lambda machine: bool(machine.held(*kinds))


holding = precondition(some_held(*KINDS))
computing = precondition(some_held("recompute"))
concluding = precondition(some_held("verify", "check"))
at_units = precondition(lambda machine: bool(machine.held_units()))
with_jobs = precondition(lambda machine: bool(machine.model.jobs))
some_open = precondition(lambda machine: any(not job.ended for job in machine.model.jobs))
with_workers = precondition(lambda machine: bool(machine.model.workers))
something_queued = precondition(lambda machine: machine.model.next_task(ABLE, KINDS) is not None)
room_for_jobs = precondition(lambda machine: sum(not job.ended for job in machine.model.jobs) < MOST_JOBS)
room_for_workers = precondition(lambda machine: len(machine.model.workers) < MOST_WORKERS)


class StoreMachine(StoreDriver):
    """Every rule takes one step, on whatever is there of what it needs."""

    # --- the API's side ---------------------------------------------------------------------------

    @room_for_jobs
    @rule(experts=lists, splits=lists, precision=precisions)
    def submit(self, experts: list[str], splits: list[str], precision: Precision) -> None:
        self.submit_units(experts, splits, precision)

    @room_for_jobs
    @rule(request=st.sampled_from(FILES))
    def submit_one_task(self, request: Request) -> None:
        self.submit_files(request)

    @with_jobs
    @rule(pick=picks, held=st.booleans())
    def cancel(self, pick: int, held: bool) -> None:
        jobs = [found.job for found in self.held(*KINDS)] if held else []
        jobs = jobs or self.model.jobs
        self.cancel_job(jobs[pick % len(jobs)])

    def cancel_job(self, job: ModelJob) -> None:
        if job.state in ("succeeded", "failed"):
            with self.refused(Conflict):
                self.store.cancel(job.id)
        else:
            job.cancelled = True
            assert self.change(lambda: self.store.cancel(job.id)).state == job.state

    @some_open
    @rule(pick=picks, held=st.booleans())
    def expire(self, pick: int, held: bool) -> None:
        """Its deadline passes; of those that are being cancelled already, none expires."""
        jobs = [found.job for found in self.held(*KINDS)] if held else []
        jobs = jobs or [job for job in self.model.jobs if not job.ended]
        job = jobs[pick % len(jobs)]
        with self.database.transaction() as db:
            db.execute("UPDATE jobs SET deadline_at = 1 WHERE id = ?", (job.id,))
        late = not job.cancelled
        if late:
            job.cancelled = job.overdue = True
        assert self.change(self.store.expire) == ([job.id] if late else [])

    @with_jobs
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        job = self.model.jobs[pick % len(self.model.jobs)]
        if not job.ended:
            with self.refused(Conflict):
                self.store.delete(job.id, forget=pytest.fail)
        else:
            self.forget_job(job)

    @rule(
        states=st.sets(st.sampled_from(list(JobState))),
        kind=st.sampled_from([None, "recompute", "verification", "splits"]),
        limit=st.integers(1, 5),
    )
    def list_jobs(self, states: set[JobState], kind: str | None, limit: int) -> None:
        listed = [job.id for job in self.store.jobs(states=states, kind=kind, limit=limit)]
        wanted = [j.id for j in self.model.jobs if (not states or j.state in states) and kind in (None, j.kind)]
        assert listed == wanted[::-1][:limit]

    # --- workers, living and dead -----------------------------------------------------------------

    @initialize(experts=lists, splits=lists, precision=precisions, request=st.sampled_from(FILES))
    def begin(self, experts: list[str], splits: list[str], precision: Precision, request: Request) -> None:
        self.new_worker(PLAIN)
        self.new_worker(ABLE)
        self.submit_units(experts, splits, precision)
        self.submit_files(request)

    @room_for_workers
    @rule(offered=st.sampled_from([PLAIN, ABLE]))
    def add_worker(self, offered: tuple[Precision, ...]) -> None:
        self.new_worker(offered)

    @with_workers
    @something_queued
    @rule(pick=picks, kinds=st.lists(st.sampled_from([HEAVY_TASKS, LIGHT_TASKS, KINDS]), min_size=1, max_size=2))
    def claim(self, pick: int, kinds: list[tuple[Task, ...]]) -> None:
        for wanted in kinds:
            self.take(list(self.model.workers)[pick % len(self.model.workers)], wanted)

    @with_workers
    @rule(pick=picks)
    def reap(self, pick: int) -> None:
        self.die(list(self.model.workers)[pick % len(self.model.workers)])

    @something_queued
    @rule(times=st.sampled_from([1, 2, MAX_DEATHS]), start=st.booleans())
    def die_in_a_row(self, times: int, start: bool) -> None:
        for _ in range(times):
            worker = self.new_worker(ABLE)
            held = self.take(worker)
            if held and start and held.task.open_units:
                unit = held.task.open_units[0]
                self.start(held, unit)
                self.advance(held, unit, Progress(1, 2))
            self.die(worker)
            self.as_modelled()

    @precondition(lambda self: len(self.claims) > len(self.held(*KINDS)))
    @rule(pick=picks, split=names)
    def go_on_without_the_claim(self, pick: int, split: str) -> None:
        """Thought dead, handed back, ended, deleted: whoever shows the old token can record nothing."""
        lost = [held.claim for held in self.claims if not held.stands]
        claim, store, whole = lost[-1 - pick % len(lost)], self.store, Progress(0, ROWS)
        for step in (
            lambda: store.start_unit(claim, split),
            lambda: store.progress(claim, split, whole),
            lambda: store.go_on(claim),
            lambda: store.hold(claim),
            lambda: store.finish_unit(claim, split, artifact(), REPORT, whole, is_there=lambda: True),
            lambda: store.fail_unit(claim, split, ERROR),
            lambda: store.end_task(claim),
            lambda: store.finish_job(claim, PASSED),
            lambda: store.hand_back(claim),
        ):
            with self.refused(ClaimLost):
                step()

    # --- a worker with a claim --------------------------------------------------------------------

    @at_units
    @rule(pick=picks, again=st.booleans(), progress=progresses)
    def compute(self, pick: int, again: bool, progress: Progress) -> None:
        held, unit = self.pick_unit(pick)
        if unit.state == "queued":
            self.start(held, unit)
        self.advance(held, unit, progress)
        if again:  # it failed for a reason that may pass
            self.as_modelled()
            self.start(held, unit)

    @at_units
    @rule(pick=picks, digest=digests, is_there=st.booleans())
    def finish_unit(self, pick: int, digest: str, is_there: bool) -> None:
        self.finish(*self.pick_unit(pick), digest, is_there)

    @at_units
    @rule(pick=picks)
    def fail_unit(self, pick: int) -> None:
        held, unit = self.pick_unit(pick)
        self.change(lambda: self.store.fail_unit(held.claim, unit.split, ERROR))
        held.task.deaths = 0
        unit.state, unit.error = "failed", ERROR["code"]

    @computing
    @rule(pick=picks, split=names)
    def touch_what_has_ended(self, pick: int, split: str) -> None:
        """Or what there never was."""
        held = self.pick(pick, "recompute")
        if split not in [unit.split for unit in held.task.open_units]:
            for step in (
                lambda: self.store.start_unit(held.claim, split),
                lambda: self.store.progress(held.claim, split, Progress(0, 1)),
                lambda: self.store.finish_unit(held.claim, split, artifact(), REPORT, Progress(0, 8), lambda: True),
                lambda: self.store.fail_unit(held.claim, split, ERROR),
            ):
                with self.refused(RuntimeError):
                    step()

    @holding
    @rule(pick=picks)
    def end_task(self, pick: int) -> None:
        held = self.pick(pick, *KINDS)
        if (held.task.open_units or held.task.kind != "recompute") and not held.job.cancelled:
            with self.refused(RuntimeError):
                self.store.end_task(held.claim)
        else:
            self.end(held)

    @concluding
    @rule(pick=picks, verification=verdicts, late_cancel=st.booleans())
    def finish_job(self, pick: int, verification: JobReport, late_cancel: bool) -> None:
        held = self.pick(pick, "verify", "check")
        if late_cancel:
            self.cancel_job(held.job)
        self.conclude(held, verification)

    @holding
    @rule(pick=picks)
    def hand_back(self, pick: int) -> None:
        held = self.pick(pick, *KINDS)
        self.change(lambda: self.store.hand_back(held.claim))
        held.task.give_back()

    @holding
    @rule(pick=picks, digest=digests)
    def do_all_of_it(self, pick: int, digest: str) -> None:
        self.work_through(self.pick(pick, *KINDS), digest)


class MachineInMemory(StoreMachine):
    """On a database in memory."""

    def __init__(self) -> None:
        super().__init__(StumblingDatabase(None))


class MachineOnDisk(StoreMachine):
    """On a file, which is closed and opened again at any time."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relogit-store-"))
        super().__init__(StumblingDatabase(self.folder / "jobs.sqlite3", durable=False))

    @rule()
    def open_again(self) -> None:
        before = self.database.content()
        self.database.close()
        self.database = StumblingDatabase(self.database.path, durable=False)
        self.store = JobStore(self.database)
        assert self.database.content() == before

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.folder)
